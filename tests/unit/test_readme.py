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


"""What README.rst shows a newcomer is what the package does."""

import doctest

from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests import base

README = base.ROOT / 'README.rst'

#: The first cell of the table that says what each string becomes.
_TABLE = 'migration_type'


def _tables(text):
    """Yield the tables of a page as rows of cells, the header first."""
    rows, starts = [], []
    for line in text.splitlines():
        if line.startswith('==') and '  ' in line:
            starts = [
                at
                for at in range(len(line))
                if line[at] == '=' and line[at - 1 : at] in ('', ' ')
            ]
        elif starts and line.strip():
            ends = [*starts[1:], None]
            rows.append(
                tuple(
                    line[start:end].strip()
                    for start, end in zip(starts, ends, strict=True)
                )
            )
        elif starts:
            yield rows
            rows, starts = [], []


class ReadmeTest(base.TestCase):
    """The session and the table of the first page that anybody reads."""

    def setUp(self):
        super().setUp()
        self.text = README.read_text('utf-8')

    def test_session(self):
        """The Python session prints what it is shown to print."""
        result = doctest.testfile(
            str(README), module_relative=False, encoding='utf-8'
        )
        self.assertEqual((0, 5), (result.failed, result.attempted))

    def test_before_and_after(self):
        """The table has every string of every type, and what it becomes."""
        (table,) = (t for t in _tables(self.text) if t[0][0] == _TABLE)
        expected = [
            (kind, word, state.status, state.name)
            for kind in MIGRATION_TYPES
            for word, state in MACHINES[kind].legacy.items()
        ]
        self.assertEqual(expected, table[1:])
