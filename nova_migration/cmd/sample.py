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

"""A cell database as Nova leaves it, for the demonstration and for tests."""

from collections.abc import Iterator
import datetime
import hashlib
import importlib.resources
import json
from typing import Any
import uuid

import sqlalchemy as sa

from nova_migration.db import engine
from nova_migration.db import nova_schema

_EPOCH = datetime.datetime(2013, 10, 17)

#: Rows that no recorded run has, and that real tables do: moves from before
#: there were types, strings that only old releases wrote, one that nobody
#: knows, and one that MariaDB takes for another. Type, string, soft-deleted.
_ODDITIES: tuple[tuple[str | None, str | None, bool], ...] = (
    (None, 'confirmed', True),
    (None, 'finished', False),
    ('live-migration', 'pre-migrating', True),
    ('live-migration', 'done', False),
    ('evacuation', 'done', True),
    ('evacuation', 'Done', False),
    ('resize', None, False),
)

Move = dict[str, Any]


def recorded_moves() -> Iterator[Move]:
    """Yield the moves that Nova's functional tests made, as recorded."""
    folder = importlib.resources.files('nova_migration.data')
    text = (folder / 'nova-transitions.jsonl').read_text('utf-8')
    for line in text.splitlines():
        yield json.loads(line)


def _row(number: int, **values: Any) -> Move:
    created = _EPOCH + datetime.timedelta(days=11 * number)
    return {
        'id': number,
        'created_at': created,
        'updated_at': created + datetime.timedelta(minutes=number % 50),
        'deleted': 0,
        'deleted_at': None,
        'uuid': str(uuid.UUID(int=number)),
        'hidden': False,
        'source_compute': f'compute-{number % 7}',
        'dest_compute': f'compute-{number % 5}',
        'cross_cell_move': False,
        **values,
    }


def rows() -> Iterator[Move]:
    """Yield the raw rows: each move where it ended, and the oddities."""
    number = 0
    for move in recorded_moves():
        number += 1
        yield _row(
            number,
            migration_type=move['migration_type'],
            cross_cell_move=move['cross_cell_move'],
            status=move['history'][-1]['status'],
        )
    for kind, status, deleted in _ODDITIES:
        number += 1
        row = _row(number, migration_type=kind, status=status)
        if deleted:
            row.update(deleted=number, deleted_at=row['updated_at'])
        yield row


def build(database: engine.Database) -> None:
    """Create Nova's two tables and fill them; a tenth is archived."""
    metadata = sa.MetaData()
    main, shadow = nova_schema.define(metadata)
    metadata.create_all(database.engine)
    everything = list(rows())
    with database.transaction() as connection:
        archived = [row for row in everything if row['id'] % 10 == 0]
        kept = [row for row in everything if row['id'] % 10]
        connection.execute(sa.insert(shadow), archived)
        connection.execute(sa.insert(main), kept)


def checksum(database: engine.Database) -> str:
    """Return a digest of every column of Nova's, of every row."""
    digest = hashlib.sha256()
    with database.transaction() as connection:
        for table in nova_schema.define(sa.MetaData()):
            query = sa.select(*table.c).order_by(table.c.id)
            for row in connection.execute(query):
                digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()
