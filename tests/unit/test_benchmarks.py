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

"""What the benchmarks make of what they measure."""

import json
import pathlib

import fixtures

from benchmarks import cli
from benchmarks import measure
from benchmarks import report
from benchmarks import rows
from benchmarks import summary
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests import base

RESULTS = base.ROOT / 'benchmarks' / 'results.json'


def result(**values):
    """Return a result of which only what matters is given."""
    given = {
        'scenario': 'write',
        'database': 'SQLite',
        'group': 'a write',
        'contender': 'ours',
        'unit': 'us',
        'median': 1.0,
        **values,
    }
    return measure.Result(**given)


class MeasureTest(base.TestCase):
    """Rounds, ratios and percentiles."""

    def test_contenders_take_turns(self):
        """Each round has each contender, beginning with another one."""
        called = []

        def contender(name):
            return lambda: called.append(name) or {'us': len(called)}

        samples = measure.in_turn(
            {name: contender(name) for name in 'abc'}, rounds=2, warm=1
        )

        self.assertEqual('cababcbca', ''.join(called))
        self.assertEqual({'a': 2, 'b': 2, 'c': 2}, lengths(samples))

    def test_ratios_are_of_the_same_round(self):
        """A round that is slow for everybody changes no ratio."""
        samples = {
            'driver': [{'us': 1}, {'us': 100}, {'us': 3}],
            'ours': [{'us': 2}, {'us': 200}, {'us': 6}],
        }

        found = dict(measure.compared(samples, 'us'))

        self.assertEqual(
            {'median': 6, 'ratio': 2, 'low': 2, 'high': 2}, found['ours']
        )

    def test_unit_that_a_contender_has_not(self):
        """A contender without the unit is left out."""
        samples = {'one': [{'us': 1}], 'other': [{'ms': 1}]}

        self.assertEqual(['one'], [n for n, _ in found_us(samples)])

    def test_percentile(self):
        """A percentile is between the two values around it."""
        values = [4.0, 1.0, 3.0, 2.0]

        self.assertEqual(1, measure.percentile(values, 0))
        self.assertEqual(2.5, measure.percentile(values, 0.5))
        self.assertEqual(4, measure.percentile(values, 1))


def lengths(samples):
    """Return how many rounds each contender has."""
    return {name: len(own) for name, own in samples.items()}


def found_us(samples):
    """Return the comparison in microseconds."""
    return list(measure.compared(samples, 'us'))


class RowsTest(base.TestCase):
    """The rows that tables are filled with."""

    def test_every_string_occurs(self):
        """Each type has each string that its machine knows."""
        kinds = {kind for kind, _count in rows.mix()}

        for kind in MIGRATION_TYPES:
            for word in MACHINES[kind].legacy:
                self.assertIn((kind, False, word), kinds)

    def test_are_the_same_each_time(self):
        """Two runs measure the same rows."""
        self.assertEqual(list(rows.rows(50)), list(rows.rows(50)))


class ReportTest(base.TestCase):
    """Files of results, and the tables that are made of them."""

    def setUp(self):
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        self.path = pathlib.Path(folder) / 'results.json'

    def results(self, *results):
        """Return what one run found."""
        runs = {(r.scenario, r.database): {'command': 'it'} for r in results}
        return report.Results({'cores': 2}, runs, list(results))

    def test_file_gives_back_what_it_was_given(self):
        """A file has every field that is set."""
        waits = measure.Latency(writes=5, p50=1, p99=2, max=3, due_p99=4)
        results = self.results(result(writer=waits, ratio=2.5), result(x=10))

        report.save(self.path, results)

        self.assertEqual(results, report.load(self.path))

    def test_same_run_again(self):
        """A run replaces what it found before, and nothing else."""
        report.save(
            self.path,
            self.results(result(), result(database='MariaDB', median=2)),
        )

        report.save(self.path, self.results(result(median=3)))

        self.assertEqual(
            [('MariaDB', 2), ('SQLite', 3)],
            [(r.database, r.median) for r in report.load(self.path).results],
        )

    def test_columns_without_anything_are_left_out(self):
        """A table has the columns in which some row has something."""
        ((title, columns, cells),) = report.tables([result(rows=20_000)])

        self.assertEqual('write: a write', title)
        self.assertEqual(['database', 'rows', 'contender', 'us'], columns)
        self.assertEqual([['SQLite', '20,000', 'ours', '1.00']], cells)

    def test_units_do_not_mix(self):
        """Time and CPU of one group are two tables."""
        tables = report.tables([result(), result(unit='CPU us')])

        self.assertEqual(
            ['CPU us', 'us'], [columns[-1] for _, columns, _ in tables]
        )

    def test_numbers(self):
        """Three figures count."""
        self.assertEqual(
            ['', '0', '0.00123', '0.123', '1.23', '12.3', '123', '12,346'],
            [
                report.number(value)
                for value in (
                    None,
                    0,
                    0.001234,
                    0.1234,
                    1.234,
                    12.34,
                    123.4,
                    12345.6,
                )
            ],
        )


class CommittedTest(base.TestCase):
    """The results that the documentation shows."""

    def setUp(self):
        super().setUp()
        self.results = report.load(RESULTS)

    def test_every_scenario_is_there(self):
        """Each scenario was measured."""
        self.assertEqual(
            set(cli.SCENARIOS), {name for name, _ in self.results.runs}
        )

    def test_every_result_has_its_command(self):
        """What each result was measured with is known."""
        for one in self.results.results:
            run = self.results.runs[one.scenario, one.database]
            self.assertIn('python -m benchmarks', run['command'])

    def test_nothing_names_the_machine(self):
        """No path, and no host but the own one, is in the file."""
        for run in json.loads(RESULTS.read_text())['runs']:
            self.assertNotIn('/', run['command'].replace('://', ''))

    def test_readme(self):
        """README.rst shows the figures of the file."""
        text = (base.ROOT / 'README.rst').read_text('utf-8')

        self.assertIn(summary.table(self.results.results), text)


class CommandLineTest(base.TestCase):
    """What the command line takes."""

    def test_scenarios_are_modules(self):
        """Each scenario that is listed can be run."""
        folder = base.ROOT / 'benchmarks' / 'scenarios'

        self.assertEqual(
            [], [n for n in cli.SCENARIOS if not (folder / f'{n}.py').exists()]
        )

    def test_unknown_scenario(self):
        """The error names the scenarios that there are."""
        errors = self.useFixture(fixtures.StringStream('stderr')).stream
        with fixtures.MonkeyPatch('sys.stderr', errors):
            error = self.assertRaises(SystemExit, cli.main, ['writes'])

        self.assertEqual(2, error.code)
