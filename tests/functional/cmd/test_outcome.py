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


"""What the commands of a database tell a program, such as a deployment."""

import csv
import io

import sqlalchemy as sa
import yaml

from nova_migration.cmd import exits
from nova_migration.cmd import outcome
from nova_migration.db import errors
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test

KIND = MIGRATION_TYPES[0]
START = MACHINES[KIND].table.start
STATE = START.name
PHASES = ('expand', 'migrate', 'contract')


class ToldTest(cmd_test.CommandTest):
    """Begins with two legacy rows in Nova's tables."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.fill((KIND, START.legacy), (KIND, START.legacy))

    def told(self, *argv, code=0):
        """Run a command; return a dictionary for each phase."""
        result = self.work('db', *argv, '-f', 'json', code=code)
        for row in result.json:
            self.assertEqual(set(outcome.COLUMNS), row.keys())
            self.assertEqual(errors.shown(self.db.engine.url), row['database'])
        return result.json

    def changed(self, *argv, code=0):
        """Run a command; return which phases have changed something.

        Each is held to what the database says.
        """
        before = self.dump()
        rows = self.told(*argv, code=code)
        told = {row['phase']: row['changed'] for row in rows}
        self.assertEqual(any(told.values()), self.dump() != before, rows)
        return told


@base.on_every_database
class ChangedTest(ToldTest):
    """``changed`` is true when something is not as it was, and only then."""

    # SQLite needs no fence.
    @base.only_on('mysql', 'postgresql')
    def test_a_fence(self):
        """A program is told of what a killed restore has left."""
        self.work('db', 'upgrade', '--expand')
        (before,) = self.told('check', code=exits.MIGRATE_NEEDED)
        kind = {
            'mysql': 'COLUMN {} TINYINT CHECK (state IS NULL)',
            'postgresql': 'CONSTRAINT {} CHECK (state IS NULL) NOT VALID',
        }[self.BACKEND].format(f'{models.FENCE}_0')
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql(f'ALTER TABLE migrations ADD {kind}')
        (row,) = self.told('check', code=exits.MIGRATE_NEEDED)
        self.assertEqual([], before['notes'])
        self.assertIn("'db restore --drop-columns'", row['notes'][0])

    def test_every_phase_twice(self):
        """Each phase says true, and false when it is run again."""
        for phase in PHASES:
            argv = ('upgrade', f'--{phase}')
            self.assertEqual({phase: True}, self.changed(*argv))
            self.assertEqual({phase: False}, self.changed(*argv))
        for argv in (('restore',), ('restore', '--drop-columns')):
            before = self.changed(*argv)
            self.assertTrue(any(before.values()), before)
            again = self.changed(*argv)
            self.assertFalse(any(again.values()), again)

    def test_everything_twice(self):
        """All phases at once say so one by one."""
        self.assertEqual(dict.fromkeys(PHASES, True), self.changed('upgrade'))
        self.assertEqual(dict.fromkeys(PHASES, False), self.changed('upgrade'))
        self.assertEqual(
            {'restore': True, 'drop-columns': True},
            self.changed('restore', '--drop-columns'),
        )
        self.assertEqual(
            {'restore': False}, self.changed('restore', '--drop-columns')
        )

    def test_without_rows(self):
        """Restoring no row is a change where the check went away."""
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql('DELETE FROM migrations')
        self.told('upgrade')
        self.assertEqual({'restore': True}, self.changed('restore'))
        self.assertEqual({'restore': False}, self.changed('restore'))

    def test_after_a_killed_contract(self):
        """A check that no version knows of is seen, and taken back."""
        self.told('upgrade')
        with self.db.engine.begin() as connection:
            connection.execute(
                sa.text(
                    f'UPDATE {schema.VERSION_TABLE} SET version_num ='
                    f" '{schema.heads()['expand']}'"
                )
            )
        self.assertEqual({'restore': True}, self.changed('restore'))

    def test_a_part_of_the_rows(self):
        """A run that stops early tells what it did and what is left."""
        self.told('upgrade', '--expand')
        argv = ('upgrade', '--migrate', '--max-count', '1')
        (row,) = self.told(*argv, code=exits.ROWS_REMAIN)
        self.assertEqual(
            (True, 1, 1, 'migrate'),
            (
                row['changed'],
                row['rows_changed'],
                row['rows_remaining'],
                row['next'],
            ),
        )
        (row,) = self.told(*argv)
        self.assertEqual((1, 0), (row['rows_changed'], row['rows_remaining']))
        argv = ('restore', '--max-count', '1')
        (row,) = self.told(*argv, code=exits.ROWS_REMAIN)
        self.assertEqual((1, 1), (row['rows_changed'], row['rows_remaining']))

    def test_what_is_left_alone(self):
        """Unknown strings are told with type, table and number."""
        self.fill((KIND, cmd_test.UNKNOWN))
        rows = self.told('upgrade', code=exits.NOT_MIGRATED)
        self.assertEqual(
            [('expand', True), ('migrate', True)],
            [(row['phase'], row['changed']) for row in rows],
        )
        self.assertEqual(
            [
                {
                    'table': 'migrations',
                    'migration_type': KIND,
                    'status': cmd_test.UNKNOWN,
                    'state': None,
                    'form': 'unknown',
                    'rows': 1,
                }
            ],
            rows[1]['left_alone'],
        )
        (row,) = self.told('upgrade', '--migrate', code=exits.NOT_MIGRATED)
        self.assertFalse(row['changed'])
        (row,) = self.told('check', code=exits.MIGRATE_NEEDED)
        self.assertEqual(rows[1]['left_alone'], row['left_alone'])

    def test_next(self):
        """Every phase says which one comes next, and so does check."""
        for phase, code in zip(
            PHASES,
            (
                exits.EXPAND_NEEDED,
                exits.MIGRATE_NEEDED,
                exits.CONTRACT_NEEDED,
            ),
            strict=True,
        ):
            (row,) = self.told('check', code=code)
            self.assertEqual((phase, False), (row['next'], row['changed']))
            (row,) = self.told('upgrade', f'--{phase}')
            following = dict(zip(PHASES, (*PHASES[1:], None), strict=True))
            self.assertEqual(following[phase], row['next'])
        (row,) = self.told('check')
        self.assertIsNone(row['next'])

    def test_what_was_done_before_an_error(self):
        """An error is one line; what was done before it is told."""
        self.told('upgrade', '--expand')
        self.told('upgrade', '--migrate')
        self.fill((KIND, START.legacy))
        before = self.dump()
        result = self.manage('db', 'upgrade', '--contract', '-f', 'json')
        self.assertEqual((exits.UPGRADE_ERROR, []), (result.code, result.json))
        self.assertEqual(1, len(result.err.splitlines()), result.err)
        self.assertIn('migrations: 1', result.err)
        self.assert_same(before)


class EarlierPhasesTest(ToldTest, base.DatabaseTest, test_base.TestCase):
    """What is told when a later phase fails."""

    def break_contract(self):
        """Let contract fail as a server would."""

        def refuse(_database):
            raise schema.exception.LockTimeout(table='migrations', seconds=1)

        self.patch_contract(refuse)

    def patch_contract(self, run):
        """Put a function in the place of contract."""
        original = schema.contract
        schema.contract = run
        self.addCleanup(setattr, schema, 'contract', original)

    def test_json(self):
        """The phases that were done are on standard output."""
        self.break_contract()
        result = self.manage('db', 'upgrade', '-f', 'json')
        self.assertEqual(exits.UPGRADE_ERROR, result.code)
        self.assertEqual(
            ['expand', 'migrate'], [row['phase'] for row in result.json]
        )
        self.assertEqual(1, len(result.err.splitlines()), result.err)

    def test_ctrl_c(self):
        """So they are when Ctrl-C came in a phase that does not stop."""

        def interrupted(_database):
            raise KeyboardInterrupt

        self.patch_contract(interrupted)
        result = self.manage('db', 'upgrade', '-f', 'json')
        self.assertEqual(exits.INTERRUPTED, result.code)
        self.assertEqual(2, len(result.json))

    def test_lines(self):
        """Lines are printed as the phases end."""
        self.break_contract()
        result = self.manage('db', 'upgrade')
        self.assertEqual(exits.UPGRADE_ERROR, result.code)
        self.assertEqual(2, len(result.out.splitlines()), result.out)


class FormatTest(ToldTest, base.DatabaseTest, test_base.TestCase):
    """The other formats, and what is refused."""

    def test_other_formats(self):
        """YAML, CSV, value and table say the same."""
        self.fill((KIND, '\x1b[31m'))
        wanted = self.told('check', code=exits.EXPAND_NEEDED)
        run = ('db', 'check', '-f')
        result = self.work(*run, 'yaml', code=exits.EXPAND_NEEDED)
        self.assertEqual(wanted, yaml.safe_load(result.out))
        result = self.work(*run, 'csv', code=exits.EXPAND_NEEDED)
        (row,) = csv.DictReader(io.StringIO(result.out))
        self.assertEqual(('False', 'expand'), (row['changed'], row['next']))
        result = self.work(
            *run, 'value', '-c', 'next', code=exits.EXPAND_NEEDED
        )
        self.assertEqual('expand\n', result.out)
        self.work('db', 'upgrade', code=exits.NOT_MIGRATED)
        result = self.work(*run, 'table', code=exits.MIGRATE_NEEDED)
        self.assertNotIn('\x1b', result.out)

    def test_columns_that_are_none(self):
        """A column that is none is refused before anything is done."""
        for argv in (('-f', 'json', '-c', 'bogus'), ('-c', 'changed')):
            before = self.dump()
            result = self.manage('db', 'upgrade', *argv)
            self.assertEqual((exits.WRONG_CALL, ''), (result.code, result.out))
            self.assert_same(before)


@base.on_every_database
class NamedTest(ToldTest):
    """Who has three cells sees which one a line is about."""

    def test_every_line_names_the_database(self):
        """The password is masked, and options are not shown."""
        url = sa.make_url(self.url)
        if self.BACKEND != 'sqlite':
            self.assertTrue(url.password)
        shown = errors.shown(url)
        for argv in (
            ('db', 'upgrade'),
            ('db', 'upgrade'),
            ('db', 'check'),
            ('db', 'restore', '--drop-columns'),
            ('db', 'restore'),
        ):
            for line in self.work(*argv).out.splitlines():
                self.assertTrue(line.endswith(f'({shown})'), (argv, line))
                if url.password:
                    self.assertNotIn(f':{url.password}@', line)
