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

"""Whether the tables that are there are the ones that are known."""

from collections.abc import Iterator
from typing import Any

from alembic import autogenerate
from alembic.runtime import migration
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import errors
from nova_migration.db import models
from nova_migration.db import nova_schema

_MISSING = 'is missing'


def check(connection: sa.Connection) -> bool:
    """Check the tables that are there; return whether they are.

    :raises UnknownSchema: naming the table and the column that differ, a
        column of another maker that has the name of one of ours included
    """
    metadata = sa.MetaData()
    tables = nova_schema.define(metadata)
    inspector = sa.inspect(connection)
    missing = [t.name for t in tables if not inspector.has_table(t.name)]
    if len(missing) == len(tables):
        return False
    found = [(name, f'it {_MISSING}') for name in missing]
    found = found or list(differences(connection, metadata))
    found = found or _misnamed(connection) or _other_words(connection)
    if found:
        table, difference = found[0]
        raise exception.UnknownSchema(table=table, difference=difference)
    return True


def require_cell(connection: sa.Connection, create: bool = False) -> None:
    """Refuse a database that has none of the tables.

    :param create: an empty one will do
    :raises EmptyDatabase: it has no tables of anybody's
    :raises NotACell: saying what it looks like
    """
    inspector = sa.inspect(connection)
    if any(inspector.has_table(table.name) for table in models.TABLES):
        return
    present = {*inspector.get_table_names()} - {models.VERSION_TABLE}
    if create and not present:
        return
    kind = exception.NotACell if present else exception.EmptyDatabase
    raise kind(
        url=errors.shown(connection.engine.url),
        table=models.MIGRATIONS.name,
        looks=_looks_like(present) if present else 'has no tables',
    )


#: What a database is that has both tables: the first one that fits.
_KINDS = (
    ("Nova's API database", ('cell_mappings', 'instance_mappings')),
    ("Nova's from before Nova 34", ('instances', 'instance_faults')),
    ("Placement's", ('resource_providers', 'inventories')),
    ("Glance's", ('images', 'image_properties')),
    ("Cinder's", ('volumes', 'snapshots')),
    ("Neutron's", ('ports', 'networks')),
    ("Keystone's", ('project', 'user')),
)


def _looks_like(present: set[str]) -> str:
    for kind, tables in _KINDS:
        if present.issuperset(tables):
            return kind
    named = sorted(present)[:3]
    return f'that of somebody who has the tables {", ".join(named)}'


def _misnamed(connection: sa.Connection) -> list[tuple[str, str]]:
    """Return what differs of columns named as ours, if they are there."""
    return [
        (table, difference)
        for table, difference in differences(connection, models.metadata)
        if not difference.endswith(_MISSING)
    ]


def _other_words(connection: sa.Connection) -> list[tuple[str, str]]:
    """Return what differs of the enumeration, which alembic leaves out."""
    wanted = set(nova_schema.MIGRATION_TYPES)
    return [
        (table.name, f"column 'migration_type' enumerates {kind.enums}")
        for table in models.TABLES
        for kind in (_type_of(connection, table.name, 'migration_type'),)
        if isinstance(kind, sa.Enum) and set(kind.enums) != wanted
    ]


def _type_of(connection: sa.Connection, table: str, column: str) -> Any:
    found = sa.inspect(connection).get_columns(table)
    return next(row['type'] for row in found if row['name'] == column)


def create_or_check(connection: sa.Connection) -> None:
    """Create Nova's tables in an empty database; elsewhere check them.

    :raises UnknownSchema: as :func:`check`
    """
    if not check(connection):
        metadata = sa.MetaData()
        nova_schema.define(metadata)
        metadata.create_all(connection)


def differences(
    connection: sa.Connection, metadata: sa.MetaData
) -> Iterator[tuple[str, str]]:
    """Yield table and description of each difference that matters.

    Further columns are none of our business; indexes are the operator's.
    """
    context = migration.MigrationContext.configure(
        connection,
        opts={
            'compare_type': True,
            'include_name': _only(metadata),
            'target_metadata': metadata,
        },
    )
    for change in autogenerate.compare_metadata(context, metadata):
        for step in change if isinstance(change, list) else [change]:
            text = _describe(step)
            if text:
                yield text


def _only(metadata: sa.MetaData) -> Any:
    def include(name: str | None, kind: str, parents: Any) -> bool:
        if kind == 'table':
            return name in metadata.tables
        return kind in ('schema', 'column')

    return include


def _describe(step: tuple[Any, ...]) -> tuple[str, str] | None:
    action, *details = step
    if action == 'add_column':
        _schema, table, column = details
        return table, f"column '{column.name}' {_MISSING}"
    if action == 'modify_type':
        _schema, table, column, _existing, found, wanted = details
        return table, f"column '{column}' is {found}, not {wanted}"
    if action == 'modify_nullable':
        _schema, table, column, _existing, found, _wanted = details
        said = 'nullable' if found else 'NOT NULL'
        return table, f"column '{column}' is {said}"
    return None
