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

"""A list of any length is printed in the memory of a short one."""

import contextlib
import io
import tracemalloc

from nova_migration.cmd import manage
from nova_migration.db import models
from nova_migration.states import MACHINES
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test
from tests.functional.db import samples

FEW, MANY = 2_000, 20_000

#: Bytes; what so many rows more may cost, where they are not kept.
ROOM = 500_000

#: The formats that print each row as it comes.
STREAMED = ('json', 'csv', 'value')


class _Counted(io.TextIOBase):
    """A standard output that forgets what it was given."""

    lines = 0

    def write(self, text):
        self.lines += text.count('\n')
        return len(text)


class LongListTest(samples.Expanded, base.DatabaseTest, test_base.TestCase):
    """Begins with many rows."""

    def setUp(self):
        super().setUp()
        self.expand()
        self.fill(MANY)

    def fill(self, number):
        """Insert so many rows."""
        state = MACHINES['resize'].table.start
        rows = [
            samples.canonical('resize', state, uuid=str(row), hidden=False)
            for row in range(number)
        ]
        with self.db.engine.begin() as connection:
            connection.execute(models.MIGRATIONS.insert(), rows)

    def peak(self, form, limit):
        """Return how many lines a list has, and bytes that it needed."""
        out = _Counted()
        argv = ['--database-connection', self.url, 'migration', 'list']
        argv += ['-f', form, '--limit', str(limit), '-q']
        tracemalloc.start()
        try:
            with cmd_test._OwnLogging(), contextlib.redirect_stdout(out):
                self.assertEqual(0, manage.main(argv))
            return out.lines, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def test_memory(self):
        """Ten times the rows need no more memory than the first ones."""
        self.peak('csv', FEW)
        for form in STREAMED:
            few_lines, few = self.peak(form, FEW)
            lines, needed = self.peak(form, 0)
            self.assertGreaterEqual(few_lines, FEW)
            self.assertGreaterEqual(lines, MANY)
            self.assertLess(needed - few, ROOM, form)
