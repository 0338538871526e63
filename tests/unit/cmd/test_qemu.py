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


"""``qemu replay``, as a user calls it."""

import contextlib
import io
import json

from nova_migration.cmd import manage
from nova_migration.cmd import qemu
from tests import base
from tests.unit.hypervisor.qemu import recorded


class ReplayTest(base.TestCase):
    def run_command(self, *arguments):
        output, errors = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            code = manage.main(['qemu', 'replay', *map(str, arguments)])
        return code, output.getvalue(), errors.getvalue()

    def test_json(self):
        """There is an object for each attempt, with what the page names."""
        path = recorded.FOLDER / 'g_retry_after_cancelled.q11.jsonl'
        code, output, _errors = self.run_command(path, '-f', 'json')
        self.assertEqual(0, code)
        self.assertEqual(
            [
                {
                    'attempt': 1,
                    'state': 'not_moved',
                    'reasons': ['user-cancel'],
                    'verdict': 'not_moved',
                    'qemu_status': {
                        'source': 'cancelled',
                        'destination': 'failed',
                    },
                },
                {
                    'attempt': 2,
                    'state': 'moved',
                    'reasons': ['completed'],
                    'verdict': 'moved',
                    'qemu_status': {
                        'source': 'completed',
                        'destination': 'completed',
                    },
                },
            ],
            json.loads(output),
        )

    def test_table_and_changes(self):
        """A person is shown the changes, and then the end."""
        path = recorded.FOLDER / 'e_pause_before_switchover.q7.jsonl'
        code, output, errors = self.run_command(path)
        self.assertEqual(0, code)
        self.assertIn('| source: completed', output)
        changes = [line.split('s  ')[1] for line in errors.splitlines()]
        self.assertEqual(
            [
                f'attempt 1: {change}'
                for change in (
                    'idle, verdict unknown',
                    'starting, verdict unknown',
                    'transferring, verdict unknown',
                    'awaiting_switchover, verdict unknown',
                    'switching, verdict unknown',
                    'ending, verdict unknown (completed)',
                    'moved, verdict moved (completed)',
                )
            ],
            changes,
        )

    def test_bad_files(self):
        """What cannot be read is one line and exit code 1."""
        folder = recorded.FOLDER
        nonsense = folder.parents[2] / 'tox.ini'
        for path in (folder, folder / 'missing.jsonl', nonsense):
            code, output, errors = self.run_command(path, '-f', 'json')
            self.assertEqual(1, code)
            self.assertEqual('', output)
            self.assertEqual(1, len(errors.splitlines()), errors)


class AddressTest(base.TestCase):
    def test_addresses(self):
        """A monitor is a path, or a host and a port."""
        self.assertEqual('/run/a:1', qemu.address('/run/a:1'))
        self.assertEqual('a.sock', qemu.address('a.sock'))
        self.assertEqual(('localhost', 4444), qemu.address('localhost:4444'))
