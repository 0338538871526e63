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

"""A database that cannot be worked on: the line says why, and what to do."""

import re
import uuid

import fixtures
from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import adopt
from nova_migration.db import api
from nova_migration.db import errors
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.states import MACHINES
from tests.base import ROOT
from tests.functional import base
from tests.functional.cmd import base as cmd_test
from tests.functional.cmd.test_manage import ON_DATABASES

KIND = 'resize'
START = MACHINES[KIND].table.start
EVENT = MACHINES[KIND].table.edges[0].event
ADVICE = ('has not been expanded', 'db upgrade --expand')

NAME = models.constraint_name

#: What the database has to be like for a command to write something.
WRITES = (
    (('upgrade', '--expand'), ()),
    (('upgrade',), ()),
    (('upgrade', '--migrate'), ('--expand',)),
    (('upgrade', '--contract'), ('--expand', '--migrate')),
    (('restore',), ('--expand', '--migrate')),
    (('restore',), ('--expand', '--migrate', '--contract')),
    (('restore', '--drop-columns'), ('--expand',)),
)

#: What says beforehand what is refused.
DRY = tuple(
    (('db', *argv, '--dry-run'), 255)
    for argv in (('upgrade',), ('upgrade', '--migrate'), ('restore',))
)

#: Commands that only look at rows, which a schema of tomorrow has as well.
LOOKS = ('census', 'list', 'show')


@base.on_every_database
class StatementsTest(cmd_test.CommandTest):
    """What the server refuses is said in its own words."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.fill((KIND, START.legacy))

    def forms(self):
        """Yield commands that write, each on a database made for it."""
        for command, phases in WRITES:
            self.work('db', 'restore', '--drop-columns')
            for phase in phases:
                self.work('db', 'upgrade', phase)
            yield ('db', *command), 255
            self.work('db', 'upgrade', '--expand')
        yield ('migration', 'process-event', '1', EVENT, '--reason', 'x'), 1

    def assert_said(self, url, *words):
        """Every command that writes fails with the words, and no guess."""
        for argv, code in self.forms():
            before = self.dump()
            result = cmd_test.run_anywhere('--database-connection', url, *argv)
            self.assertEqual(code, result.code, (argv, result))
            self.assertEqual(1, len(result.err.splitlines()), result.err)
            for guess in ADVICE:
                self.assertNotIn(guess, result.err, argv)
            self.assertTrue(any(word in result.err for word in words), result)
            self.assert_same(before)

    def changed(self, **parts):
        """Return the test's URL with parts changed."""
        url = sa.engine.make_url(self.url).set(**parts)
        return url.render_as_string(hide_password=False)

    def execute(self, *statements):
        """Run statements as the owner of everything."""
        with self.db.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    @base.only_on('mysql')
    def test_user_of_mariadb_who_only_reads(self):
        """A privilege that is missing is named, and where to get it."""
        name = f'reader_{uuid.uuid4().hex[:12]}'
        database = self.db.engine.url.database
        self.execute(
            f"CREATE USER {name}@'%%' IDENTIFIED BY '{name}'",
            f"GRANT SELECT ON {database}.* TO {name}@'%%'",
        )
        self.addCleanup(self.execute, f"DROP USER {name}@'%%'")
        url = self.changed(username=name, password=name)
        self.assert_said(url, 'denied to user')

    @base.only_on('postgresql')
    def test_user_of_postgresql_who_owns_nothing(self):
        """Who does not own the tables is told so."""
        name = f'writer_{uuid.uuid4().hex[:12]}'
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        self.addCleanup(
            self.execute, f'DROP OWNED BY {name}', f'DROP ROLE {name}'
        )
        self.execute(
            f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}',
            'ALTER DEFAULT PRIVILEGES IN SCHEMA public'
            f' GRANT SELECT ON TABLES TO {name}',
        )
        url = self.changed(username=name, password=name)
        self.assert_said(url, 'permission denied', 'must be owner')

    @base.only_on('mysql')
    def test_a_privilege_at_a_time(self):
        """Each privilege that expand needs is named when it is missing."""
        name = f'some_{uuid.uuid4().hex[:12]}'
        database = self.db.engine.url.database
        self.execute(f"CREATE USER {name}@'%%' IDENTIFIED BY '{name}'")
        self.addCleanup(self.execute, f"DROP USER {name}@'%%'")
        url = self.changed(username=name, password=name)
        granted = ['SELECT']
        for missing in ('CREATE', 'INSERT', 'ALTER', 'INDEX'):
            self.execute(
                f"GRANT {', '.join(granted)} ON {database}.* TO {name}@'%%'"
            )
            result = cmd_test.run_anywhere(
                '--database-connection', url, 'db', 'upgrade', '--expand'
            )
            granted.append(missing)
            self.assert_one_line(
                result, 255, f'{missing} command denied', 'Give the user'
            )

    def test_nothing_is_written(self):
        """A server, a session or a file that takes no writes says so."""
        words = {
            'sqlite': 'attempt to write a readonly database',
            'mysql': 'READ ONLY transaction',
            'postgresql': 'read-only transaction',
        }[self.BACKEND]
        url = {
            'sqlite': lambda: self.changed(
                database=f'file:{self.db.engine.url.database}',
                query={'mode': 'ro', 'uri': 'true'},
            ),
            'mysql': lambda: self.changed(
                query={'init_command': 'SET SESSION TRANSACTION READ ONLY'}
            ),
            'postgresql': lambda: self.changed(
                query={'options': '-c default_transaction_read_only=on'}
            ),
        }[self.BACKEND]()
        self.assert_said(url, words)

    @base.only_on('mysql')
    def test_tables_that_would_be_copied(self):
        """The table is named whose engine or format is in the way."""
        for table in models.TABLES:
            # The indexes of the other table are too long for MyISAM.
            for change, back in (
                ('ROW_FORMAT=COMPRESSED', 'ROW_FORMAT=DYNAMIC'),
                ('ENGINE=MyISAM', 'ENGINE=InnoDB'),
            )[: 1 + (table is models.SHADOW_MIGRATIONS)]:
                self.execute(f'ALTER TABLE {table.name} {change}')
                result = self.manage('db', 'upgrade', '--expand')
                self.execute(f'ALTER TABLE {table.name} {back}')
                self.assert_one_line(
                    result,
                    255,
                    'ALGORITHM=INSTANT is not supported',
                    f"'{table.name}'",
                    'SHOW TABLE STATUS',
                )
                for guess in ADVICE:
                    self.assertNotIn(guess, result.err)
        self.work('db', 'upgrade', '--expand')

    def test_the_columns_are_missing(self):
        """Where that is the cause, it is said."""
        for argv in (
            ('db', 'upgrade', '--migrate'),
            ('db', 'upgrade', '--contract'),
            ('migration', 'list'),
            ('migration', 'show', '1'),
        ):
            result = self.manage(*argv)
            self.assertEqual('', result.out)
            for part in ADVICE:
                self.assertIn(part, result.err)


@base.on_every_database
class ContractedTest(cmd_test.CommandTest):
    """A hand-made write after contract."""

    PAGE = ROOT / 'doc/source/admin/upgrade.rst'

    def test_the_name_leads_to_the_page(self):
        """What the server shows stands in the administrator guide."""
        self.work('db', 'upgrade', '--create')
        page = ' '.join(self.PAGE.read_text().split())
        for table in models.TABLES:
            try:
                self.insert(table, migration_type=KIND, status=START.legacy)
            except (db_exc.DBError, sa.exc.DBAPIError) as error:
                said = errors.first_line(error)
            else:
                self.fail(f'{table.name} takes legacy rows')
            (shown,) = re.findall(r'\w*migrations[._]\w+', said)
            self.assertLessEqual(len(shown), 63)
            self.assertIn(shown, page)

    # MariaDB names the check after the column.
    @base.only_on('sqlite', 'postgresql')
    def test_old_name(self):
        """The check of an earlier contract is known, and can be removed."""
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova_migration.db.models.constraint_name',
                lambda table: f'{table.name}_state_and_status',
            )
        )
        self.work('db', 'upgrade', '--create')
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova_migration.db.models.constraint_name', NAME
            )
        )
        self.work('db', 'upgrade', '--contract')
        new = {'migration_type': KIND, 'status': START.legacy}
        self.assertRaises(exception.LegacyRowRefused, api.create, self.db, new)
        self.work('db', 'restore')
        api.create(self.db, new)


@base.on_every_database
class RevisionsTest(cmd_test.CommandTest):
    """A version table that this release cannot have written."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.fill((KIND, START.legacy))
        self.work('db', 'upgrade')

    def version(self, *revisions):
        """Write revisions into the version table."""
        table = sa.table(schema.VERSION_TABLE, sa.column('version_num'))
        with self.db.engine.begin() as connection:
            connection.execute(table.delete())
            for revision in revisions:
                connection.execute(table.insert().values(version_num=revision))

    def assert_refused(self, *words):
        """What changes or decides stops, and what looks goes on."""
        before = self.dump()
        for argv, code in (*ON_DATABASES, *DRY):
            result = self.manage(*argv)
            if argv[1] in LOOKS:
                self.assertEqual((0, ''), (result.code, result.err), argv)
            else:
                self.assert_one_line(
                    result, code, schema.VERSION_TABLE, *words
                )
        result = self.status('upgrade', 'check')
        self.assert_one_line(result, 255, schema.VERSION_TABLE, *words)
        self.assert_same(before)

    def test_unknown(self):
        """A revision that is not known is named, and what to do."""
        heads = schema.heads()
        for revisions in (
            ('0123456789ab',),
            (heads['expand'], '0123456789ab'),
            (heads['contract'][:8],),
            ('heads',),
            ('+1',),
        ):
            self.version(*revisions)
            unknown = [r for r in revisions if r not in heads.values()]
            self.assert_refused(f"'{unknown[0]}'", 'release')

    def test_contradictory(self):
        """Two revisions of one branch are named, and the way out is one."""
        heads = schema.heads()
        (root,) = schema._scripts().get_bases()
        for pair in (
            (root, heads['contract']),
            (root, heads['expand']),
            (heads['expand'], heads['contract']),
        ):
            self.version(*pair)
            self.assert_refused(*pair, 'Delete its rows')
            self.version()
            self.work('db', 'upgrade', '--expand')
            self.work('db', 'upgrade', '--contract')
            self.work('db', 'check')


@base.on_every_database
class NotACellTest(cmd_test.CommandTest):
    """A database of somebody else's, or of nobody's."""

    COMMANDS = (
        *ON_DATABASES,
        *DRY,
        (('db', 'upgrade', '--create'), 255),
        (('db', 'upgrade', '--create', '--dry-run'), 255),
        (('db', 'upgrade', '--expand', '--create'), 255),
    )

    def make(self, *names):
        """Make tables of the names, as of another service."""
        metadata = sa.MetaData()
        for name in names:
            sa.Table(name, metadata, sa.Column('id', sa.Integer))
        metadata.create_all(self.db.engine)
        return metadata

    def assert_refused(self, commands, *words):
        """Each command stops with the words, and changes nothing."""
        before = self.dump()
        for argv, code in commands:
            self.assert_one_line(self.manage(*argv), code, *words)
        self.assert_one_line(self.status('upgrade', 'check'), 255, *words)
        self.assert_same(before)

    def test_of_another_service(self):
        """It is said what the database looks like."""
        for kind, names in adopt._KINDS:
            made = self.make(*names, 'alembic_version')
            self.assert_refused(
                self.COMMANDS[:1], kind, self.db.engine.url.database
            )
            made.drop_all(self.db.engine)
        self.make(*adopt._KINDS[0][1], 'request_specs', 'resource_providers')
        self.assert_refused(self.COMMANDS, adopt._KINDS[0][0], 'Nova cell')

    def test_of_anybody(self):
        """Tables that nobody knows are named."""
        self.make('recipes')
        self.assert_refused(self.COMMANDS, 'recipes', 'Nova cell')

    def test_empty(self):
        """An empty database gets no tables, unless that was asked for."""
        with self.db.engine.connect():
            pass
        self.assert_refused((*ON_DATABASES, *DRY), 'has no tables', '--create')
        self.work('db', 'upgrade', '--expand', '--create')
        self.work('db', 'upgrade')
        self.work('db', 'check')

    def test_tables_that_are_gone(self):
        """Our version table alone makes no cell."""
        self.work('db', 'upgrade', '--create')
        self.work('db', 'restore')
        models.metadata.drop_all(self.db.engine, tables=models.TABLES)
        if self.BACKEND == 'postgresql':
            with self.db.engine.begin() as connection:
                connection.exec_driver_sql(
                    'DROP TYPE IF EXISTS migration_type'
                )
        self.assert_refused((*ON_DATABASES, *DRY), 'has no tables', '--create')
        self.work('db', 'upgrade', '--create')
        self.work('db', 'check')
