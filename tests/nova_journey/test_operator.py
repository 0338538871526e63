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

"""The operator's journey, on cell databases that Nova's commands made.

Two services run all the way, and each of them is started again only where
the operator's page says so. At every stage servers move on, through Nova's
own objects; each service shows what was written; deleted rows are archived
and purged.
"""

import pathlib
import tempfile

import sqlalchemy as sa

from nova_migration.db import schema
from nova_migration.states import MigrationFlag
from nova_migration.states import machine_for
from tests import base as tests_base
from tests.functional import base as functional_base
from tests.nova import base
from tests.nova_journey import lives as lives_mod
from tests.nova_journey import operator

SERVICES = ('api', 'conductor')

#: What Nova is told of rows that are not expanded, and of ones that are.
WAITS = 'the database is not expanded'
GUARDS = 'guards the migrations of'


class JourneyTest(functional_base.DatabaseTest, tests_base.TestCase):
    """There, on MariaDB, and back."""

    BACKEND = 'mysql'
    timeout = 1800

    def setUp(self):
        super().setUp()
        urls = {
            name: self.useFixture(
                functional_base.EmptyDatabase(self.BACKEND)
            ).url
            for name in ('api', 'cell0', 'cell1')
        }
        self.operator = operator.Operator(
            pathlib.Path(tempfile.mkdtemp()), urls
        )
        self.cell = sa.create_engine(urls['cell1'])
        self.addCleanup(self.cell.dispose)
        self.running = {}
        self.addCleanup(self.stop_services)
        #: What is still to be said of a migration, by its id.
        self.left = {}
        self.servers = {}
        self.kinds = {}
        self.said = {}

    def restart(self, *names):
        """Start services with what is configured and found now."""
        for name in names or SERVICES:
            if name in self.running:
                self.running.pop(name).stop()
            self.running[name] = self.operator.start(name)

    def stop_services(self):
        """Stop what runs."""
        while self.running:
            self.running.popitem()[1].stop()

    def ask(self, name, what, **arguments):
        """Ask a service, or every one, which must agree."""
        names = [name] if name else SERVICES
        answers = [self.running[n].ask(what, **arguments) for n in names]
        self.assertEqual(answers, answers[:1] * len(answers))
        return answers[0]

    def stage(self):
        """Move what moves, and look at it; archive and purge."""
        self.advance()
        self.begin()
        self.look()
        self.delete()
        self.archive_and_purge()
        self.look()

    def begin(self):
        """Begin each recorded life once more."""
        for number, (kind, statuses) in enumerate(lives_mod.lives()):
            name = SERVICES[number % 2]
            made = self.ask(name, 'begin', kind=kind, status=statuses[0])
            migration = made['id']
            self.servers[migration] = made['server']
            self.kinds[migration] = kind
            self.said[migration] = statuses[0]
            self.left[migration] = list(statuses[1:])

    def advance(self):
        """Let every migration that goes on take one step."""
        for migration, statuses in self.left.items():
            if statuses:
                status = statuses.pop(0)
                found = self.ask(
                    SERVICES[migration % 2],
                    'report',
                    migration=migration,
                    status=status,
                )
                self.assertEqual(status, found)
                self.said[migration] = status

    def look(self):
        """Compare what the services show with what they were told."""
        expected = {str(key): status for key, status in self.said.items()}
        self.assertEqual(expected, self.ask(None, 'statuses'))
        for status in sorted(set(self.said.values())):
            self.assertEqual(
                self.migrations_in({status}),
                self.ask(None, 'found', statuses=[status]),
                status,
            )
        self.assertEqual(
            sorted(
                migration
                for migration, status in self.said.items()
                if MigrationFlag.IN_PROGRESS
                in machine_for(self.kinds[migration]).legacy[status].flags
            ),
            self.ask(None, 'in_progress'),
        )

    def migrations_in(self, statuses):
        """Return the ids of the migrations that were last said to be so."""
        return sorted(
            migration
            for migration, status in self.said.items()
            if status in statuses
        )

    def delete(self):
        """Delete the servers whose moves are over."""
        over = [key for key, statuses in self.left.items() if not statuses]
        for migration in over:
            self.ask('api', 'delete', server=self.servers[migration])
            del self.left[migration], self.said[migration]
        self.deleted = sorted(over)

    def archive_and_purge(self):
        """Run Nova's commands; what was deleted goes by way of the shadow."""
        before = self.rows('migrations', self.deleted)
        self.operator.nova_manage(
            'db', 'archive_deleted_rows', '--all-cells', exits=(1,)
        )
        self.assertEqual([], self.rows('migrations', self.deleted))
        self.assertEqual(before, self.rows('shadow_migrations', self.deleted))
        self.operator.nova_manage('db', 'purge', '--all', '--all-cells')
        self.assertEqual(0, self.count('shadow_migrations'))

    def rows(self, name, ids):
        """Return rows as stored, in every column."""
        table = self.table(name)
        query = sa.select(table).where(table.c.id.in_(ids)).order_by('id')
        with self.cell.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def table(self, name):
        """Return a table as the database has it now."""
        return sa.Table(
            name, sa.MetaData(), autoload_with=self.cell, resolve_fks=False
        )

    def count(self, name, where='1 = 1'):
        """Count rows."""
        query = sa.text(f'SELECT count(*) FROM {name} WHERE {where}')
        with self.cell.connect() as connection:
            return connection.scalar(query)

    def upgrade(self, phase, **options):
        """Run a phase of the upgrade on each cell."""
        for cell in ('cell0', 'cell1'):
            self.operator.manage(cell, 'db', 'upgrade', phase, **options)

    def restore(self, *options):
        """Go back on each cell."""
        for cell in ('cell0', 'cell1'):
            self.operator.manage(cell, 'db', 'restore', *options)

    def test_there_and_back(self):
        """Each stage works, and shows what Nova alone would show."""
        self.operator.install_nova()
        self.restart()
        self.stage()
        before = self.structure()
        self.name_the_word()
        self.expand()
        self.turn_on_canonical()
        self.migrate()
        self.contract()
        self.go_back()
        self.assertEqual(before, self.structure())

    def structure(self):
        """Return everything that is to be known of the two tables."""
        return [base.structure_of(self.cell, name) for name in base.TABLES]

    def name_the_word(self):
        """The word does nothing yet but say what to run."""
        self.operator.name_in_urls(operator.WORD)
        self.restart()
        self.stage()
        for service in self.running.values():
            self.assertEqual(1, service.said(WAITS))

    def expand(self):
        """Services go on as they were until they are started again."""
        self.upgrade('--expand')
        self.stage()
        for name in SERVICES:
            self.restart(name)
            self.stage()
            self.assertEqual(1, self.running[name].said(GUARDS))
        self.assertEqual(0, self.count('migrations', 'state IS NOT NULL'))

    def turn_on_canonical(self):
        """New rows are canonical; the others keep their form."""
        self.operator.configure('nova_migration', status_format='canonical')
        for name in SERVICES:
            self.restart(name)
            self.stage()
        self.assertNotEqual(0, self.count('migrations', 'state IS NULL'))
        self.assertNotEqual(0, self.count('migrations', 'state IS NOT NULL'))

    def migrate(self):
        """Every row becomes canonical, and nobody who asks Nova sees it."""
        self.upgrade('--migrate')
        self.assertEqual(0, self.count('migrations', 'state IS NULL'))
        self.stage()

    def contract(self):
        """A legacy row cannot be written any more."""
        self.upgrade('--contract')
        self.stage()
        self.assertEqual(0, self.count('migrations', 'state IS NULL'))
        insert = sa.text("INSERT INTO migrations (status) VALUES ('queued')")
        with self.cell.connect() as connection:
            self.assertRaises(sa.exc.DBAPIError, connection.execute, insert)

    def go_back(self):
        """Legacy rows again, then Nova alone, then its own schema."""
        self.restore()
        self.stage()
        self.operator.configure('nova_migration', status_format='legacy')
        for name in SERVICES:
            self.restart(name)
            self.stage()
        self.restore()
        self.assertEqual(0, self.count('migrations', 'state IS NOT NULL'))
        self.operator.name_in_urls(None)
        self.restart()
        self.look()
        failed = self.operator.nova_manage(
            'db', 'archive_deleted_rows', '--all-cells', exits=(255,)
        )
        self.assertIn(f"KeyError: '{schema.VERSION_TABLE}'", failed)
        self.restore('--drop-columns')
        self.stage()
