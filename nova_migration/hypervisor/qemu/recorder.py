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


"""What goes over one end's monitor, turned into facts.

The same for a live monitor and for a recorded one.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import journal as journal_mod

#: The commands that a fact is made of; all others only ask or set up.
COMMANDS = frozenset(
    {
        'migrate',
        journal_mod.RESUME,
        'migrate_cancel',
        'migrate-continue',
        'migrate-start-postcopy',
        'migrate-pause',
        'migrate-recover',
        'migrate-incoming',
        'cont',
        'stop',
        'quit',
    }
)
_RUN_EVENTS = {'STOP': ev.STOPPED, 'RESUME': ev.RUNNING}


def lists_migration(instances: Iterable[Mapping[str, Any]]) -> bool:
    """Whether ``query-yank`` says that a migration can still be yanked."""
    return any(instance.get('type') == 'migration' for instance in instances)


def word_of(command: str, arguments: Mapping[str, Any] | None) -> str:
    """Return the word that a command has in the evidence."""
    resumes = command == 'migrate' and (arguments or {}).get('resume')
    return journal_mod.RESUME if resumes else command


class Recorder:
    """Writes one end's part of a journal.

    :param side: :data:`journal.SOURCE`, or the name of a destination
    """

    def __init__(self, journal: journal_mod.Journal, side: str):
        self.journal = journal
        self.side = side

    def sent(self, word: str) -> int:
        """Date a command; returns the number, for its answer.

        :param word: what :func:`word_of` made of it
        """
        if word not in COMMANDS:
            return self.journal.number()
        return self._record(ev.Kind.SENT, word, ev.Origin.SELF)

    def answered(self, word: str, asked: int, answer: Any) -> None:
        """Take the answer to a command, by what sort of command it was.

        :param asked: what :meth:`sent` returned; 0 when that is not known,
            and then the answer proves nothing about the order
        """
        if word == 'query-migrate':
            self._status(answer, asked)
        elif word == 'query-status':
            self._run_state(answer, asked)
        elif word == 'query-yank':
            if not lists_migration(answer):
                self._record(ev.Kind.SETTLED, 'yes', asked=asked)
        elif word in COMMANDS and asked:
            self._record(ev.Kind.REPLIED, word, asked=asked)

    def _status(self, answer: Mapping[str, Any], asked: int) -> None:
        self._record(
            ev.Kind.STATUS,
            answer.get('status', 'none'),
            ev.Origin.QUERY,
            asked=asked,
            detail=answer.get('error-desc', ''),
        )

    def _run_state(self, answer: Mapping[str, Any], asked: int) -> None:
        self._record(
            ev.Kind.RUN,
            ev.RUNNING if answer['running'] else ev.STOPPED,
            ev.Origin.QUERY,
            asked=asked,
            detail=answer['status'],
        )

    def refused(self, word: str, asked: int, error: str) -> None:
        """Take an error instead of an answer."""
        if word in COMMANDS and asked:
            self._record(ev.Kind.REFUSED, word, asked=asked, detail=error)

    def late(self, word: str) -> None:
        """Take note that a command's deadline has passed."""
        self._record(ev.Kind.DEADLINE, word, ev.Origin.SELF)

    def heard(self, event: str, data: Mapping[str, Any]) -> None:
        """Take an event of the end's first monitor."""
        if event == 'MIGRATION':
            self._record(ev.Kind.STATUS, data['status'])
        elif event in _RUN_EVENTS:
            self._record(ev.Kind.RUN, _RUN_EVENTS[event])

    def lost(self) -> None:
        """Take note that the monitor's connection ended."""
        self._record(ev.Kind.MONITOR, ev.LOST)

    def back(self) -> None:
        """Take note that there is a connection again."""
        self._record(ev.Kind.MONITOR, ev.BACK)

    def gone(self, how: str, *, crashed: bool = False) -> None:
        """Take note that the process has ended.

        :param how: how that is known
        :param crashed: whether it is known that a signal ended it
        """
        value = ev.CRASHED if crashed else ev.GONE
        self._record(ev.Kind.PROCESS, value, detail=how)

    def held(self) -> None:
        """Take note that the guest runs here only when we say so."""
        self._record(ev.Kind.HELD, 'yes', ev.Origin.SELF)

    def progress(self, moving: bool) -> None:
        """Take note that the counters stand still, or move again."""
        value = 'some' if moving else 'none'
        self._record(ev.Kind.PROGRESS, value, ev.Origin.SELF)

    def _record(
        self,
        kind: ev.Kind,
        value: str,
        origin: ev.Origin = ev.Origin.EVENT,
        *,
        asked: int | None = None,
        detail: str = '',
    ) -> int:
        return self.journal.record(
            self.side,
            kind,
            value,
            origin=origin,
            asked=asked,
            detail=detail,
        )
