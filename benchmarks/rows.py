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

"""Rows such as a cell has them: every string that the table of states knows.

How often each occurs is taken from the moves that were recorded from Nova's
own functional tests. A string that nobody knows would stop contract, so there
is none.
"""

import collections
from collections.abc import Iterator
import datetime
import itertools
import random
from typing import Any
import uuid

from nova_migration.cmd import sample
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import determine_migration_type

_START = datetime.datetime(2020, 1, 1)
_HOSTS = 200
_GIB = 2**30

Kind = tuple[str | None, bool, str]


def mix() -> list[tuple[Kind, int]]:
    """Return type, cross-cell, string, and how often."""
    ends: collections.Counter[Kind] = collections.Counter()
    for move in sample.recorded_moves():
        end = move['history'][-1]['status']
        ends[move['migration_type'], move['cross_cell_move'], end] += 1
    for kind, word in itertools.chain.from_iterable(
        ((kind, word) for word in MACHINES[kind].legacy)
        for kind in MIGRATION_TYPES
    ):
        ends[kind, False, word] += 1
    # From before Nova 12.
    for word in MACHINES[determine_migration_type(1, 1)].legacy:
        ends[None, False, word] += 1
    return list(ends.items())


def rows(count: int, seed: int = 20) -> Iterator[dict[str, Any]]:
    """Yield the rows; three in ten are soft-deleted."""
    chance = random.Random(seed)
    kinds, weights = zip(*mix(), strict=True)
    chosen = chance.choices(kinds, weights, k=count)
    for number, (kind, cross, status) in enumerate(chosen, start=1):
        created = _START + datetime.timedelta(minutes=number)
        updated = created + datetime.timedelta(seconds=chance.randrange(900))
        deleted = chance.random() < 0.3
        source, dest = chance.sample(range(_HOSTS), 2)
        total = chance.randrange(1, 64) * _GIB
        done = chance.randrange(total)
        yield {
            'id': number,
            'uuid': str(uuid.UUID(int=chance.getrandbits(128))),
            'created_at': created,
            'updated_at': updated,
            'deleted': number if deleted else 0,
            'deleted_at': updated if deleted else None,
            'migration_type': kind,
            'cross_cell_move': cross,
            'status': status,
            'hidden': False,
            'source_compute': f'compute-{source}',
            'source_node': f'compute-{source}.example.org',
            'dest_compute': f'compute-{dest}',
            'dest_node': f'compute-{dest}.example.org',
            'dest_host': f'10.0.{dest // 256}.{dest % 256}',
            'dest_compute_id': dest,
            'instance_uuid': str(uuid.UUID(int=chance.getrandbits(128))),
            'old_instance_type_id': chance.randrange(20),
            'new_instance_type_id': chance.randrange(20),
            'memory_total': total,
            'memory_processed': done,
            'memory_remaining': total - done,
            'disk_total': 0,
            'disk_processed': 0,
            'disk_remaining': 0,
            'user_id': uuid.UUID(int=chance.randrange(500)).hex,
            'project_id': uuid.UUID(int=chance.randrange(100)).hex,
        }
