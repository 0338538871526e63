#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""What to say about a word that is not in the vocabulary."""

from collections.abc import Collection
import difflib
import reprlib
from typing import Any

#: How much of a word is repeated: what is no word may have no end.
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 120


class UnknownWord(ValueError):
    """A word that the vocabulary does not have.

    :param what: what the word should have named, such as ``event``
    :param word: the word that was given
    :param valid: the words that would have been understood
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        what: str = 'word',
        word: object = None,
        valid: Collection[str] = (),
    ):
        """Make the message, or take it as oslo.messaging sends it."""
        valid = sorted(map(str, valid))
        self.what = what
        self.word = word
        #: What oslo.messaging makes the error from again.
        self.kwargs = {'what': what, 'word': word, 'valid': valid}
        self.nearest = nearest(word, valid)
        super().__init__(message or self._message(what, word, valid))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), str(self), self.kwargs))

    def _message(self, what: str, word: object, valid: list[str]) -> str:
        start = f'Unknown {what} {_BRIEF.repr(word)}'
        if self.nearest:
            hint = ' or '.join(repr(word) for word in self.nearest)
            return f'{start}: did you mean {hint}?'
        return f'{start}: valid are {", ".join(valid)}.'


def _rebuild(
    kind: type[UnknownWord], message: str, kwargs: dict[str, Any]
) -> UnknownWord:
    return kind(message, **kwargs)


def nearest(word: object, valid: Collection[str]) -> list[str]:
    """Return the valid words that the given one is probably a typo of."""
    if not isinstance(word, str):
        return []
    spelled = {name.casefold(): str(name) for name in sorted(valid)}
    close = difflib.get_close_matches(
        word.strip().casefold(), spelled, n=2, cutoff=0.7
    )
    return [spelled[name] for name in close]
