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


"""What the programs exit with."""

import collections

from nova_migration.cmd import exits
from nova_migration.cmd import manage
from tests import base


class TableTest(base.TestCase):
    """One meaning for a number of a command."""

    def test_a_number_means_one_thing(self):
        """No command has two rows with the same number."""
        seen = collections.Counter(
            (command, row.code)
            for row in exits.TABLE
            for command in row.commands
        )
        self.assertEqual([], [key for key, n in seen.items() if n > 1])

    def test_what_every_command_has_is_apart(self):
        """What every command exits with means nothing else anywhere."""
        everywhere = {
            row.code for row in exits.TABLE if exits.EVERY in row.commands
        }
        for row in exits.TABLE:
            if exits.EVERY not in row.commands:
                self.assertNotIn(row.code, everywhere, row)

    def test_commands_are_there(self):
        """The table names no command that is not there."""
        known = {*manage.COMMANDS, exits.STATUS, exits.OTHERS, exits.EVERY}
        for row in exits.TABLE:
            self.assertLessEqual(set(row.commands), known)

    def test_of(self):
        """A command without meanings of its own has the usual ones."""
        self.assertEqual(
            {exits.DONE, exits.ERROR, exits.WRONG_CALL}
            | {exits.INTERRUPTED, exits.READER_GONE},
            exits.of('db census').keys(),
        )
        self.assertNotIn(exits.WARNINGS, exits.of(exits.CHECK).keys() - {1})
        self.assertIn('remain', exits.of(exits.UPGRADE)[exits.ROWS_REMAIN])
        self.assertEqual('an error', exits.of(exits.CHECK)[exits.ERROR])
