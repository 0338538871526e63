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

"""The two tables as they are after expand: Nova's columns and ours.

They are Core tables without ``onupdate``, so that an UPDATE changes
``updated_at`` only where it says so: Nova orders, deduplicates and times
confirmations by it.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

from nova_migration.db import nova_schema
from nova_migration.states import migration

#: How many characters of reasons are kept; the first ones.
REASON_LENGTH = 4000

#: With fractions, which tell a write from another one of the same second;
#: MariaDB keeps them only where it is told to.
_CHANGED_AT = sa.DateTime().with_variant(
    mysql.DATETIME(fsp=6), 'mysql', 'mariadb'
)

#: What the names of fences begin with; see :mod:`nova_migration.db.fence`.
FENCE = 'nova_migration_restore'
#: It has a name of its own, because a Nova cell database has Nova's
#: ``alembic_version`` already.
VERSION_TABLE = 'nova_migration_alembic_version'

INDEX = 'migrations_state_and_state_changed_at_idx'


def constraint_name(table: sa.Table) -> str:
    """Return the name of the check that contract adds to a table.

    It is all that who writes by hand is shown, so it says where to look.
    """
    return f'{table.name}_contracted_see_nova_migration_docs'


def constraint_names(table: sa.Table) -> tuple[str, ...]:
    """Return every name that the check has had, the newest first."""
    return constraint_name(table), f'{table.name}_state_and_status'


metadata = sa.MetaData()
MIGRATIONS, SHADOW_MIGRATIONS = nova_schema.define(metadata)
TABLES = (MIGRATIONS, SHADOW_MIGRATIONS)


def added_columns() -> tuple[sa.Column[Any], ...]:
    """Return the columns that expand adds to both tables, all nullable."""
    return (
        sa.Column('state', sa.String(migration.LENGTHS.state)),
        sa.Column('state_reason', sa.Text),
        sa.Column('state_changed_at', _CHANGED_AT),
        sa.Column('legacy_status', sa.String(migration.LENGTHS.status)),
    )


for _table in TABLES:
    for _column in added_columns():
        _table.append_column(_column)

STATE_INDEX = sa.Index(
    INDEX, MIGRATIONS.c.state, MIGRATIONS.c.state_changed_at
)


class Migration:
    """The mapped class of ``migrations``, for what wants an ORM model."""


orm.registry(metadata=metadata).map_imperatively(Migration, MIGRATIONS)
