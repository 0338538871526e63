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

"""Which machine drives which migration, and what its rows may say."""

from collections.abc import Iterator

from nova_migration.states import machine
from nova_migration.states import migration
from nova_migration.states import table
from nova_migration.states import words

#: The machines by name, made once and shared by every record.
MACHINES = {row.name: machine.Machine(row) for row in migration.TABLES}

#: The migration_type values, which Nova's column enumerates.
MIGRATION_TYPES = tuple(row.name for row in migration.TYPES)


def get(name: str) -> machine.Machine:
    """Return the machine of a name.

    :raises UnknownWord: naming the nearest machines
    """
    try:
        return MACHINES[name]
    except KeyError:
        raise words.UnknownWord(
            what='machine', word=name, valid=MACHINES
        ) from None


def machine_for(
    migration_type: str, cross_cell_move: bool | None = False
) -> machine.Machine:
    """Return the machine that drives a migration.

    :param migration_type: Nova's ``migration_type``, never None; see
        :func:`determine_migration_type`
    :param cross_cell_move: whether the move has a row in each of two cells
    :raises UnknownWord: for a type that Nova does not have
    """
    if migration_type not in MIGRATION_TYPES:
        raise words.UnknownWord(
            what='migration_type', word=migration_type, valid=MIGRATION_TYPES
        )
    own = MACHINES[migration_type]
    cross = MACHINES[migration.CROSS_CELL.name]
    return cross if cross_cell_move and own.states == cross.states else own


def determine_migration_type(
    old_instance_type_id: int | None, new_instance_type_id: int | None
) -> str:
    """Return the type of a row from before Nova 12, which has none.

    Only resizes and cold migrations had rows then; they differ in whether
    the flavor changes (``nova/objects/migration.py``).
    """
    changed = old_instance_type_id != new_instance_type_id
    return migration.RESIZE.name if changed else migration.MIGRATION.name


def states_with(*flags: str) -> dict[str, table.State]:
    """Return the states, of any machine, that have all of the flags."""
    return {
        state.name: state
        for row in migration.TABLES
        for state in row.states
        if state.flags.issuperset(flags)
    }


def legacy_with(*flags: str) -> frozenset[str]:
    """Return the legacy strings that mean a state with all of the flags."""
    return frozenset(
        word
        for row in migration.TABLES
        for state in row.states
        if state.flags.issuperset(flags)
        for word in state.spellings
    )


def events() -> frozenset[str]:
    """Return every event that a machine knows, legal or late."""
    return frozenset(event for row in migration.TABLES for event in row.events)


def all_states() -> Iterator[table.State]:
    """Yield every state once, whichever machines have it."""
    yield from states_with().values()


def states_by_status() -> dict[str, list[str]]:
    """Return the states that belong to each public status."""
    groups: dict[str, list[str]] = {}
    for state in all_states():
        groups.setdefault(state.status, []).append(state.name)
    return groups


def states_by_type(flag: str) -> dict[str, set[str]]:
    """Return, for each type, the states of which a flag holds."""
    return {
        row.name: {s.name for s in row.states if flag in s.flags}
        for row in migration.TYPES
        if any(flag in s.flags for s in row.states)
    }
