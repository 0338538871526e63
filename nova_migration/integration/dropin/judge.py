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

"""What the machine says to a status that Nova writes; pure, without Nova."""

from collections.abc import Mapping
import dataclasses
import datetime
import functools
from typing import Any

from nova_migration.integration.dropin.report import Result
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import Machine
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState
from nova_migration.states import State
from nova_migration.states import determine_migration_type
from nova_migration.states import machine_for
from nova_migration.states import reading
from nova_migration.states import words

#: Times are cut to seconds in a primitive, and rounded to them by MariaDB.
_PRECISION = datetime.timedelta(seconds=1)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the object that is being saved knew of its row.

    :param status: Nova's string before the one that is to be written; None
        when the object has come over RPC, which does not carry it
    :param updated_at: of the row that it was read from, naive UTC
    """

    status: str | None = None
    updated_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """Where a row is, as the transaction that is to move it sees it."""

    machine: Machine
    status: str | None
    state: str | None
    legacy_status: str | None
    canonical: bool
    updated_at: datetime.datetime | None
    state_changed_at: datetime.datetime | None

    def is_newer_than(self, seen: Seen) -> bool:
        """Return whether it was moved after the object had been read.

        An object that has the row's own time is not older, whatever the
        clocks of its writers say.
        """
        read, moved = seen.updated_at, self.state_changed_at
        if read is None or moved is None:
            return False
        if self.updated_at and abs(self.updated_at - read) <= _PRECISION:
            return False
        return moved - read > _PRECISION


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be done, and why.

    :param target: the state that the row is to be in; of a report that is
        absorbed or refused, the one that was asked for
    :param contradicts: whether an absorbed report cannot be true of the row
    :param named: the state that was asked for, of a move to another one
    """

    result: Result
    why: str
    target: State | None = None
    event: str | None = None
    contradicts: bool = False
    named: State | None = None


def kind_of(values: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the type of a row, and whether it moves between cells."""
    kind = values.get('migration_type') or determine_migration_type(
        values.get('old_instance_type_id'), values.get('new_instance_type_id')
    )
    return kind, bool(values.get('cross_cell_move'))


def machine_of(values: Mapping[str, Any]) -> Machine:
    """Return the machine of a row or of the values of a new one."""
    return machine_for(*kind_of(values))


def row_of(values: Mapping[str, Any]) -> Row:
    """Read a row of either form.

    :param values: by column name, ours included
    """
    kind = kind_of(values)
    found = reading.of_row(
        *kind, values['status'], values['state'], values['legacy_status']
    )
    return Row(
        machine_for(*kind),
        reading.spelled(*kind, found),
        found.state,
        found.legacy_status,
        values['state'] is not None,
        values['updated_at'],
        values['state_changed_at'],
    )


def creation(
    machine: Machine, asked: str | None, *, is_copy: bool = False
) -> Verdict:
    """Say whether a record may begin with a status: with any that is known.

    Most begin at the start. The resource tracker creates the row of an
    evacuation when it is claimed, a cross-cell move copies rows that are
    anywhere, and Nova's own tests put rows where they need them; none of
    them writes over what somebody else has written.

    :param is_copy: of a record that is there already, and so may say what
        nobody knows
    """
    if asked is None:
        return Verdict(Result.CREATED, 'It has no status.')
    target = machine.legacy.get(asked)
    if target is None and not is_copy:
        return Verdict(Result.REFUSED, _unknown(machine, asked))
    return Verdict(Result.CREATED, '', target)


def change(row: Row, asked: str | None, seen: Seen | None = None) -> Verdict:
    """Say what a status that is to be written does to a row."""
    target = row.machine.legacy.get(asked) if asked is not None else None
    if target is None and asked == row.status:
        return Verdict(Result.UNCHANGED, 'It says so already.')
    if target is None:
        return Verdict(Result.REFUSED, _unknown(row.machine, asked))
    if row.state is None:
        return Verdict(
            Result.MOVED,
            f'Nobody knows what {row.status!r} was.',
            target,
            'leave unknown',
        )
    answer = row.machine.report(row.state, target.name)
    if isinstance(answer, Edge):
        return _step(row, answer, target, seen)
    if isinstance(answer, Absorbed):
        same = seen is not None and seen.status == asked == row.status
        result = Result.UNCHANGED if same else Result.ABSORBED
        return Verdict(
            result, answer.why, target, answer.event, answer.contradicts
        )
    return _no_step(row.machine, row.state, target)


def _step(row: Row, edge: Edge, named: State, seen: Seen | None) -> Verdict:
    target = row.machine.state(edge.target)
    if _comes_too_late(row, edge, seen):
        why = 'It failed to wait, which had ended before.'
        return Verdict(Result.ABSORBED, why, target, edge.event)
    return Verdict(Result.MOVED, edge.why, target, edge.event, named=named)


def _no_step(machine: Machine, state: str, target: State) -> Verdict:
    allowed = ', '.join(machine.events_from(state)) or 'nothing'
    why = f"Machine {machine.name} leads from '{state}' by: {allowed}."
    return Verdict(Result.REFUSED, why, target)


def status_after(machine: Machine, event: str) -> str:
    """Return the string that Nova's code writes when an event happens.

    :raises UnknownWord: the machine has no such event
    """
    for edge in machine.table.edges:
        if edge.event == event:
            return machine.state(edge.named).legacy
    raise words.UnknownWord(
        what=f'{machine.name} event', word=event, valid=machine.table.events
    )


def _unknown(machine: Machine, asked: str | None) -> str:
    return str(
        words.UnknownWord(
            what=f'{machine.name} status', word=asked, valid=machine.legacy
        )
    )


@functools.cache
def _waiting(machine: Machine) -> frozenset[str]:
    """Return the states that wait for somebody's decision."""
    return frozenset(
        name
        for name, state in machine.states.items()
        if MigrationFlag.UNCONFIRMED in state.flags
    )


@functools.cache
def _decided(machine: Machine) -> frozenset[str]:
    """Return the states that only a decision leads to."""
    reached = set(_waiting(machine))
    size = 0
    while size != len(reached):
        size = len(reached)
        reached |= {
            edge.target
            for edge in machine.table.edges
            if edge.source in reached and edge.target != MigrationState.ERROR
        }
    return frozenset(reached - _waiting(machine))


def _comes_too_late(row: Row, edge: Edge, seen: Seen | None) -> bool:
    """Tell a failure to wait from a failure of what was decided since.

    ``_poll_unconfirmed_resizes`` reads which moves await confirmation and
    sets those to error that it cannot confirm. When the user has confirmed
    or reverted in between, that is no failure of the user's request.
    """
    if edge.target != MigrationState.ERROR:
        return False
    if row.state not in _decided(row.machine):
        return False
    if seen is None:
        return False
    if seen.status is None:
        return row.is_newer_than(seen)
    believed = row.machine.legacy.get(seen.status)
    return believed is not None and believed.name in _waiting(row.machine)
