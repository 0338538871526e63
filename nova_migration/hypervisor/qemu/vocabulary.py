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


"""The words of QEMU: an open set, with a class for each one that is known.

The statuses are ``MigrationStatus`` of QEMU's ``qapi/migration.json``, up to
11.1; what an older or a newer binary has is asked of the binary itself.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import enum
from typing import Any
from typing import Self


class StatusClass(enum.StrEnum):
    """What a raw status means to somebody who waits for the end."""

    IDLE = 'idle'
    RUNNING = 'running'
    WAITING = 'waiting'
    ENDING = 'ending'
    TERMINAL = 'terminal'
    UNKNOWN = 'unknown'


class State(enum.StrEnum):
    """What is the case: public and stable, while kinds of evidence grow.

    The last five are where the guest turned out to be.
    """

    IDLE = 'idle'
    STARTING = 'starting'
    TRANSFERRING = 'transferring'
    AWAITING_SWITCHOVER = 'awaiting_switchover'
    SWITCHING = 'switching'
    POSTCOPY = 'postcopy'
    POSTCOPY_PAUSED = 'postcopy_paused'
    RECOVERING = 'recovering'
    ENDING = 'ending'
    MOVED = 'moved'
    NOT_MOVED = 'not_moved'
    SPLIT = 'split'
    LOST = 'lost'
    UNKNOWN = 'unknown'


class Verdict(enum.StrEnum):
    """Where the guest runs.

    * ``moved``: on the destination, and not on the source
    * ``not_moved``: on the source, or it can be resumed there
    * ``split``: on both
    * ``lost``: nowhere, and no end can bring it back whole
    * ``unknown``: not proved, or not over
    """

    MOVED = 'moved'
    NOT_MOVED = 'not_moved'
    SPLIT = 'split'
    LOST = 'lost'
    UNKNOWN = 'unknown'


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """One raw status.

    :param name: as QEMU spells it
    :param kind: its class
    :param state: what is the case while an end reports it
    :param reversible: whether the source can still take the guest back
    """

    name: str
    kind: StatusClass
    state: State
    reversible: bool = True


_C = StatusClass
_S = State

KNOWN: Mapping[str, Status] = {
    status.name: status
    for status in (
        Status('none', _C.IDLE, _S.IDLE),
        Status('setup', _C.RUNNING, _S.STARTING),
        Status('wait-unplug', _C.RUNNING, _S.TRANSFERRING),
        Status('active', _C.RUNNING, _S.TRANSFERRING),
        Status('pre-switchover', _C.WAITING, _S.AWAITING_SWITCHOVER),
        Status('device', _C.RUNNING, _S.SWITCHING),
        Status('postcopy-device', _C.RUNNING, _S.SWITCHING),
        Status('postcopy-active', _C.RUNNING, _S.POSTCOPY, False),
        Status('postcopy-paused', _C.WAITING, _S.POSTCOPY_PAUSED, False),
        Status('postcopy-recover-setup', _C.RUNNING, _S.RECOVERING, False),
        Status('postcopy-recover', _C.RUNNING, _S.RECOVERING, False),
        # Fault tolerance: the source goes on while the destination follows.
        Status('colo', _C.RUNNING, _S.TRANSFERRING),
        Status('cancelling', _C.ENDING, _S.ENDING),
        Status('failing', _C.ENDING, _S.ENDING),
        Status('cancelled', _C.TERMINAL, _S.ENDING),
        Status('failed', _C.TERMINAL, _S.ENDING),
        Status('completed', _C.TERMINAL, _S.ENDING),
    )
}

#: An error was seen; below 11 QEMU says ``failed`` before it has cleaned up.
FAILURES = frozenset({'failing', 'failed'})
CANCELS = frozenset({'cancelling', 'cancelled'})
TERMINAL = frozenset(
    name for name, status in KNOWN.items() if status.kind is _C.TERMINAL
)
#: The guest runs, or is to run, on the destination: the source never again.
NO_RETURN = frozenset(
    name for name, status in KNOWN.items() if not status.reversible
)
#: The destination may have all it needs to run.
SWITCHED = NO_RETURN | {'device', 'postcopy-device', 'completed'}


def classify(name: str) -> Status:
    """Return a status; one that nobody knows is kept, never refused.

    A word of a newer QEMU counts as under way until the next known one. It
    is not taken for a sign that the source could have the guest back.
    """
    unknown = Status(name, _C.UNKNOWN, _S.UNKNOWN, reversible=False)
    return KNOWN.get(name, unknown)


@dataclasses.dataclass(frozen=True, slots=True)
class Vocabulary:
    """The statuses that one binary has.

    :param names: as the binary lists them; empty when it was not asked
    """

    names: frozenset[str] = frozenset()

    @classmethod
    def from_schema(cls, schema: Iterable[Mapping[str, Any]]) -> Self:
        """Read what ``query-qmp-schema`` returned.

        The enumeration's own name is masked there, so it is found from the
        command that returns it. A schema without it gives an empty list.
        """
        entities = {entity['name']: entity for entity in schema}
        command = entities.get('query-migrate', {})
        info = entities.get(command.get('ret-type', ''), {})
        for member in info.get('members', ()):
            if member['name'] == 'status':
                listed = entities.get(member['type'], {})
                return cls(frozenset(listed.get('values', ())))
        return cls()

    @property
    def unknown(self) -> frozenset[str]:
        """What the binary may say and this project has no class for."""
        return self.names - KNOWN.keys()

    @property
    def fails_when_settled(self) -> bool:
        """Whether ``failed`` comes after the clean-up, as from 11 on.

        Those binaries have ``failing`` for the time before. On the others, a
        capability that is set right after ``failed`` can end the process.
        """
        return 'failing' in self.names
