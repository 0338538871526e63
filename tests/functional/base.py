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

"""Tests on real databases: SQLite always, the servers where they answer."""

import pathlib
import sys
import tempfile
import time
import uuid

import fixtures
import sqlalchemy as sa

from nova_migration import context
from nova_migration.conf import opts
from nova_migration.db import engine
from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.db import schema
from tests import base
from tests.servers import shared

BACKENDS = ('sqlite', *shared.KINDS)


class EmptyDatabase(fixtures.Fixture):
    """A new database without tables; :attr:`url` names it."""

    def __init__(self, backend):
        self.server = None if backend == 'sqlite' else shared.url_of(backend)

    def _setUp(self):
        if self.server is None:
            folder = pathlib.Path(tempfile.mkdtemp())
            self.url = f'sqlite:///{folder / "test.db"}'
            return
        admin = sa.create_engine(
            self.server,
            isolation_level='AUTOCOMMIT',
            poolclass=sa.NullPool,
        )
        name = f'nova_migration_{uuid.uuid4().hex[:12]}'
        with admin.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE {name}')
        self.addCleanup(self._drop, admin, name)
        self.url = admin.url.set(database=name).render_as_string(
            hide_password=False
        )

    @staticmethod
    def _drop(admin, name):
        force = ' WITH (FORCE)' if admin.dialect.name == 'postgresql' else ''
        with admin.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE {name}{force}')


class DatabaseTest:
    """Mixed into a test class of one backend by :func:`on_every_database`."""

    BACKEND = 'sqlite'
    STATUS_FORMAT = opts.StatusFormat.LEGACY

    def setUp(self):
        super().setUp()
        self.url = self.useFixture(EmptyDatabase(self.BACKEND)).url
        self.db = self.open()
        self.context = context.get_admin_context(self.db)

    def listen(self, name, heard):
        """Call a function on an event of the engine, for this test."""
        event = (self.db.engine, name, heard)
        sa.event.listen(*event)
        self.addCleanup(sa.event.remove, *event)

    def open(self, status_format=None):
        """Open the test's database with an engine of its own."""
        database = engine.from_url(
            self.url, status_format or self.STATUS_FORMAT
        )
        self.addCleanup(database.engine.dispose)
        return database

    def create_nova_tables(self):
        """Create the two tables as Nova 34 has them."""
        metadata = sa.MetaData()
        tables = nova_schema.define(metadata)
        metadata.create_all(self.db.engine)
        return tables

    def expand(self):
        """Create the tables and add our columns."""
        schema.expand(self.db, create=True)

    def insert(self, table=models.MIGRATIONS, **values):
        """Insert a raw row and return its id."""
        with self.db.engine.begin() as connection:
            result = connection.execute(table.insert().values(**values))
        return result.inserted_primary_key[0]

    def wait_for_lock(self):
        """Wait until somebody's UPDATE of the table waits for a lock.

        What InnoDB tells of its transactions is renewed only when nobody
        asks for a moment, and other tests ask; so an UPDATE of a few rows
        that takes long is what is looked for on MariaDB.
        """
        query = {
            'mysql': 'SELECT count(*) FROM information_schema.processlist'
            " WHERE db = database() AND info LIKE 'UPDATE migrations%'"
            ' AND time_ms > 300',
            'postgresql': 'SELECT count(*) FROM pg_stat_activity'
            ' WHERE datname = current_database()'
            " AND wait_event_type = 'Lock'"
            " AND query LIKE 'UPDATE migrations%'",
        }[self.BACKEND]
        watch = self.open()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with watch.engine.connect() as connection:
                if connection.scalar(sa.text(query)):
                    return
            time.sleep(0.05)
        self.fail('nobody waited for a lock')

    def row(self, row_id, table=models.MIGRATIONS):
        """Return a raw row."""
        with self.db.engine.connect() as connection:
            return connection.execute(
                sa.select(table).where(table.c.id == row_id)
            ).one()

    def rows(self, table=models.MIGRATIONS):
        """Return every raw row, by id."""
        with self.db.engine.connect() as connection:
            return connection.execute(
                sa.select(table).order_by(table.c.id)
            ).all()


def only_on(*backends):
    """Mark a test of something that other kinds of database do not have."""

    def mark(test):
        test.backends = backends
        return test

    return mark


def on_every_database(mixin):
    """Make a test class of a mixin for each kind of database.

    A mixin may name some of them in ``backends``.
    """
    module = sys.modules[mixin.__module__]
    for backend in getattr(mixin, 'backends', BACKENDS):
        name = f'{mixin.__name__}_{backend}'
        elsewhere = {
            attribute: None
            for attribute, test in vars(mixin).items()
            if backend not in getattr(test, 'backends', BACKENDS)
        }
        made = type(
            name,
            (mixin, DatabaseTest, base.TestCase),
            {
                'BACKEND': backend,
                '__module__': mixin.__module__,
                **elsewhere,
            },
        )
        setattr(module, name, made)
    return mixin
