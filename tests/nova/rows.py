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

"""Rows such as twenty releases of Nova, and accidents, have left behind."""

import datetime
import importlib.resources
import json
import uuid

from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import determine_migration_type
from nova_migration.states import machine_for

#: What a row's instance_uuid refers to.
INSTANCES = tuple(str(uuid.UUID(int=number)) for number in range(1, 6))

_PRE_LIBERTY = (
    'pre-migrating',
    'migrating',
    'post-migrating',
    'finished',
    'confirming',
    'confirmed',
    'reverting',
    'reverted',
    'error',
)

#: Pairs of type and status that a release has left behind and Nova 34 does
#: not write, or writes for another reason; an empty type is from before 12.
HISTORICAL = (
    *((None, status) for status in _PRE_LIBERTY),
    # Cells v1: the API cell's own row, until 20.
    *(
        (kind, status)
        for kind in ('resize', 'migration')
        for status in ('finished', 'confirming', 'reverting')
    ),
    # Left as they were when a step failed, until 22.
    *(
        (kind, status)
        for kind in ('resize', 'migration')
        for status in ('pre-migrating', 'confirming', 'reverting', 'reverted')
    ),
    # Written before anything had happened, until 2012.2.
    ('resize', 'confirmed'),
    ('resize', 'reverted'),
    # 12.0.x wrote it where 13 writes accepted.
    ('live-migration', 'pre-migrating'),
    # 12 and 13: something raised; 14 made these error.
    ('live-migration', 'failed'),
    # 12 to 21: rolled back; 22 made these failed.
    ('live-migration', 'error'),
    # A rebuild took a stale accepted row for its own.
    ('live-migration', 'done'),
    # 12: never completed when the source came back.
    ('evacuation', 'done'),
    # 12 to 16: no host was found.
    ('evacuation', 'accepted'),
)

#: Strings that no release wrote and no machine knows.
ODD = (
    'Done',
    'DONE',
    'done ',
    ' done',
    'done\n',
    'dönè',
    'dоne',  # noqa: RUF001 - the second letter is Cyrillic
    'goofballs',
    '',
    ' ',
    'None',
    'NULL',
    "it's",
    '50% \\ "quoted"',
    'key=value',
    'a:b',
    'x' * 255,
    'ß' * 255,
)

#: Strings that a machine knows, with the type of another.
MISPLACED = (
    ('resize', 'running'),
    ('migration', 'done'),
    ('live-migration', 'finished'),
    ('live-migration', 'post-migrating'),
    ('evacuation', 'confirmed'),
    (None, 'accepted'),
)


def recorded():
    """Yield type, cross_cell_move and status of each step that was seen."""
    file = importlib.resources.files('nova_migration.data')
    lines = (file / 'nova-transitions.jsonl').read_text().splitlines()
    for move in map(json.loads, lines):
        for step in move['history']:
            yield (
                move['migration_type'],
                move['cross_cell_move'],
                step['status'],
            )


def spelled():
    """Yield every string that a machine has for a state."""
    for kind in MIGRATION_TYPES:
        for status in MACHINES[kind].legacy:
            yield kind, False, status


def known():
    """Yield what the machines have to know."""
    yield from recorded()
    yield from spelled()
    for kind, status in HISTORICAL:
        yield kind, False, status
        yield kind, None, status


def unknown():
    """Yield what nobody can tell the meaning of."""
    for kind in (*MIGRATION_TYPES, None):
        for status in ODD:
            yield kind, False, status
    for kind, status in MISPLACED:
        yield kind, True, status


def without_status():
    """Yield rows that were never given a status."""
    for kind in (*MIGRATION_TYPES, None):
        yield kind, False, None


def every():
    """Return known, unknown and empty rows, mixed as they come."""
    return _built([*known(), *unknown(), *without_status()])


def each_once():
    """Return one row of each kind, for what takes many small steps."""
    return _built(dict.fromkeys([*known(), *unknown(), *without_status()]))


def _built(moves):
    moves = sorted(moves, key=lambda move: uuid.uuid5(_SPACE, repr(move)).hex)
    return [_row(number, *move) for number, move in enumerate(moves, 1)]


_SPACE = uuid.UUID(int=0)
_EPOCH = datetime.datetime(2011, 2, 3, 4, 5, 6, 789012)


def _row(number, kind, cross_cell_move, status):
    """Return values for every column of Nova's, most of them odd ones."""

    def every_nth(nth, value):
        return value if number % nth == 0 else None

    def time(minutes):
        return _EPOCH + datetime.timedelta(minutes=minutes)

    is_deleted = number % 7 == 0
    return {
        'created_at': None if number % 11 == 0 else time(number),
        'updated_at': None if number % 5 == 0 else time(number * 3),
        'deleted_at': time(number * 5) if is_deleted else None,
        'id': number,
        'source_compute': None if number % 13 == 0 else 'Höst 1',
        'dest_compute': every_nth(2, 'host2 '),
        'dest_host': every_nth(3, ''),
        'status': status,
        'instance_uuid': every_nth(2, INSTANCES[number % len(INSTANCES)]),
        'old_instance_type_id': every_nth(2, 1),
        'new_instance_type_id': every_nth(2, 1 + number // 2 % 2),
        'source_node': every_nth(3, 'nøde'),
        'dest_node': every_nth(4, 'NODE'),
        'deleted': number if is_deleted else every_nth(2, 0),
        'migration_type': kind,
        'hidden': every_nth(2, number % 4 == 0),
        'memory_total': every_nth(2, 2**63 - number),
        'memory_processed': every_nth(3, number),
        'memory_remaining': every_nth(4, 0),
        'disk_total': every_nth(2, -number),
        'disk_processed': every_nth(3, 2**40 + number),
        'disk_remaining': every_nth(4, 1),
        'uuid': every_nth(3, str(uuid.uuid5(_SPACE, str(number)))),
        'cross_cell_move': cross_cell_move,
        'user_id': every_nth(2, 'Ünï\\"\'%'),
        'project_id': every_nth(3, 'p' * 255),
        'dest_compute_id': every_nth(2, 2**33 + number),
    }


def state_of(row):
    """Return the state that the row's machine reads its string as, or None."""
    kind = row['migration_type'] or determine_migration_type(
        row['old_instance_type_id'], row['new_instance_type_id']
    )
    machine = machine_for(kind, row['cross_cell_move'])
    return machine.legacy.get(row['status'])


def meaning_of(row):
    """Return status, state and kept string that a row is migrated to."""
    state = state_of(row)
    if state is None:
        return row['status'], None, None
    kept = None if state.legacy == row['status'] else row['status']
    return state.status, state.name, kept
