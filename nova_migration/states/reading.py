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

"""From what a row says to where the move is, and back."""

import dataclasses

from nova_migration.states import machine as machine_mod
from nova_migration.states import registry
from nova_migration.states import words


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a row of either form means.

    :param status: the public status; None when it is not known
    :param state: the state; None when it is not known
    :param legacy_status: the string that Nova has for the row, where the
        state's own would be another one or is not known
    """

    status: str | None
    state: str | None
    legacy_status: str | None


def _machine(
    migration_type: str, cross_cell_move: bool | None
) -> machine_mod.Machine | None:
    try:
        return registry.machine_for(migration_type, cross_cell_move)
    except words.UnknownWord:
        return None


def _of_state(
    machine: machine_mod.Machine | None,
    status: str | None,
    state: str,
    legacy_status: str | None,
) -> Reading:
    """Read a canonical row; a state that is not known is not guessed at.

    The status beside it is of the public vocabulary, in which words mean
    other things than in Nova's; another one there was written over it by a
    program that does not know of states, and is Nova's string for the row.
    """
    if machine is None or state not in machine.states:
        return Reading(None, None, legacy_status)
    row = machine.states[state]
    if status != row.status:
        return Reading(row.status, row.name, status)
    return Reading(row.status, row.name, legacy_status)


def of_row(
    migration_type: str,
    cross_cell_move: bool | None,
    status: str | None,
    state: str | None = None,
    legacy_status: str | None = None,
) -> Reading:
    """Read a row: a canonical one by its state, a legacy one by its string.

    A string or a type that nobody knows is kept as it is and never an error;
    a state decides even where a program that does not know of states wrote
    over the status.
    """
    machine = _machine(migration_type, cross_cell_move)
    if state is not None:
        return _of_state(machine, status, state, legacy_status)
    if machine is None:
        return Reading(None, None, status)
    if status is None or status not in machine.legacy:
        return Reading(None, None, status)
    found = machine.legacy[status]
    odd = status if status != found.legacy else None
    return Reading(found.status, found.name, odd)


def spelled(
    migration_type: str, cross_cell_move: bool | None, reading: Reading
) -> str | None:
    """Return the string that Nova 34 and older have for what was read."""
    if reading.legacy_status is not None or reading.state is None:
        return reading.legacy_status
    machine = registry.machine_for(migration_type, cross_cell_move)
    return machine.state(reading.state).legacy
