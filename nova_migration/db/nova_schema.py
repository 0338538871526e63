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

"""The two tables as Nova 34 (2026.2) creates them.

Read off Nova's main database after ``nova-manage db sync``. This is a fact
about a release and never changes; what is added to it is in
:mod:`nova_migration.db.models`.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

MAIN = 'migrations'
SHADOW = 'shadow_migrations'

#: In the order of Nova's enumeration.
MIGRATION_TYPES = ('migration', 'resize', 'live-migration', 'evacuation')

_STRINGS = ('source_compute', 'dest_compute', 'dest_host', 'status')
_PROGRESS = (
    'memory_total',
    'memory_processed',
    'memory_remaining',
    'disk_total',
    'disk_processed',
    'disk_remaining',
)

#: Name, columns, unique; the shadow table has none.
INDEXES = (
    ('migrations_uuid', ('uuid',), True),
    (
        'migrations_instance_uuid_and_status_idx',
        ('deleted', 'instance_uuid', 'status'),
        False,
    ),
    ('migrations_updated_at_idx', ('updated_at',), False),
    (
        'migrations_by_host_nodes_and_status_idx',
        (
            'deleted',
            'source_compute',
            'dest_compute',
            'source_node',
            'dest_node',
            'status',
        ),
        False,
    ),
    (
        'migrations_by_src_host_nodes_and_status_idx',
        ('deleted', 'source_compute', 'source_node', 'status'),
        False,
    ),
    (
        'migrations_by_dest_host_nodes_and_status_idx',
        ('deleted', 'dest_compute', 'dest_node', 'status'),
        False,
    ),
    (
        'migrations_dest_compute_id_deleted_idx',
        ('dest_compute_id', 'deleted'),
        False,
    ),
)
#: InnoDB indexes at most 3072 bytes.
_PREFIX = {
    'source_compute': 100,
    'dest_compute': 100,
    'source_node': 100,
    'dest_node': 100,
}


def columns(migration_type: sa.Enum) -> Iterator[sa.Column[Any]]:
    """Yield the 27 columns in their order.

    :param migration_type: the enumerated type, which PostgreSQL shares
        between both tables
    """
    for name in ('created_at', 'updated_at', 'deleted_at'):
        yield sa.Column(name, sa.DateTime)
    yield sa.Column('id', sa.Integer, primary_key=True, nullable=False)
    for name in _STRINGS:
        yield sa.Column(name, sa.String(255))
    yield sa.Column('instance_uuid', sa.String(36))
    yield sa.Column('old_instance_type_id', sa.Integer)
    yield sa.Column('new_instance_type_id', sa.Integer)
    yield sa.Column('source_node', sa.String(255))
    yield sa.Column('dest_node', sa.String(255))
    yield sa.Column('deleted', sa.Integer, default=0)
    yield sa.Column('migration_type', migration_type)
    yield sa.Column('hidden', sa.Boolean, default=False)
    for name in _PROGRESS:
        yield sa.Column(name, sa.BigInteger)
    yield sa.Column('uuid', sa.String(36))
    yield sa.Column('cross_cell_move', sa.Boolean, default=False)
    yield sa.Column('user_id', sa.String(255))
    yield sa.Column('project_id', sa.String(255))
    yield sa.Column('dest_compute_id', sa.BigInteger)


def define(metadata: sa.MetaData) -> tuple[sa.Table, sa.Table]:
    """Define both tables in the metadata, as Nova has them.

    The foreign key to ``instances`` is left out: that table is Nova's, and
    a database that holds only migrations does not have it.
    """
    kind = sa.Enum(*MIGRATION_TYPES, name='migration_type', metadata=metadata)
    options: dict[str, Any] = {
        'mysql_engine': 'InnoDB',
        'mysql_charset': 'utf8',
    }
    main = sa.Table(MAIN, metadata, *columns(kind), **options)
    for name, names, unique in INDEXES:
        prefixes = _prefixes(names)
        sa.Index(
            name,
            *(main.c[key] for key in names),
            unique=unique,
            mysql_length=prefixes,
            mariadb_length=prefixes,
        )
    shadow = sa.Table(SHADOW, metadata, *columns(kind), **options)
    return main, shadow


def _prefixes(names: tuple[str, ...]) -> dict[str, int]:
    long = sum(name in _PREFIX for name in names) > 2
    return {name: _PREFIX[name] for name in names if long and name in _PREFIX}
