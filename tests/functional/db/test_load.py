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

"""The lag of a real standby, as its primary knows it."""

import functools
import sqlite3
import time
import uuid

import fixtures
import sqlalchemy as sa

from nova_migration.db import batches
from nova_migration.db import engine
from nova_migration.db import load
from nova_migration.db import models
from nova_migration.db import pace
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests import base
from tests.functional.cmd import base as cmd_test
from tests.functional.db import samples
from tests.servers import mariadb
from tests.servers import postgresql
from tests.servers import server


class Standby(postgresql.PostgreSQL):
    """A server that does what its primary does."""

    def __init__(self, primary):
        super().__init__('-chot_standby=on')
        self.primary = primary
        self.copy = server.find(
            'pg_basebackup', 'postgresql', *postgresql.folders()
        )

    def initialize(self):
        """Copy the primary."""
        self.run_to_end(
            [
                self.copy,
                f'--pgdata={self.data}',
                '--host=127.0.0.1',
                f'--port={self.primary.port}',
                '--username=postgres',
                '--write-recovery-conf',
                '--checkpoint=fast',
                '--no-sync',
            ]
        )

    def create_database(self, name):
        """It has the primary's databases."""
        return self.url_of(name)


class StandbyTest(base.TestCase):
    """Rows are migrated on a primary."""

    def setUp(self):
        super().setUp()
        self.primary = self.useFixture(postgresql.PostgreSQL())
        self.standby = self.useFixture(Standby(self.primary))
        self.db = engine.from_url(self.primary.url)
        self.addCleanup(self.db.engine.dispose)
        models.metadata.create_all(self.db.engine)

    def lag(self, max_lag=0.2):
        """Return what the gauge says."""
        with self.db.engine.connect() as connection:
            (gauge,) = load.gauges(connection, max_lag)
            return gauge.read(connection)

    def write(self):
        """Have the primary write something."""
        row = samples.legacy('resize', 'error')
        with self.db.engine.begin() as connection:
            connection.execute(models.MIGRATIONS.insert().values(row))

    def wait_for(self, wanted):
        """Write and look until the gauge says something, or nothing."""
        deadline = time.monotonic() + server.PATIENCE
        while bool(said := self.lag()) != wanted:
            self.assertLess(time.monotonic(), deadline)
            self.write()
            time.sleep(0.1)
        return said

    def test_lag(self):
        """A standby that stands still is told of, and waited for."""
        self.write()
        self.wait_for(False)
        self.standby.ask('SELECT pg_wal_replay_pause()')
        self.assertRegex(self.wait_for(True), r'is \d+\.\d s behind$')
        waits = []

        def wait(seconds):
            waits.append(seconds)
            if len(waits) == 3:
                self.standby.ask('SELECT pg_wal_replay_resume()')
            self.write()
            time.sleep(seconds)
            return True

        manner = batches.Manner(max_lag=0.2, wait=wait)
        list(upgrade.migrate(self.db, manner=manner))
        self.assertGreaterEqual(len(waits), 3)
        self.assertIn('s behind', self.log.output)
        state = MACHINES['resize'].legacy['error'].name
        with self.db.engine.connect() as connection:
            found = connection.execute(models.MIGRATIONS.select()).first()
        self.assertEqual(state, found.state)

    def command(self, url):
        """Run the command that migrates; return what it said."""
        result = cmd_test.run_anywhere(
            f'--database-connection={url}',
            'db',
            'upgrade',
            '--migrate',
            '--batch-size=1',
            '--max-lag=0.2',
        )
        self.assertEqual(0, result.code, result)
        return result.err.splitlines()

    def test_command(self):
        """The command says why it waits, and that it waits no longer."""
        self.useFixture(
            fixtures.MonkeyPatch('nova_migration.db.batches.HOLD', 0.1)
        )
        self.standby.ask('SELECT pg_wal_replay_pause()')
        self.wait_for(True)
        waits, goes_on = self.command(self.primary.url)
        self.assertRegex(waits, r'^Holding back: .* is \d+\.\d s behind\.$')
        self.assertIn('does not catch up: going on', goes_on)

    def someone(self):
        """Return the URL of a user who may change rows, and no more."""
        with self.db.engine.begin() as connection:
            for statement in (
                'CREATE USER someone',
                'GRANT ALL ON ALL TABLES IN SCHEMA public TO someone',
            ):
                connection.execute(sa.text(statement))
        return self.db.engine.url.set(username='someone')

    def test_without_privileges(self):
        """Who may not see the lag is told so once, and not held up."""
        self.standby.ask('SELECT pg_wal_replay_pause()')
        self.wait_for(True)
        self.write()
        (line,) = self.command(self.someone().render_as_string())
        self.assertIn('cannot be read', line)
        self.assertIn('pg_monitor', line)

    def test_with_privileges(self):
        """The role pg_monitor is enough to see the lag."""
        url = self.someone()
        with self.db.engine.begin() as connection:
            connection.execute(sa.text('GRANT pg_monitor TO someone'))
        self.standby.ask('SELECT pg_wal_replay_pause()')
        self.wait_for(True)
        other = engine.from_url(url)
        self.addCleanup(other.engine.dispose)
        with other.engine.connect() as connection:
            (gauge,) = load.gauges(connection, 0.2)
            self.assertIn('s behind', gauge.read(connection))


class TrafficTest:
    """Whether a database has other writers; it is one of the test's own."""

    #: The limits that suit it.
    LIMITS = 'SERVER'

    def setUp(self):
        super().setUp()
        url = self.create_database()
        self.db = engine.from_url(url)
        self.addCleanup(self.db.engine.dispose)
        models.metadata.create_all(self.db.engine)
        rows = [
            samples.legacy('live-migration', 'queued', id=row_id)
            for row_id in range(1, 101)
        ]
        with self.db.engine.begin() as connection:
            connection.execute(models.MIGRATIONS.insert(), rows)
        self.others = engine.from_url(url)
        self.addCleanup(self.others.engine.dispose)
        self.write(self.others)

    def create_database(self):
        """Return the URL of an empty database."""
        return self.useFixture(self.SERVER()).create_database('cell')

    def write(self, database, between=lambda: None):
        """Change all rows: SQLite writes nothing where nothing changes."""
        host = uuid.uuid4().hex
        with database.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.update().values(dest_host=host)
            )
            between()

    def traffic(self, interval=0.0):
        """Return what looks at the server."""
        mark = load.MARKS[self.db.engine.dialect.name]
        return load.Traffic(mark, interval)

    def test_alone(self):
        """What others write counts, and what we write does not."""
        traffic = self.traffic()
        with self.db.engine.connect() as connection:
            self.assertFalse(traffic.is_alone(connection))
            self.assertTrue(traffic.is_alone(connection))
            with connection.begin():
                connection.execute(
                    models.MIGRATIONS.update().values(deleted=0)
                )
            self.assertTrue(traffic.is_alone(connection))
            self.write(self.others)
            self.assertFalse(traffic.is_alone(connection))
            self.assertTrue(traffic.is_alone(connection))

    def test_interval(self):
        """Batches that are quicker than the interval do not ask."""
        traffic = self.traffic(interval=60.0)
        with self.db.engine.connect() as connection:
            self.assertFalse(traffic.is_alone(connection))
            self.assertFalse(traffic.is_alone(connection))

    def use_small_batches(self):
        """Have the limits suit a small table, and every batch look."""
        alone = pace.Limits(1, 2, 40, 1e9)
        limits = pace.Limits(1, 2, 2, 1e9, alone=alone)
        for name, value in (
            (f'pace.{self.LIMITS}', limits),
            ('load.Traffic', functools.partial(load.Traffic, interval=0.0)),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(f'nova_migration.db.{name}', value)
            )

    def sizes(self, between=lambda: None):
        """Migrate; return how many rows the batches had."""
        self.use_small_batches()
        sizes = []
        for batch in upgrade.migrate(self.db):
            sizes.append(batch.seen)
            between()
        return sizes

    def test_batches(self):
        """They are larger where nobody else writes."""
        self.assertEqual([2, 2, 4, 8, 16, 32, 36], self.sizes())

    def test_batches_beside_a_writer(self):
        """They are not where somebody does."""
        sizes = self.sizes(lambda: self.write(self.others))
        self.assertEqual([2] * 50, sizes)


class MariaDBTrafficTest(TrafficTest, base.TestCase):
    """MariaDB counts statements."""

    SERVER = mariadb.MariaDB


class SQLiteTrafficTest(TrafficTest, base.TestCase):
    """SQLite counts the commits of others."""

    LIMITS = 'FILE'

    def create_database(self):
        """Return the URL of a file that is made when it is opened."""
        folder = self.useFixture(fixtures.TempDir()).path
        return f'sqlite:///{folder}/cell.db'

    def test_locked_file(self):
        """A look at a file that somebody holds is tried again like a batch."""
        self.use_small_batches()
        url = self.db.engine.url.update_query_dict({'timeout': '0.01'})
        hasty = engine.from_url(url)
        self.addCleanup(hasty.engine.dispose)
        holder = sqlite3.connect(url.database, isolation_level=None)
        self.addCleanup(holder.close)

        def wait(_seconds):
            holder.execute('ROLLBACK')
            return True

        tries = []
        for batch in upgrade.migrate(hasty, manner=batches.Manner(wait=wait)):
            if not tries:
                holder.execute('BEGIN EXCLUSIVE')
            tries.append(batch.tries)
        self.assertEqual([1, 2, 1], tries[:3])


class PostgreSQLTrafficTest(TrafficTest, base.TestCase):
    """PostgreSQL knows what its sessions do."""

    SERVER = postgresql.PostgreSQL

    def test_busy_session(self):
        """Somebody who has not ended yet is not alone with us."""
        traffic = self.traffic()
        with self.db.engine.connect() as connection:

            def look():
                self.assertFalse(traffic.is_alone(connection))
                self.assertFalse(traffic.is_alone(connection))

            self.write(self.others, look)

    def test_other_users(self):
        """Sessions that may not be looked at are taken for busy."""
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql('CREATE ROLE nobody LOGIN')
        url = self.db.engine.url.set(username='nobody')
        plain = engine.from_url(url)
        self.addCleanup(plain.engine.dispose)
        traffic = self.traffic()
        with plain.engine.connect() as connection:
            self.assertFalse(traffic.is_alone(connection))
            self.assertFalse(traffic.is_alone(connection))
