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


"""``nova-migration-status upgrade check``: every result and exit code."""

import datetime

import fixtures
from oslo_utils import timeutils

from nova_migration.cmd import exits
from nova_migration.cmd import status
from nova_migration.db import errors
from nova_migration.db import fence
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.integration import release
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test

OK, WARNING, FAILURE = exits.DONE, exits.WARNINGS, exits.FAILURES
ERROR = exits.CHECK_ERROR

NAMES = tuple(name for name, _check in status.Checks._upgrade_checks)
DATABASE, NOVA, COLUMNS, FENCE, STRINGS, *_OTHERS = NAMES
OVERWRITTEN, LEGACY, STUCK, TWICE = _OTHERS

KIND = MIGRATION_TYPES[0]
START = MACHINES[KIND].table.start

INSTANCE = '2a1c6f5e-93a4-4c0b-b8e1-51c7a4b0d9f2'

#: Longer than `stuck_after` is by default.
LONG_AGO = timeutils.utcnow() - datetime.timedelta(days=1)


@base.on_every_database
class CheckTest(cmd_test.CommandTest):
    """The checks on a Nova database."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()

    def check(self, code):
        """Run the checks; return each one's result and details."""
        result = self.status('upgrade', 'check', '--json')
        self.assertEqual((code, ''), (result.code, result.err), result)
        checks = {
            check['check']: (check['result'], check['details'])
            for check in result.json['checks']
        }
        self.assertEqual({*NAMES}, checks.keys())
        self.assertEqual(
            (OK, errors.shown(self.db.engine.url)), checks[DATABASE]
        )
        self.assertEqual(code, max(result for result, _ in checks.values()))
        return checks

    def only(self, name, code):
        """Run the checks, of which only one may not be fine."""
        checks = self.check(code)
        self.assertEqual(
            {name: code},
            {key: result for key, (result, _text) in checks.items() if result},
        )
        return checks[name][1]

    def assert_table(self, code, *parts):
        """The table of the results has the parts."""
        result = self.status('upgrade', 'check')
        self.assertEqual((code, ''), (result.code, result.err), result)
        for part in ('Upgrade Check Results', COLUMNS, STUCK, *parts):
            self.assertIn(part, result.out)

    def test_not_expanded(self):
        """Missing columns are a failure that names the command."""
        self.assertIn('--expand', self.only(COLUMNS, FAILURE))
        self.assert_table(FAILURE, 'Failure', '--expand')

    def test_not_expanded_with_rows(self):
        """Before expand, legacy rows and unknown strings are seen too."""
        metadata = models.sa.MetaData()
        main, _shadow = models.nova_schema.define(metadata)
        self.insert(main, migration_type=KIND, status=START.legacy)
        self.insert(main, migration_type=KIND, status=cmd_test.UNKNOWN)
        checks = self.check(FAILURE)
        self.assertEqual(
            [FAILURE, FAILURE, WARNING, OK],
            [checks[name][0] for name in (COLUMNS, STRINGS, LEGACY, STUCK)],
        )

    def test_all_fine(self):
        """After the upgrade, everything is fine."""
        self.work('db', 'upgrade')
        checks = self.check(OK)
        self.assertIn('installed beside this', checks.pop(NOVA)[1])
        del checks[DATABASE]
        self.assertEqual({(OK, None)}, set(checks.values()))
        self.assert_table(OK, 'Success')

    def nova(self, version):
        """Make it look as if a release of Nova was installed beside."""
        self.useFixture(
            fixtures.MockPatchObject(
                release, 'beside', lambda: release.Release(version)
            )
        )

    def test_known_nova(self):
        """The Nova beside it is named; there may be none."""
        self.expand()
        self.nova('34.0.1')
        said = self.check(OK)[NOVA][1]
        self.assertEqual(
            'Nova 34.0.1 is installed beside this, and known.', said
        )
        self.nova(None)
        self.assertIn('No Nova is installed', self.check(OK)[NOVA][1])

    def test_unknown_nova(self):
        """A Nova that is not known is a warning, over canonical rows worse."""
        self.expand()
        self.nova('35.0.0')
        said = self.only(NOVA, WARNING)
        self.assertIn('Nova 35.0.0 is installed beside this, and not', said)
        self.assertIn('legacy rows only', said)
        self.insert(migration_type=KIND, status=START.status, state=START.name)
        self.assertIn('canonical rows', self.only(NOVA, FAILURE))

    def test_unknown_nova_after_contract(self):
        """Without rows, a database that is contracted is no better."""
        self.work('db', 'upgrade')
        self.nova('35.0.0')
        self.assertIn('--contract', self.only(NOVA, FAILURE))

    def test_fence(self):
        """What a killed removal of the columns has left is a warning."""
        self.expand()
        if self.BACKEND == 'sqlite':
            # It needs none.
            return
        table = models.MIGRATIONS
        with self.db.engine.begin() as connection:
            fence._put_up(connection, table, f'{models.FENCE}_0')
        said = self.only(FENCE, WARNING)
        self.assertIn('restore --drop-columns', said)
        self.assertIn('db upgrade takes it back', said)
        schema.take_back(self.db)
        self.check(OK)

    def test_legacy_rows(self):
        """Legacy rows are a warning with their number."""
        self.expand()
        for _number in range(3):
            self.insert(migration_type=KIND, status=START.legacy)
        said = self.only(LEGACY, WARNING)
        self.assertIn('Legacy rows left: 3', said)
        self.assertIn('--migrate', said)
        self.assert_table(WARNING, 'Warning')

    def test_unknown_strings(self):
        """Unknown strings are a failure that names them exactly."""
        self.expand()
        for text in ('Done', 'done ', 'Done'):
            self.insert(migration_type='evacuation', status=text)
        said = self.only(STRINGS, FAILURE)
        for part in ('2 rows of migrations', '1 row of', "'Done'", "'done '"):
            self.assertIn(part, said)
        self.assertIn('--map', said)

    def test_overwritten_rows(self):
        """A canonical row that was written over is a failure too."""
        self.expand()
        other = next(
            state.status
            for state in MACHINES[KIND].table.states
            if state.status != START.status
        )
        self.insert(migration_type=KIND, status=other, state=START.name)
        said = self.only(OVERWRITTEN, FAILURE)
        self.assertIn('--inconsistent', said)
        self.assertIn(repr(str(other)), said)

    def test_evacuated_twice(self):
        """A server with two open evacuations from a host is named."""
        self.expand()
        evacuation = {
            'migration_type': 'evacuation',
            'instance_uuid': INSTANCE,
            'created_at': timeutils.utcnow(),
        }
        for host in ('host1', 'host2'):
            self.insert(**evacuation, source_compute=host, status='done')
        self.assertEqual((OK, None), self.check(WARNING)[TWICE])
        self.insert(
            **evacuation,
            source_compute='host2',
            status='accepted',
            state='accepted',
        )
        said = self.check(WARNING)[TWICE][1]
        self.assertIn(
            f'Server {INSTANCE} has 2 open evacuations from host2.', said
        )
        listed = self.manage('migration', 'list', '--stuck', '1000')
        self.assertIn(f'Server {INSTANCE} has 2 open', listed.err)

    def stuck(self, **values):
        """Insert a canonical row in the start state."""
        known = {
            'migration_type': KIND,
            'status': START.status,
            'state': START.name,
            'uuid': '00000000-0000-0000-0000-000000000001',
            'state_changed_at': LONG_AGO,
        }
        return self.insert(**{**known, **values})

    def test_stuck(self):
        """A move that does not get on is a warning with its uuid."""
        self.work('db', 'upgrade')
        self.stuck()
        said = self.only(STUCK, WARNING)
        self.assertIn('00000000-0000-0000-0000-000000000001', said)
        self.assertIn('1 migrations', said)

    def test_stuck_without_a_uuid(self):
        """A row without uuid is named by its id."""
        self.work('db', 'upgrade')
        row_id = self.stuck(uuid=None)
        self.assertIn(f'({row_id})', self.only(STUCK, WARNING))

    def test_stuck_in_legacy_form(self):
        """A legacy row that does not get on is stuck as well."""
        self.expand()
        self.stuck(
            state=None,
            status=START.legacy,
            state_changed_at=None,
            updated_at=LONG_AGO,
        )
        checks = self.check(WARNING)
        self.assertEqual(
            [WARNING, WARNING], [checks[name][0] for name in (LEGACY, STUCK)]
        )

    def test_what_is_not_stuck(self):
        """Neither the user's turn, nor the past, nor a recent move is."""
        self.work('db', 'upgrade')
        self.stuck(state_changed_at=timeutils.utcnow())
        number = 1
        for kind in MIGRATION_TYPES:
            for state in MACHINES[kind].table.states:
                flags = state.flags
                if (
                    MigrationFlag.IN_PROGRESS not in flags
                    or MigrationFlag.UNCONFIRMED in flags
                ):
                    number += 1
                    self.stuck(
                        migration_type=kind,
                        status=state.status,
                        state=state.name,
                        uuid=f'00000000-0000-0000-0000-{number:012}',
                    )
        self.assertGreater(number, 10)
        self.check(OK)

    def test_many_stuck(self):
        """Of many stuck moves a few are named and all are counted."""
        self.work('db', 'upgrade')
        for number in range(12):
            self.stuck(uuid=f'00000000-0000-0000-0000-{number:012}')
        said = self.only(STUCK, WARNING)
        self.assertIn('12 migrations', said)
        self.assertEqual(5, said.count('00000000-0000-0000-0000-'))

    def test_changes_nothing(self):
        """Looking leaves the database as it is."""
        self.expand()
        self.stuck()
        before = self.dump()
        self.status('upgrade', 'check')
        self.assert_same(before)


class OptionsTest(
    cmd_test.InTemporaryFolder,
    cmd_test.CommandTest,
    base.DatabaseTest,
    test_base.TestCase,
):
    """Where the database is named, and what cannot be used."""

    def call(self, *argv):
        """Run the command without naming a database."""
        return cmd_test.call(status.main, argv)

    def configured(self, *lines):
        """Write a configuration that names the test's database."""
        text = '\n'.join(['[database]', f'connection = {self.url}', *lines])
        return str(self.write('nova.conf', text))

    def test_configuration(self):
        """The database is the one of nova.conf, and stuck_after is read."""
        self.expand()
        self.insert(
            migration_type=KIND,
            status=START.status,
            state=START.name,
            state_changed_at=timeutils.utcnow()
            - datetime.timedelta(seconds=60),
        )
        for seconds, code in ((3600, OK), (30, WARNING)):
            path = self.configured(
                '[nova_migration]', f'stuck_after = {seconds}'
            )
            result = self.call('--config-file', path, 'upgrade', 'check')
            self.assertEqual((code, ''), (result.code, result.err), result)

    def test_connection_option(self):
        """--database-connection goes before nova.conf."""
        self.expand()
        other = self.write(
            'nova.conf', '[database]\nconnection = sqlite:///other.db\n'
        )
        result = self.call(
            '--config-file',
            str(other),
            '--database-connection',
            self.url,
            'upgrade',
            'check',
        )
        self.assertEqual(OK, result.code, result)
        self.assertFalse((self.folder / 'other.db').exists())

    def test_errors_are_one_line(self):
        """What cannot be used gives one line and 255."""
        bad = self.write('bad.conf', '[database\n')
        none = self.write('none.conf', '[DEFAULT]\nhost = here\n')
        wrong = self.configured('[nova_migration]', 'stuck_after = 0')
        for argv in (
            ['--config-file', 'missing.conf'],
            ['--config-file', str(bad)],
            ['--config-file', str(none)],
            ['--config-file', wrong],
            ['--config-dir', 'missing'],
            ['--database-connection', 'garbage'],
            ['--database-connection', 'oracle://x/y'],
            ['--database-connection', 'sqlite:////no/such/folder.db'],
            ['--database-connection', self.url],
            [
                '--database-connection',
                'mysql+pymysql://u:secret@127.0.0.1:1/nova',
            ],
        ):
            result = self.call(*argv, 'upgrade', 'check')
            self.assert_one_line(result, ERROR)
            self.assertNotIn('secret', result.err)

    def test_options_that_an_engine_does_not_take(self):
        """oslo.db's options for servers end as one line with SQLite."""
        path = self.configured('pool_timeout = 30')
        result = self.call('--config-file', path, 'upgrade', 'check')
        if result.code:
            self.assert_one_line(result, ERROR)
        self.assertNotIn('Traceback', result.out + result.err)

    def test_debug_of_nova(self):
        """`debug` of nova.conf is Nova's, and not the command's --debug."""
        path = self.write('debug.conf', '[DEFAULT]\ndebug = true\n')
        result = self.call('--config-file', str(path), 'upgrade', 'check')
        self.assert_one_line(result, ERROR, 'debug.conf')

    def test_debug(self):
        """--debug shows the traceback."""
        result = self.call(
            '--debug', '--database-connection', 'garbage', 'upgrade', 'check'
        )
        self.assertEqual(ERROR, result.code)
        self.assertIn('Traceback', result.err)

    def test_usage(self):
        """A command there is not, or none, is a usage error."""
        for argv in ((), ('upgrade',), ('downgrade', 'check'), ('--bogus',)):
            result = self.call(*argv)
            self.assertEqual(exits.WRONG_CALL, result.code, (argv, result))
            self.assertIn('usage:', result.err)

    def test_bad_word_for_check(self):
        """Any other word than `check` is a usage error."""
        self.expand()
        result = self.status('upgrade', 'chekc')
        self.assertEqual((exits.WRONG_CALL, ''), (result.code, result.out))
        self.assertIn('usage:', result.err)

    def test_help(self):
        """--help names the options."""
        result = self.call('--help')
        self.assertEqual(0, result.code)
        for option in ('--config-file', '--database-connection', 'upgrade'):
            self.assertIn(option, result.out)

    def test_as_a_process(self):
        """The exit code and the output of a process are the same."""
        self.expand()
        self.insert(migration_type=KIND, status=START.legacy)
        argv = ('--database-connection', self.url, 'upgrade', 'check')
        result = cmd_test.run_process(*argv, module='status')
        self.assertEqual(self.call(*argv), result)
        self.assertEqual(WARNING, result.code)
