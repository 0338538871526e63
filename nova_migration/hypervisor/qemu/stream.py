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


"""Streams as they were recorded: one JSON object a line, read into evidence.

Each has ``t``, the seconds since the recording began, ``side`` (``src``,
``dst``, or ``run`` for the recorder itself), ``type``, and what belongs to
the type: a command and its answer, an event, the start and end of a process,
the end of a connection. A line of a type that is not known is passed over.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import json
from typing import Any

from nova_migration.hypervisor.qemu import journal as journal_mod
from nova_migration.hypervisor.qemu import recorder
from nova_migration.hypervisor.qemu import verdict

Item = Mapping[str, Any]


class StreamError(ValueError):
    """A file that is not a recorded stream; the message names the line."""


def read(lines: Iterable[str | bytes], name: str) -> Iterator[Item]:
    """Yield the items of a stream.

    :param lines: as text, or as the bytes of UTF-8
    :param name: what to call it in an error
    :raises StreamError: a line is not an item, or there is none
    """
    number = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _item(line, f'{name}, line {number}')
    if not number:
        raise StreamError(f'{name} is empty: expected a recorded stream')


def _item(line: str | bytes, where: str) -> Item:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise StreamError(f'{where} is not JSON: {error}') from error
    except RecursionError as error:
        raise StreamError(f'{where} is nested too deep') from error
    if not isinstance(item, dict) or not all(
        isinstance(item.get(key), str) for key in ('side', 'type')
    ):
        raise StreamError(f'{where} has no "side" and "type"')
    if not isinstance(item.get('args') or {}, dict):
        raise StreamError(f'{where} has "args" without names')
    return item


def replay(items: Iterable[Item], name: str = 'the stream') -> 'Replay':
    """Feed a whole stream and return what it came to."""
    items = list(items)
    replayed = Replay(items, name)
    for item in items:
        replayed.feed(item)
    replayed.journal.adopt()
    return replayed


class Replay:
    """A stream that is fed item by item; :attr:`journal` is what it came to.

    :param items: all of it, to know which destination listens where
    :param name: what to call it in an error
    """

    def __init__(self, items: Iterable[Item], name: str = 'the stream'):
        self.journal = journal_mod.Journal()
        self._name = name
        self._told = verdict.advance(self.journal.current)
        #: By end and id: when a command was sent, and its word.
        self._asked: dict[tuple[str, str], tuple[int, str]] = {}
        self._greeted: set[str] = set()
        self._listening: dict[str, str] = {}
        self._destinations: list[str] = []
        for item in items:
            self._look_ahead(item)
        if len(self._destinations) == 1:
            self.journal.aim(self._destinations[0])

    def _look_ahead(self, item: Item) -> None:
        side = item['side']
        if side not in ('src', 'run') and side not in self._destinations:
            self._destinations.append(side)
        if item.get('cmd') == 'migrate-incoming' and item.get('args'):
            self._listening[str(item['args'].get('uri'))] = side

    @property
    def changed(self) -> bool:
        """Whether something new follows since this was last asked."""
        now = verdict.advance(self.journal.current)
        before, self._told = self._told, now
        return now != before

    def feed(self, item: Item) -> None:
        """Take one item.

        :raises StreamError: it lacks what its type has
        """
        take = _TAKERS.get(item['type'])
        if take is None or item['side'] == 'run':
            return
        source = item['side'] == 'src'
        side = journal_mod.SOURCE if source else item['side']
        try:
            take(self, recorder.Recorder(self.journal, side), item)
        except (KeyError, TypeError, AttributeError) as error:
            raise StreamError(
                f'{self._name} has a {item["type"]!r} that cannot be'
                f' understood ({error!r}): {json.dumps(item)[:120]}'
            ) from error

    # -- by type ----------------------------------------------------------

    def _command(self, end: recorder.Recorder, item: Item) -> None:
        key = (end.side, str(item['id']))
        if key in self._asked:
            return
        arguments = item.get('args')
        word = recorder.word_of(item['cmd'], arguments)
        if end.side == journal_mod.SOURCE and word == 'migrate':
            self._aim(arguments or {})
        self._asked[key] = (end.sent(word), word)

    def _aim(self, arguments: Item) -> None:
        if len(self._destinations) > 1:
            uri = str(arguments.get('uri'))
            self.journal.aim(self._listening.get(uri))

    def _question(self, end: recorder.Recorder, item: Item) -> tuple[int, str]:
        """Return when an answered command was sent, and its word."""
        unknown = (0, item.get('cmd', 'query-migrate'))
        return self._asked.get((end.side, str(item['id'])), unknown)

    def _answer(self, end: recorder.Recorder, item: Item) -> None:
        asked, word = self._question(end, item)
        end.answered(word, asked, item['return'])

    def _refusal(self, end: recorder.Recorder, item: Item) -> None:
        asked, word = self._question(end, item)
        end.refused(word, asked, item['error']['desc'])

    def _event(self, end: recorder.Recorder, item: Item) -> None:
        # A second monitor tells everything twice.
        if 'conn' not in item:
            end.heard(item['event'], item.get('data') or {})

    def _greeting(self, end: recorder.Recorder, item: Item) -> None:
        if 'conn' in item:
            return
        if end.side in self._greeted:
            end.back()
        self._greeted.add(end.side)

    def _end_of_file(self, end: recorder.Recorder, item: Item) -> None:
        if 'conn' not in item:
            end.lost()

    def _process(self, end: recorder.Recorder, item: Item) -> None:
        what = item['what']
        if what == 'exit':
            # Python counts a signal as a negative exit code.
            crashed = item['rc'] < 0
            end.gone(f'exit code {item["rc"]}', crashed=crashed)
        elif what == 'signal SIGKILL':
            end.gone(what)


_TAKERS: Mapping[str, Callable[[Replay, recorder.Recorder, Item], None]] = {
    'cmd': Replay._command,
    'return': Replay._answer,
    'error': Replay._refusal,
    'query': Replay._answer,
    'event': Replay._event,
    'greeting': Replay._greeting,
    'eof': Replay._end_of_file,
    'proc': Replay._process,
}
