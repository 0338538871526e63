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

"""Cell databases that Nova's own migrations made, and what is in them."""

import logging
import re

import fixtures
from nova import context as nova_context
from nova.db import migration as nova_migration_db
from nova.db.main import api as nova_db_api
import sqlalchemy as sa

from nova_migration.db import models
from nova_migration.db import nova_schema
from tests.functional import base as functional_base

on_every_database = functional_base.on_every_database

TABLES = (nova_schema.MAIN, nova_schema.SHADOW)

#: The 27 columns of Nova's, in their order.
NOVA_COLUMNS = tuple(
    column.name for column in nova_schema.columns(sa.Enum(name='_'))
)
OUR_COLUMNS = tuple(column.name for column in models.added_columns())

#: What a server itself says of a table, beside what SQLAlchemy reflects.
_NATIVE = {
    'sqlite': 'SELECT name, sql FROM sqlite_master'
    " WHERE tbl_name = '{0}' AND type = 'index' ORDER BY name",
    'mysql': 'SHOW CREATE TABLE {0}',
    'postgresql': 'SELECT conname, pg_get_constraintdef(oid)'
    " FROM pg_constraint WHERE conrelid = '{0}'::regclass UNION ALL"
    ' SELECT indexname, indexdef FROM pg_indexes'
    " WHERE tablename = '{0}' ORDER BY 1",
}

# The counter goes on where rows were; it is no part of the schema.
_COUNTER = re.compile(r' AUTO_INCREMENT=\d+')


class NovaTest:
    """Mixed in before a database test: the database is a Nova cell's."""

    #: Where Nova's migrations end; None is the newest.
    NOVA_REVISION = None

    def setUp(self):
        super().setUp()
        # Nova's ten revisions and every table that alembic looks at.
        self.useFixture(fixtures.FakeLogger('alembic', logging.WARNING))
        manager = nova_db_api.create_context_manager(
            connection=self.connection()
        )
        self.nova_context = nova_context.get_admin_context()
        self.nova_context.db_connection = manager
        self.addCleanup(manager.writer.get_engine().dispose)
        self.sync(self.NOVA_REVISION)
        # What any other program would connect with.
        self.plain = sa.create_engine(self.url)
        self.addCleanup(self.plain.dispose)

    def connection(self):
        """Return the URL that Nova opens the cell by."""
        return self.url

    def sync(self, revision=None):
        """Run what `nova-manage db sync` runs on a cell."""
        nova_migration_db.db_sync(version=revision, context=self.nova_context)

    def execute(self, text, **values):
        """Run SQL as another program would, in a transaction."""
        with self.plain.begin() as connection:
            return connection.execute(sa.text(text), values)

    def reflected(self, name):
        """Return a table as the database has it now."""
        return sa.Table(
            name, sa.MetaData(), autoload_with=self.plain, resolve_fks=False
        )

    def create_instances(self, uuids):
        """Insert the rows that the foreign key asks for."""
        with self.plain.begin() as connection:
            connection.execute(
                self.reflected('instances').insert(),
                [{'uuid': uuid, 'deleted': 0} for uuid in uuids],
            )

    def content(self, columns=None):
        """Return each row of both tables, exactly as stored.

        :param columns: names; every column that is there by default
        :returns: the values in order, by table name and id
        """
        return {name: self._content(name, columns) for name in TABLES}

    def _content(self, name, columns):
        table = self.reflected(name)
        names = columns or [column.name for column in table.c]
        selected = ', '.join(self._raw(table.c[column]) for column in names)
        with self.plain.connect() as connection:
            rows = connection.exec_driver_sql(
                f'SELECT id, {selected} FROM {name} ORDER BY id'
            ).all()
        return {row[0]: tuple(row[1:]) for row in rows}

    def _raw(self, column):
        """Return SQL for a column's bytes: no collation, no conversion."""
        is_text = isinstance(column.type, sa.String)
        if self.plain.dialect.name == 'mysql' and is_text:
            return f'CAST({column.name} AS BINARY)'
        return column.name

    def assertSameRows(self, expected, actual):
        """Compare two results of :meth:`content`, naming what differs."""
        differing = [
            (name, row_id, rows.get(row_id), actual[name].get(row_id))
            for name, rows in expected.items()
            for row_id in sorted(rows.keys() | actual[name].keys())
            if rows.get(row_id) != actual[name].get(row_id)
        ]
        self.assertEqual([], differing[:3])

    def structure(self):
        """Return everything that is to be known of the tables' schema."""
        inspector = sa.inspect(self.plain)
        return {
            'tables': sorted(inspector.get_table_names()),
            **{name: structure_of(self.plain, name) for name in TABLES},
            **{f'{name} native': self._native(name) for name in TABLES},
        }

    def _native(self, name):
        query = _NATIVE[self.plain.dialect.name].format(name)
        with self.plain.connect() as connection:
            rows = connection.exec_driver_sql(query).all()
        return [
            tuple(_COUNTER.sub('', value or '') for value in row)
            for row in rows
        ]


def structure_of(engine, name):
    """Return columns, keys, constraints and indexes as reflected."""
    inspector = sa.inspect(engine)

    def by_name(found):
        return sorted(map(repr, found))

    return {
        'columns': [
            (
                column['name'],
                column['type'].compile(engine.dialect),
                getattr(column['type'], 'enums', None),
                column['nullable'],
                column['default'],
            )
            for column in inspector.get_columns(name)
        ],
        'key': inspector.get_pk_constraint(name),
        'options': _options(inspector, name),
        'indexes': by_name(inspector.get_indexes(name)),
        'foreign keys': by_name(inspector.get_foreign_keys(name)),
        'unique': by_name(inspector.get_unique_constraints(name)),
        'checks': by_name(inspector.get_check_constraints(name)),
    }


def _options(inspector, name):
    try:
        return inspector.get_table_options(name)
    except NotImplementedError:  # PostgreSQL's dialect of SQLAlchemy 2.0
        return {}


class DefinedDatabase(fixtures.Fixture):
    """A database of a backend with the tables of a metadata."""

    def __init__(self, backend, metadata):
        self.empty = functional_base.EmptyDatabase(backend)
        self.metadata = metadata

    def _setUp(self):
        url = self.useFixture(self.empty).url
        self.engine = sa.create_engine(url)
        self.addCleanup(self.engine.dispose)
        self.metadata.create_all(self.engine)
