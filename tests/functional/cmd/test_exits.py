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


"""Every row of the table of exit codes, reached by a run of the command."""

import os
import signal
import subprocess
import tempfile

import fixtures

from nova_migration.cmd import exits
from nova_migration.cmd import manage
from nova_migration.db import exclusive
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test

KIND = MIGRATION_TYPES[0]
START = MACHINES[KIND].table.start

#: Any command without meanings of its own.
USUAL = 'db census'


class ExitTest(cmd_test.CommandTest, base.DatabaseTest, test_base.TestCase):
    """One way to each number of each command."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.fill((KIND, START.legacy), (KIND, START.legacy))

    def unknown(self):
        """Insert a row that nobody can read."""
        self.fill((KIND, cmd_test.UNKNOWN))

    def migrated(self):
        """Return the id of a canonical row."""
        self.work('db', 'upgrade', '--expand')
        self.work('db', 'upgrade', '--migrate')
        return 1

    def lose_tables(self):
        """Leave a table that is not Nova's."""
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql('DROP TABLE shadow_migrations')

    def check_nothing(self):
        self.work('db', 'upgrade')
        return self.manage('db', 'check')

    def check_expand(self):
        return self.manage('db', 'check')

    def check_migrate(self):
        self.work('db', 'upgrade', '--expand')
        return self.manage('db', 'check')

    def check_contract(self):
        self.migrated()
        return self.manage('db', 'check')

    def check_error(self):
        self.url = 'garbage'
        return self.manage('db', 'check')

    def upgrade_done(self):
        return self.manage('db', 'upgrade')

    def upgrade_remain(self):
        return self.manage('db', 'upgrade', '--max-count', 1)

    def upgrade_unknown(self):
        self.unknown()
        return self.manage('db', 'upgrade')

    def upgrade_error(self):
        self.lose_tables()
        return self.manage('db', 'upgrade')

    def upgrade_beside(self):
        with exclusive.hold(self.db, exclusive.Command.RESTORE):
            return self.manage('db', 'upgrade')

    def restore_beside(self):
        with exclusive.hold(self.db, exclusive.Command.UPGRADE):
            return self.manage('db', 'restore')

    def restore_done(self):
        self.work('db', 'upgrade')
        return self.manage('db', 'restore')

    def restore_remain(self):
        self.work('db', 'upgrade')
        return self.manage('db', 'restore', '--max-count', 1)

    def restore_error(self):
        self.url = 'garbage'
        return self.manage('db', 'restore')

    def event(self, name):
        """Process an event of a canonical row."""
        return self.manage(
            'migration',
            'process-event',
            self.migrated(),
            name,
            '--reason=a test',
        )

    def event_moved(self):
        return self.event('fail')

    def event_absorbed(self):
        late = MACHINES[KIND].table.absorbed[0]
        self.fill((KIND, MACHINES[KIND].state(late.state).legacy))
        self.migrated()
        return self.manage(
            'migration', 'process-event', 3, late.event, '--reason=late'
        )

    def event_error(self):
        return self.event('nonsense')

    def demo_done(self):
        return cmd_test.run_anywhere('demo')

    def demo_differs(self):
        # There is no way to it but a fault of ours.
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova_migration.cmd.demo.Tour.back', lambda *_args: False
            )
        )
        return cmd_test.run_anywhere('demo')

    def demo_error(self):
        return cmd_test.run_anywhere('demo', '--keep', __file__)

    def status_fine(self):
        self.work('db', 'upgrade')
        return self.status('upgrade', 'check')

    def status_warning(self):
        self.work('db', 'upgrade', '--expand')
        return self.status('upgrade', 'check')

    def status_failure(self):
        return self.status('upgrade', 'check')

    def status_error(self):
        self.url = 'garbage'
        return self.status('upgrade', 'check')

    def usual_done(self):
        return self.manage(*USUAL.split())

    def usual_error(self):
        self.lose_tables()
        return self.manage(*USUAL.split())

    def usual_wrong(self):
        return self.manage(*USUAL.split(), '--bogus')

    def process(self, *argv, **options):
        """Begin a process of nova-migration-manage."""
        return subprocess.Popen(
            cmd_test.command_line(*argv),
            env=cmd_test.environment(tempfile.mkdtemp()),
            stderr=subprocess.PIPE,
            text=True,
            # No thread of a test's own runs meanwhile.
            preexec_fn=cmd_test.heed_ctrl_c,  # noqa: PLW1509
            **options,
        )

    def ended(self, process):
        """Return what a process came to."""
        _out, err = process.communicate(timeout=cmd_test.PATIENCE)
        return cmd_test.Result(process.returncode, '', err)

    def usual_interrupted(self):
        path = os.path.join(tempfile.mkdtemp(), 'stream')
        os.mkfifo(path)
        process = self.process('qemu', 'replay', path)
        # It is open when the command is about to read.
        with open(path, 'w'):
            process.send_signal(signal.SIGINT)
            return self.ended(process)

    def usual_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        process = self.process('machine', 'list', stdout=writer)
        os.close(writer)
        return self.ended(process)

    WAYS = {
        (exits.CHECK, exits.DONE): check_nothing,
        (exits.CHECK, exits.EXPAND_NEEDED): check_expand,
        (exits.CHECK, exits.MIGRATE_NEEDED): check_migrate,
        (exits.CHECK, exits.CONTRACT_NEEDED): check_contract,
        (exits.CHECK, exits.ERROR): check_error,
        (exits.UPGRADE, exits.DONE): upgrade_done,
        (exits.UPGRADE, exits.ROWS_REMAIN): upgrade_remain,
        (exits.UPGRADE, exits.NOT_MIGRATED): upgrade_unknown,
        (exits.UPGRADE, exits.AT_WORK): upgrade_beside,
        (exits.UPGRADE, exits.UPGRADE_ERROR): upgrade_error,
        (exits.RESTORE, exits.DONE): restore_done,
        (exits.RESTORE, exits.ROWS_REMAIN): restore_remain,
        (exits.RESTORE, exits.AT_WORK): restore_beside,
        (exits.RESTORE, exits.UPGRADE_ERROR): restore_error,
        (exits.PROCESS_EVENT, exits.DONE): event_moved,
        (exits.PROCESS_EVENT, exits.ABSORBED): event_absorbed,
        (exits.PROCESS_EVENT, exits.ERROR): event_error,
        (exits.DEMO, exits.DONE): demo_done,
        (exits.DEMO, exits.DIFFERS): demo_differs,
        (exits.DEMO, exits.ERROR): demo_error,
        (exits.STATUS, exits.DONE): status_fine,
        (exits.STATUS, exits.WARNINGS): status_warning,
        (exits.STATUS, exits.FAILURES): status_failure,
        (exits.STATUS, exits.CHECK_ERROR): status_error,
        (exits.OTHERS, exits.DONE): usual_done,
        (exits.OTHERS, exits.ERROR): usual_error,
        (exits.EVERY, exits.WRONG_CALL): usual_wrong,
        (exits.EVERY, exits.INTERRUPTED): usual_interrupted,
        (exits.EVERY, exits.READER_GONE): usual_pipe,
    }


def _add(command, code, way):
    def test(self):
        result = way(self)
        self.assertEqual(code, result.code, result)
        self.assertNotIn('Traceback', result.err)

    said = exits.of(command).get(code, 'as every command')
    test.__doc__ = f'{command} ends with {code}: {said}.'
    words = command.replace('-', '_').replace(' ', '_')
    name = f'test_{words}_{code}'
    test.__name__ = name
    setattr(ExitTest, name, test)


for (_command, _code), _way in ExitTest.WAYS.items():
    _add(_command, _code, _way)


class TableTest(test_base.TestCase):
    """The tests and the table have the same rows."""

    def test_every_row_is_reached(self):
        """There is a way to each number of the table, and to no other."""
        rows = {
            (command, row.code)
            for row in exits.TABLE
            for command in row.commands
        }
        self.assertEqual(rows, set(ExitTest.WAYS))


class EveryCommandTest(cmd_test.InTemporaryFolder, test_base.TestCase):
    """What is the same for all of them."""

    def commands(self):
        """Return the words of every command of both programs."""
        known = manage.Manage().command_manager.commands
        return [(cmd_test.run_anywhere, name) for name in known] + [
            (self.run_status, 'upgrade check')
        ]

    def run_status(self, *argv):
        """Run nova-migration-status."""
        return cmd_test.call(cmd_test.status.main, argv)

    def test_a_wrong_call(self):
        """An option that is none ends with the same number everywhere."""
        for run, name in self.commands():
            result = run(*name.split(), '--bogus')
            self.assertEqual(exits.WRONG_CALL, result.code, (name, result))
            self.assertEqual('', result.out)
            self.assertIn(': error: ', result.err)

    def test_no_command(self):
        """Without a command, and with one that is none, it is a wrong call."""
        for argv in ((), ('bogus',), ('help', 'bogus'), ('db', 'chek')):
            result = cmd_test.run_anywhere(*argv)
            self.assertEqual(exits.WRONG_CALL, result.code, result)

    def test_a_log_that_cannot_be_written(self):
        """--log-file is a part of the call."""
        result = cmd_test.run_anywhere(
            '--log-file', 'none/at/all', 'db', 'upgrade'
        )
        self.assertEqual(exits.WRONG_CALL, result.code, result)

    def test_a_fault_of_ours(self):
        """A fault of the program ends with the number of errors."""

        def broken(*_args):
            raise AssertionError('a fault')

        for name, code in (
            ('Upgrade', exits.UPGRADE_ERROR),
            ('Restore', exits.UPGRADE_ERROR),
            ('Check', exits.ERROR),
        ):
            self.useFixture(
                fixtures.MonkeyPatch(
                    f'nova_migration.cmd.db.{name}.outcomes', broken
                )
            )
            result = cmd_test.run_anywhere('db', name.lower())
            self.assertEqual(code, result.code, result)
