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


"""What was seen of one attempt to migrate: only ever added to.

A fact carries the number in which it reached us. That is the only order
there is: QEMU's own time stamps are not one. Between the two ends it says
what we knew when, and nothing about which end was first.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import enum
import functools
import json
import operator
from typing import Any
from typing import Self

#: The shape of the JSON text; raised when an older reader could not read it.
FORMAT = 1


class End(enum.StrEnum):
    """One of the two QEMUs."""

    SOURCE = 'source'
    DESTINATION = 'destination'


class Kind(enum.StrEnum):
    """What a fact is about.

    * ``status``: QEMU's migration status; the detail is its error-desc
    * ``run``: ``running`` or ``stopped``; the detail is QEMU's run state
    * ``sent``: a command, dated when we sent it
    * ``replied``, ``refused``: its answer; the detail is the error
    * ``deadline``: a command without an answer in time
    * ``monitor``: ``lost`` or ``back``
    * ``process``: ``gone``, or ``crashed`` when that is known to be by a
      signal; the detail says how
    * ``progress``: ``none`` when the counters stand still, ``some`` after it
    * ``settled``: QEMU has nothing of the migration left to clean up
    * ``held``: the destination was started so that only a command of ours
      lets the guest run there
    * ``followed``: the source has begun another attempt
    """

    STATUS = 'status'
    RUN = 'run'
    SENT = 'sent'
    REPLIED = 'replied'
    REFUSED = 'refused'
    DEADLINE = 'deadline'
    MONITOR = 'monitor'
    PROCESS = 'process'
    PROGRESS = 'progress'
    SETTLED = 'settled'
    HELD = 'held'
    FOLLOWED = 'followed'


class Origin(enum.StrEnum):
    """How a fact reached us."""

    EVENT = 'event'
    QUERY = 'query'
    SELF = 'self'


RUNNING = 'running'
STOPPED = 'stopped'
LOST = 'lost'
BACK = 'back'
GONE = 'gone'
CRASHED = 'crashed'

#: Of these, only a change says something new.
_CONDITIONS = frozenset({Kind.STATUS, Kind.RUN, Kind.MONITOR, Kind.PROGRESS})
#: Of these, the first one says all.
_ONCE = frozenset({Kind.PROCESS, Kind.FOLLOWED, Kind.SETTLED, Kind.HELD})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that was seen, said or done.

    :param number: in which it reached us, over both ends
    :param asked: for an answer, the number at which we asked
    """

    number: int
    end: End
    kind: Kind
    value: str
    origin: Origin = Origin.EVENT
    asked: int | None = None
    detail: str = ''

    @property
    def since(self) -> int:
        """The number that what it says is not older than."""
        return self.number if self.asked is None else self.asked

    def to_dict(self) -> dict[str, Any]:
        """Return the values that differ from the defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        :raises ValueError: a word that this version does not have
        :raises TypeError: a field is missing or is not one
        """
        return cls(
            **{
                **values,
                'end': End(values['end']),
                'kind': Kind(values['kind']),
                'origin': Origin(values.get('origin', Origin.EVENT)),
            }
        )


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All facts of one attempt, in the order of their numbers; immutable.

    :param attempt: 1 for the first one
    """

    attempt: int = 1
    facts: tuple[Fact, ...] = ()

    def add(self, fact: Fact) -> 'Evidence':
        """Return the evidence with one fact more, or itself.

        A status that an end reports again is nothing new, however it is
        delivered. An answer that confirms it is kept only if something has
        happened since we last asked, so that polling adds nothing.
        """
        if fact in self._known or self._repeats(fact):
            return self
        facts = (*self.facts, fact)
        if self.facts and fact.number < self.facts[-1].number:
            facts = _ordered(facts)
        return dataclasses.replace(self, facts=facts)

    @functools.cached_property
    def _known(self) -> frozenset[Fact]:
        return frozenset(self.facts)

    def earlier(self) -> Iterator['Evidence']:
        """Yield what the evidence was before each of its facts came."""
        for count in range(len(self.facts)):
            yield Evidence(self.attempt, self.facts[:count])

    def of(self, end: End, *kinds: Kind) -> Iterator[Fact]:
        """Yield the facts of an end, in order; of some kinds if given."""
        for fact in self.facts:
            if fact.end is end and (not kinds or fact.kind in kinds):
                yield fact

    def last(self, end: End, kind: Kind) -> Fact | None:
        """Return the newest fact of a kind."""
        return next(
            (
                fact
                for fact in reversed(self.facts)
                if fact.end is end and fact.kind is kind
            ),
            None,
        )

    def _repeats(self, fact: Fact) -> bool:
        last = self.last(fact.end, fact.kind)
        if last is None or last.number > fact.number:
            return False
        if fact.kind in _ONCE:
            return True
        if fact.kind not in _CONDITIONS or last.value != fact.value:
            return False
        if fact.detail and fact.detail != last.detail:
            return False
        return fact.origin is not Origin.QUERY or not self._news_since(last)

    def _news_since(self, last: Fact) -> bool:
        """Whether anything but confirmations has come since a fact."""
        before: dict[tuple[End, Kind], str] = {}
        for fact in self.facts:
            key = (fact.end, fact.kind)
            changed = before.get(key) != fact.value
            if fact.number > last.since and fact is not last and changed:
                return True
            if fact.kind in _CONDITIONS:
                before[key] = fact.value
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            'attempt': self.attempt,
            'facts': [fact.to_dict() for fact in self.facts],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote."""
        facts = tuple(Fact.from_dict(fact) for fact in values['facts'])
        return cls(values['attempt'], _ordered(facts))

    def to_json(self) -> str:
        """Return it as text, for a service that may be restarted."""
        return json.dumps({'format': FORMAT, **self.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: it is not that, or of a newer format
        """
        return cls.from_dict(decode(text))


def _ordered(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(sorted(facts, key=operator.attrgetter('number')))


def decode(text: str) -> dict[str, Any]:
    """Return what a JSON text of this format holds.

    :raises ValueError: it is not JSON, or of another format
    """
    values = json.loads(text)
    if not isinstance(values, dict) or values.get('format') != FORMAT:
        raise ValueError(f'not evidence in format {FORMAT}')
    return values
