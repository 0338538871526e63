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


"""``demo``: what a newcomer sees first."""

import pathlib
import re
import sqlite3
import tempfile

from nova_migration.cmd import sample
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import registry
from tests import base
from tests.functional.cmd import base as cmd_test

CHECKSUM = re.compile(r'sha256 of every original column: ([0-9a-f]+)')


def cells(line):
    """Return the cells of a table's line."""
    return [cell.strip() for cell in line.strip().strip('|').split('|')]


class DemoTest(cmd_test.InTemporaryFolder, base.TestCase):
    """The demonstration, in an empty folder."""

    def demo(self, *argv):
        """Run the demonstration; it has to end well and say no error."""
        result = cmd_test.run_anywhere('demo', *argv)
        self.assertEqual((0, ''), (result.code, result.err), result)
        return result

    def stations(self):
        """Return the demonstration's numbered parts."""
        out = self.demo().out
        parts = re.split(r'^(?=\d\. |Next:)', out, flags=re.M)
        self.assertEqual('', parts[0])
        return parts[1:]

    def rows(self, station):
        """Return the rows of the tables of a station."""
        return [
            cells(line)
            for line in station.splitlines()
            if line.strip().startswith('|')
        ]

    def test_census_before(self):
        """The first station counts the rows as Nova left them."""
        rows = self.rows(self.stations()[0])
        self.assertEqual(['Type', 'Status', 'State', 'Form', 'Rows'], rows[0])
        built = list(sample.rows())
        self.assertEqual(len(built), sum(int(row[4]) for row in rows[1:]))
        self.assertEqual({'-'}, {row[2] for row in rows[1:]})
        self.assertEqual(
            {str(row['status'] or '-') for row in built},
            {row[1] for row in rows[1:]},
        )
        self.assertIn(['evacuation', 'Done', '-', 'unknown', '1'], rows)

    def test_census_after(self):
        """The second station counts the same rows, each canonical."""
        stations = self.stations()
        before, after = self.rows(stations[0]), self.rows(stations[1])
        self.assertEqual(
            sum(int(row[4]) for row in before[1:]),
            sum(int(row[4]) for row in after[1:]),
        )
        states = registry.states_with()
        for kind, status, state, form, _rows in after[1:]:
            if form == 'none':
                continue
            self.assertEqual('canonical', form)
            self.assertEqual(states[state].status, status)
            if kind in MIGRATION_TYPES:
                self.assertIn(state, MACHINES[kind].states)
        self.assertIn("unknown status 'Done'", stations[1])

    def test_walk(self):
        """One live migration is moved, refused and absorbed."""
        rows = self.rows(self.stations()[2])
        steps = [row for row in rows[1:] if row[0]]
        self.assertEqual(
            {'moved', 'refused', 'absorbed'}, {row[1] for row in steps}
        )
        machine = MACHINES['live-migration']
        state = machine.table.start.name
        for event, outcome, now, status, _why in steps[1:]:
            decided = machine.decide(state, event)
            self.assertEqual(outcome == 'refused', decided is None)
            self.assertEqual(
                now,
                getattr(decided, 'target', state),
            )
            self.assertEqual(machine.state(now).status, status)
            state = now

    def test_the_same_bytes(self):
        """The checksum is the same before and after, and it says so."""
        stations = self.stations()
        (before,) = CHECKSUM.findall(stations[0])
        (after,) = CHECKSUM.findall(stations[3])
        self.assertEqual(before, after)
        self.assertGreaterEqual(len(before), 16)
        self.assertIn('the same bytes', stations[3])
        self.assertNotIn('NOT', stations[3])

    def test_next(self):
        """It ends with what to run next, and that can be run."""
        last = self.stations()[-1]
        (command,) = re.findall(r'nova-migration-manage (machine .*)', last)
        self.assertEqual(0, cmd_test.run_anywhere(*command.split()).code)

    def test_twice(self):
        """Two runs say the same."""
        self.assertEqual(self.demo().out, self.demo().out)

    def test_leaves_nothing_behind(self):
        """No file is left, neither here nor among the temporary ones."""
        temporary = pathlib.Path(tempfile.gettempdir())
        before = sorted(temporary.rglob('*'))
        self.demo()
        self.assertEqual(before, sorted(temporary.rglob('*')))
        self.assertEqual([], list(self.folder.iterdir()))

    def test_keep(self):
        """--keep leaves the database, which the commands can go on with."""
        said = self.demo('--keep', 'kept.db').out
        self.assertEqual(self.demo().out, said)
        self.assertEqual(
            ['kept.db'], [path.name for path in self.folder.iterdir()]
        )
        with sqlite3.connect('kept.db') as connection:
            (count,) = connection.execute(
                'SELECT count(*) FROM migrations'
            ).fetchone()
        connection.close()
        self.assertGreater(count, 100)
        result = cmd_test.run_anywhere(
            '--database-connection', 'sqlite:///kept.db', 'db', 'check'
        )
        self.assertEqual(3, result.code, result)

    def test_keep_wants_a_new_file(self):
        """--keep never writes into a file that is there."""
        path = self.write('mine.db', 'precious')
        result = cmd_test.run_anywhere('demo', '--keep', 'mine.db')
        self.assert_one_line(result, 'mine.db')
        self.assertEqual('precious', path.read_text())

    def test_keep_where_nothing_can_be(self):
        """--keep in a folder that is not there gives one line."""
        result = cmd_test.run_anywhere('demo', '--keep', 'no/folder.db')
        self.assert_one_line(result, 'folder.db')

    def assert_one_line(self, result, part):
        """The demonstration failed with one line that has the part."""
        self.assertEqual((1, ''), (result.code, result.out))
        self.assertEqual(1, len(result.err.splitlines()), result.err)
        self.assertIn(part, result.err)

    def test_keep_under_an_odd_name(self):
        """--keep takes a name literally, whatever it means in a URL."""
        precious = self.write('what', 'precious')
        for name in ('what?.db', 'what#.db', '100%25.db', 'a b.db'):
            cmd_test.run_anywhere('demo', '--keep', name)
            self.assertTrue((self.folder / name).exists(), name)
        self.assertEqual('precious', precious.read_text())
        self.assertEqual(5, len(list(self.folder.iterdir())))

    def test_no_database_of_yours(self):
        """The configured database is not even looked for."""
        result = cmd_test.run_anywhere(
            '--config-file',
            'missing.conf',
            '--database-connection',
            'x',
            'demo',
        )
        self.assertEqual(0, result.code, result)

    def test_as_a_process(self):
        """A process of its own says the same."""
        result = cmd_test.run_process('demo')
        self.assertEqual((0, ''), (result.code, result.err))
        self.assertEqual(self.demo().out, result.out)
