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

"""The protocol of the upgrade, in every order that its steps can have.

``upgrade.pml`` is the protocol, and Spin tries it out. A model that finds
nothing proves something only where it finds what is known to be wrong.
"""

import pathlib
import re
import subprocess
import tempfile

from tests import base
from tests.model import programs

_MODEL = pathlib.Path(__file__).with_name('upgrade.pml')

#: More steps than any run of the model has.
_DEPTH = 10000


class ModelTest(base.TestCase):
    """What is found in each protocol."""

    def setUp(self):
        super().setUp()
        programs.look()
        self.folder = pathlib.Path(tempfile.mkdtemp())

    def run_program(self, *argv):
        """Run a program in the test's folder and return what it printed."""
        done = subprocess.run(
            list(map(str, argv)),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        self.assertEqual(0, done.returncode, said)
        return said

    def verify(self, *defined, commands=1):
        """Try every order of steps; return what is not as it should be.

        :param commands: how many each of two operators gives
        :returns: the assertion that does not hold, or None
        """
        options = [f'-D{name}' for name in (f'COMMANDS={commands}', *defined)]
        self.run_program('spin', *options, '-a', _MODEL)
        self.run_program(
            'cc', '-O2', '-DSAFETY', '-DCOLLAPSE', '-o', 'pan', 'pan.c'
        )
        said = self.run_program(self.folder / 'pan', f'-m{_DEPTH}')
        self.assertNotIn('max search depth too small', said)
        (errors,) = re.findall(r'errors: (\d+)', said)
        found = re.search(r'^pan:1: (.*?) \(at depth', said, re.M)
        self.assertEqual(errors != '0', found is not None, said)
        return found and found[1]

    def assert_lost(self, found):
        """The last string that was written is in the row no more."""
        self.assertIn('.want', found or 'nothing')

    def test_one_server(self):
        """No string is lost and no row is left out, and no command hangs."""
        self.assertIsNone(self.verify())

    def test_two_nodes(self):
        """Without a lock between the commands no string is lost either."""
        self.assertIsNone(self.verify('NO_LOCK'))

    def test_dropped_without_a_fence(self):
        """The loss that there was is found, with and without the lock."""
        self.assert_lost(self.verify('COUNT_THEN_DROP'))
        self.assert_lost(self.verify('COUNT_THEN_DROP', 'NO_LOCK'))

    def test_stale_look(self):
        """A contract that looks into an old snapshot leaves a legacy row."""
        found = self.verify('STALE_LOOK')
        self.assertIn('stamped', found or 'nothing')

    def test_fences_of_one_name(self):
        """A run must not take the fence of a later one for its own."""
        self.assert_lost(self.verify('ANONYMOUS_FENCE', 'NO_LOCK', commands=2))
