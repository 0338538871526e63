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

"""The operator's commands, on the database that Nova's migrations made."""

import subprocess
import sys

from nova_migration.db import census
from tests.functional import base as functional_base
from tests.nova import base
from tests.nova import test_upgrade


class JourneyTest(test_upgrade.FilledTest):
    """From Nova's own schema to the contract, and back to its bytes."""

    def manage(self, *argv):
        """Run a command in a process of its own, which has no Nova in it.

        Our Migration and Nova's have one name in one registry.
        """
        url = ('--database-connection', self.url)
        command = (sys.executable, '-m', 'nova_migration.cmd.manage')
        return subprocess.run(
            (*command, *url, *argv),
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )

    def test_there_and_back(self):
        """Unknown rows are named and left; restore gives back every byte."""
        upgraded = self.manage('db', 'upgrade')
        self.assertEqual(2, upgraded.returncode, upgraded)
        counts = census.of_form(
            census.take(self.db), *[f for f in census.Form if f != 'none']
        )
        unknown = census.of_form(counts, census.Form.UNKNOWN)
        self.assertNotEqual([], unknown)
        self.assertEqual(
            {census.Form.CANONICAL, census.Form.UNKNOWN},
            {count.form for count in counts},
        )
        for count in unknown:
            self.assertIn(count.described, upgraded.stdout)

        before = self.content()
        self.assertEqual(2, self.manage('db', 'upgrade').returncode)
        self.assertSameRows(before, self.content())

        rules = [f'--map={rule}' for rule in self.map_everything()]
        mapped = self.manage('db', 'upgrade', *rules)
        self.assertEqual(0, mapped.returncode, mapped)
        self.assertEqual(0, self.manage('db', 'check').returncode)

        self.assertEqual(0, self.manage('db', 'restore').returncode)
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))
        gone = self.manage('db', 'restore', '--drop-columns')
        self.assertEqual(0, gone.returncode, gone)
        self.assertEqual(self.nova_structure, self.structure())
        self.assertSameRows(self.original, self.content())


functional_base.on_every_database(JourneyTest)
