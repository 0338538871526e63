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


"""``--dry-run`` and ``--sql``: what would be done, and nothing done."""

import os
import re
import shutil
import subprocess

import sqlalchemy as sa

from nova_migration.cmd import exits
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test

KIND = MIGRATION_TYPES[0]
START = MACHINES[KIND].table.start
PHASES = ('expand', 'migrate', 'contract')
TABLES = (*(table.name for table in models.TABLES), schema.VERSION_TABLE)

#: What the server calls the whole of a table.
_DEFINITION = {
    'mysql': 'SHOW CREATE TABLE {name}',
    'sqlite': "SELECT name, sql FROM sqlite_master WHERE tbl_name = '{name}'"
    ' AND sql IS NOT NULL ORDER BY name',
    'postgresql': 'SELECT conname, convalidated, pg_get_constraintdef(oid)'
    " FROM pg_constraint WHERE conrelid = to_regclass('{name}')"
    ' ORDER BY conname',
}


def _lines(connection, query):
    """Return what a query says, by lines; keys have any order there."""
    rows = connection.exec_driver_sql(query)
    return sorted(
        line.strip(' ,')
        for row in rows
        for line in ' '.join(map(str, row)).splitlines()
    )


class PlannedTest(cmd_test.CommandTest):
    """Begins with Nova's tables and rows in both of them."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.fill((KIND, START.legacy), (KIND, START.legacy))
        shadow = models.nova_schema.define(sa.MetaData())[1]
        self.insert(shadow, migration_type=KIND, status=START.legacy)

    def everything(self):
        """Return each table's definition and rows, and each index."""
        inspector = sa.inspect(self.db.engine)
        there = [name for name in TABLES if inspector.has_table(name)]
        text = _DEFINITION[self.BACKEND]
        with self.db.engine.connect() as connection:
            told = [
                f'{name}: {part}'
                for name in there
                for part in (
                    *_lines(connection, text.format(name=name)),
                    *(sorted(map(str, inspector.get_columns(name)))),
                    *(sorted(map(str, inspector.get_indexes(name)))),
                )
            ]
        for name, (columns, rows) in self.dump().items():
            told += [f'{name}: {columns}', *(f'{name}: {r}' for r in rows)]
        return [re.sub(r'\s+', ' ', line) for line in told]

    def assert_as(self, wanted):
        """The database is as it was told before."""
        now = self.everything()
        self.assertEqual(
            ([], []),
            (
                [line for line in wanted if line not in now],
                [line for line in now if line not in wanted],
            ),
        )
        self.assertEqual(len(wanted), len(now))

    def planned(self, *argv, code=0):
        """Ask what would be done, of which nothing may be done."""
        before = self.everything()
        rows = self.work(
            'db', *argv, '--dry-run', '-f', 'json', code=code
        ).json
        self.work('db', *argv, '--dry-run', code=code)
        self.assert_as(before)
        return rows

    def done(self, *argv, code=0):
        """Do it."""
        return self.work('db', *argv, '-f', 'json', code=code).json

    def assert_foretold(self, *argv, code=0):
        """A dry run tells what a run then does, and exits with its code."""
        planned = self.planned(*argv, code=code)
        done = self.done(*argv, code=code)
        keys = ('phase', 'changed', 'rows_changed', 'rows_remaining')
        for key in (*keys, 'left_alone'):
            self.assertEqual(
                [row[key] for row in done], [row[key] for row in planned], key
            )
        for row in planned:
            if row['phase'] != 'migrate':
                does = bool(row['statements'] or row['rows_changed'])
                self.assertEqual(row['changed'], does)
        return planned


@base.on_every_database
class DryRunTest(PlannedTest):
    """What is foretold is what comes, and nothing is touched before."""

    def test_everything_at_once(self):
        """All phases of the whole way, twice, and back."""
        for _time in range(2):
            self.assert_foretold('upgrade')
        for _time in range(2):
            self.assert_foretold('restore')
        for _time in range(2):
            self.assert_foretold('restore', '--drop-columns')

    def test_phase_by_phase(self):
        """Each phase for itself, each twice."""
        for phase in PHASES:
            for _time in range(2):
                self.assert_foretold('upgrade', f'--{phase}')

    def test_rows_of_each_table(self):
        """The rows of each table are told, and the DDL."""
        out = self.work('db', 'upgrade', '--dry-run').out
        self.assertIn('3 would be made canonical', out)
        self.assertIn('  2 of migrations\n', out)
        self.assertIn('  1 of shadow_migrations\n', out)
        self.assertIn('CREATE INDEX', out)

    def test_a_part_of_the_rows(self):
        """--max-count is heeded."""
        self.done('upgrade', '--expand')
        argv = ('--max-count', '1')
        code = exits.ROWS_REMAIN
        self.assert_foretold('upgrade', '--migrate', *argv, code=code)
        self.done('upgrade')
        self.assert_foretold('restore', *argv, code=code)

    def test_unknown_strings(self):
        """Unknown strings are named, and --map is heeded."""
        self.fill((KIND, cmd_test.UNKNOWN))
        code = exits.NOT_MIGRATED
        planned = self.assert_foretold('upgrade', code=code)
        self.assertEqual(
            cmd_test.UNKNOWN, planned[1]['left_alone'][0]['status']
        )
        rule = f'--map={cmd_test.UNKNOWN}={START.name}'
        self.assert_foretold('upgrade', '--migrate', rule)

    def test_inconsistent_rows(self):
        """--inconsistent is heeded: what is believed decides the rest."""
        self.done('upgrade', '--expand')
        row = {'migration_type': KIND, 'state': START.name}
        self.insert(status=cmd_test.UNKNOWN, **row)
        argv = ('upgrade', '--migrate')
        code = exits.NOT_MIGRATED
        self.planned(*argv, code=code)
        planned = self.planned(*argv, '--inconsistent=status', code=code)
        self.assertEqual('unknown', planned[0]['left_alone'][0]['form'])
        (planned,) = self.planned(*argv, '--inconsistent=state')
        self.assertEqual([], planned['left_alone'])
        self.assertTrue(planned['changed'])

    def test_what_would_be_refused(self):
        """What a run refuses is refused, and nothing is touched."""
        for argv in (
            ('upgrade', '--migrate'),
            ('upgrade', '--contract'),
        ):
            before = self.everything()
            dry = self.manage('db', *argv, '--dry-run')
            self.assert_as(before)
            wet = self.manage('db', *argv)
            self.assertEqual(dry, wet)
            self.assertEqual(exits.UPGRADE_ERROR, dry.code)
        self.done('upgrade', '--expand')
        dry = self.manage('db', 'upgrade', '--contract', '--dry-run')
        self.assertEqual(self.manage('db', 'upgrade', '--contract'), dry)
        self.assertEqual(exits.UPGRADE_ERROR, dry.code)


@base.on_every_database
class EmptyTest(cmd_test.CommandTest):
    """A dry run of what has no tables yet."""

    def test_tables_that_would_be_made(self):
        """With --create there is no row to look at, and nothing is made."""
        argv = ('db', 'upgrade', '--create')
        dry = self.work(*argv, '--dry-run', '-f', 'json').json
        self.assertEqual([], sa.inspect(self.db.engine).get_table_names())
        wet = self.work(*argv, '-f', 'json').json
        for key in ('phase', 'changed', 'rows_changed'):
            self.assertEqual([r[key] for r in wet], [r[key] for r in dry])


class NoFileTest(cmd_test.InTemporaryFolder, test_base.TestCase):
    """What is only asked makes no SQLite file."""

    def test_no_file_is_made(self):
        """A dry run of a file that is not there says so."""
        for argv, code in (
            (('upgrade', '--dry-run'), exits.UPGRADE_ERROR),
            (('restore', '--dry-run'), exits.UPGRADE_ERROR),
            (('upgrade', '--expand', '--sql'), exits.DONE),
            (('upgrade', '--contract', '--sql'), exits.UPGRADE_ERROR),
        ):
            result = cmd_test.run_anywhere(
                '--database-connection', 'sqlite:///none.db', 'db', *argv
            )
            self.assertEqual(code, result.code, result)
            self.assertEqual([], list(self.folder.iterdir()))

    def test_nobody_is_asked(self):
        """The script is printed where no server answers."""
        url = 'mysql+pymysql://nova:secret@127.0.0.1:1/nova'
        result = cmd_test.run_anywhere(
            '--database-connection', url, 'db', 'upgrade', '--expand', '--sql'
        )
        self.assertEqual((0, ''), (result.code, result.err))
        self.assertNotIn('secret', result.out)

    def test_rows_are_no_ddl(self):
        """--sql is for one phase that has DDL."""
        for argv in ((), ('--migrate',), ('--expand', '--dry-run')):
            result = cmd_test.run_anywhere('db', 'upgrade', '--sql', *argv)
            self.assertEqual((exits.WRONG_CALL, ''), (result.code, result.out))

    def test_what_a_script_does_not_read(self):
        """An option that changes nothing in the script is a wrong call."""
        expand, contract = ('upgrade', '--expand'), ('upgrade', '--contract')
        for command, *options in (
            (expand, '--create'),
            (expand, '--throttle', '0'),
            (contract, '--map', 'odd=error'),
            (expand, '-f', 'json'),
            (contract, '-c', 'phase'),
            (('restore',), '--max-count', '5'),
            (('restore', '--drop-columns'), '--max-lag', '0'),
        ):
            result = cmd_test.run_anywhere(
                '--database-connection',
                'mysql+pymysql://nova:secret@127.0.0.1:1/nova',
                'db',
                *command,
                '--sql',
                *options,
            )
            self.assertEqual((exits.WRONG_CALL, ''), (result.code, result.out))
            self.assertIn(options[0], result.err)


def _client(url):
    """Return the command line of the server's own client, and a variable."""
    if url.get_backend_name() == 'sqlite':
        return ['sqlite3', url.database], {}
    if url.get_backend_name() == 'postgresql':
        plain = url.set(drivername='postgresql')
        return ['psql', '-q', plain.render_as_string(hide_password=False)], {}
    where = ['-h', url.host, '-P', str(url.port or 3306)]
    return (
        ['mariadb', *where, '-u', url.username, url.database],
        {'MYSQL_PWD': url.password or ''},
    )


@base.on_every_database
class ScriptTest(PlannedTest):
    """The server's client makes of a script what the command does."""

    def setUp(self):
        super().setUp()
        self.argv, self.variables = _client(sa.make_url(self.url))
        if shutil.which(self.argv[0]) is None:
            self.skipTest(f'{self.argv[0]} is not installed')

    def feed(self, *argv):
        """Run a script; return the client's exit code and errors."""
        self.db.engine.dispose()
        script = self.work('db', *argv, '--sql').out
        done = subprocess.run(
            self.argv,
            input=script,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=cmd_test.PATIENCE,
            check=False,
        )
        return done.returncode, done.stderr

    def run_script(self, *argv):
        """Run a script, which has to get through."""
        code, err = self.feed(*argv)
        self.assertEqual(0, code, err)
        self.assertNotIn('ERROR', err)

    def twin(self):
        """Take the test's twin: another database with the same rows."""
        self.url = self.useFixture(base.EmptyDatabase(self.BACKEND)).url
        self.argv, self.variables = _client(sa.make_url(self.url))
        self.db = self.open()
        self.create_nova_tables()
        self.fill((KIND, START.legacy), (KIND, START.legacy))
        shadow = models.nova_schema.define(sa.MetaData())[1]
        self.insert(shadow, migration_type=KIND, status=START.legacy)

    def test_expand(self):
        """The schema, the version and the rows are the same."""
        self.work('db', 'upgrade', '--expand')
        wanted = self.everything()
        self.twin()
        self.run_script('upgrade', '--expand')
        self.assert_as(wanted)
        self.work('db', 'check', code=exits.MIGRATE_NEEDED)

    @base.only_on('mysql', 'postgresql')
    def test_contract(self):
        """So they are after the whole way, and on each station back."""
        self.work('db', 'upgrade')
        stations = [self.everything()]
        for argv in (('restore',), ('restore', '--drop-columns')):
            self.work('db', *argv)
            stations.append(self.everything())
        self.twin()
        self.run_script('upgrade', '--expand')
        self.work('db', 'upgrade', '--migrate')
        self.run_script('upgrade', '--contract')
        self.assert_as(stations[0])
        self.work('db', 'check')
        self.run_script('restore')
        self.work('db', 'restore')
        self.assert_as(stations[1])
        self.run_script('restore', '--drop-columns')
        self.assert_as(stations[2])

    @base.only_on('mysql', 'postgresql')
    def test_guards(self):
        """A script stops where the command refuses, and changes nothing."""
        self.work('db', 'upgrade', '--expand')
        before = self.everything()
        code, err = self.feed('upgrade', '--contract')
        self.assertNotEqual(0, code)
        self.assertIn('legacy_rows_remain', err)
        self.assert_as(before)
        self.work('db', 'upgrade', '--migrate')
        before = self.everything()
        code, err = self.feed('restore', '--drop-columns')
        self.assertNotEqual(0, code)
        self.assertIn('canonical_rows_remain', err)
        self.assert_as(before)

    @base.only_on('sqlite')
    def test_what_sqlite_cannot(self):
        """What copies tables is refused, with the reason."""
        for argv in (
            ('upgrade', '--contract'),
            ('restore',),
            ('restore', '--drop-columns'),
        ):
            result = self.manage('db', *argv, '--sql')
            self.assert_one_line(result, exits.UPGRADE_ERROR, 'SQLite')
