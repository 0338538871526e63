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


"""The sum of all runs, which ends what CI prints."""

import importlib.util

from tests import base


class StestrTotalsTest(base.TestCase):
    """What was skipped is found, and what was run somewhere is not missed."""

    def setUp(self):
        super().setUp()
        path = base.ROOT / 'tools' / 'stestr_totals.py'
        spec = importlib.util.spec_from_file_location('stestr_totals', path)
        self.tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.tool)

    def test_never_run(self):
        """A test that was skipped in one run and ran in another was run."""
        found = self.tool.never_run(
            [
                ('skipped', 'never'),
                ('skipped', 'later'),
                ('passed', 'later'),
                ('failed', 'earlier'),
                ('skipped', 'earlier'),
                ('skipped', 'never'),
            ]
        )
        self.assertEqual({'never'}, found)

    def test_sum(self):
        """The sum has each outcome, and says so in its words."""
        counts = self.tool.counted([('passed', 'a'), ('passed', 'b')])
        self.assertEqual(
            '2 passed, 0 failed, 0 skipped', self.tool.describe(counts)
        )
