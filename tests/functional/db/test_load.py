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

import time

from nova_migration.db import batches
from nova_migration.db import engine
from nova_migration.db import load
from nova_migration.db import models
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests import base
from tests.functional.db import samples
from tests.servers import postgresql
from tests.servers import server


class Standby(postgresql.PostgreSQL):
    """A server that does what its primary does."""

    def __init__(self, primary):
        super().__init__('-chot_standby=on')
        self.primary = primary

    def initialize(self):
        """Copy the primary."""
        beside = postgresql._folders()
        self.run_to_end(
            [
                server.find('pg_basebackup', 'postgresql', *beside),
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

    def test_without_privileges(self):
        """Who may not see the lag is not held up, and not refused."""
        self.primary.ask('CREATE USER nobody_special')
        url = self.db.engine.url.set(username='nobody_special')
        self.standby.ask('SELECT pg_wal_replay_pause()')
        self.wait_for(True)
        other = engine.from_url(url)
        self.addCleanup(other.engine.dispose)
        with other.engine.connect() as connection:
            (gauge,) = load.gauges(connection, 0.2)
            self.assertIsNone(gauge.read(connection))
