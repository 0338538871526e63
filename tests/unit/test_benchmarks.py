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
import pymysql

from benchmarks import cli
from benchmarks import measure
from benchmarks import report
from benchmarks import rows
from benchmarks import summary
from benchmarks.contenders import writer
from benchmarks.scenarios import galera
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests import base
from tests import required
from tests.servers import shared

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

    def test_mean_over_a_line(self):
        """The mean is of the line, and not of the points that it is given."""
        points = [(0, 1.0), (10, 3.0), (50, 3.0)]

        self.assertEqual(2.9, measure.mean_over(points, 100))
        self.assertEqual(2, measure.mean_over([(0, 1.0), (10, 3.0)], 10))
        self.assertEqual(4, measure.mean_over([(0, 4.0)], 100))


def lengths(samples):
    """Return how many rounds each contender has."""
    return {name: len(own) for name, own in samples.items()}


def found_us(samples):
    """Return the comparison in microseconds."""
    return list(measure.compared(samples, 'us'))


class ClusterTest(base.TestCase):
    """What is made of several rounds on a cluster."""

    def test_writer_over_rounds(self):
        """What it waited is the median, and the worst is not lost."""
        rounds = [
            measure.Latency(
                writes=10, p50=1, p99=p99, max=p99 + 1, due_p99=p99, errors=1
            )
            for p99 in (2, 40, 4)
        ]

        self.assertEqual(
            measure.Latency(
                writes=30,
                p50=1,
                p99=4,
                worst_p99=40,
                max=41,
                due_p99=4,
                errors=3,
            ),
            galera.over_rounds(rounds),
        )

    def test_rounds_that_do_not_get_through(self):
        """What they did is said."""
        rounds = [{'rows': rows_} for rows_ in (3000, 1200, 0)]

        self.assertEqual(
            'given up, rows done: 1,200; 0', galera.given_up(rounds, 3000)
        )
        self.assertEqual('', galera.given_up(rounds[:1], 3000))


class _Cursor:
    """A cursor whose first tries end with the errors that it is given."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.tries = 0

    def execute(self, _statement, _values):
        self.tries += 1
        if self.errors:
            raise pymysql.err.OperationalError(self.errors.pop(0), 'sorry')


class WriterTest(base.TestCase):
    """A service that writes beside the upgrade."""

    def write(self, *errors, again=galera.AGAIN):
        """Return the tries of one statement, and the errors counted."""
        cursor = _Cursor(*errors)
        service = writer.Writer('sqlite://', 1, again=again)
        service._persist(cursor, '', (1, 1))
        return cursor.tries, service._errors

    def test_node_asks_to_try_again(self):
        """The statement is tried until it gets through."""
        self.assertEqual((1, 0), self.write())
        self.assertEqual((3, 2), self.write(1213, 1047))

    def test_error_that_stays(self):
        """Any other error is counted, and the statement is given up."""
        self.assertEqual((1, 1), self.write(1054))
        self.assertEqual((1, 1), self.write(1213, again=()))


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

    def test_each_node_has_a_row(self):
        """A table says which node of a cluster a writer wrote to."""
        waits = measure.Latency(
            writes=5, p50=1, p99=2, max=3, due_p99=4, worst_p99=2.5
        )
        nodes = [result(node=n, conflicts=0, writer=waits) for n in (1, 2)]

        ((_title, columns, cells),) = report.tables(nodes)

        found = [dict(zip(columns, row, strict=True)) for row in cells]
        self.assertEqual(['1', '2'], [row['node'] for row in found])
        self.assertEqual(['0', '0'], [row['conflicts'] for row in found])
        self.assertEqual(['2.50', '2.50'], [row['worst p99'] for row in found])

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


class SummaryTest(base.TestCase):
    """The table of README.rst."""

    def ratios(self, *contenders):
        """Return the rows of a table from the ratios of a migration."""
        results = [
            result(
                scenario='upgrade',
                group='migrate, nobody beside',
                contender=contender,
                ratio=ratio,
            )
            for contender, ratio in contenders
        ]
        return {text: cells for text, *cells in summary.rows(results)}

    def test_nova_is_met_twice(self):
        """Nova's way has a rate at its best, and one over all rows."""
        nova = 'Nova: object by object'
        found = self.ratios(
            ('ours', 1.0), (nova, 0.1), (f'{nova}, over the whole table', 0.02)
        )

        best, whole = (
            cells for text, cells in found.items() if "to Nova's" in text
        )
        self.assertEqual((['', '', '10.0'], ['', '', '50.0']), (best, whole))

    def test_what_was_not_measured(self):
        """A row that has no figure is left out."""
        found = self.ratios(('ours', 1.0), ('one UPDATE', 1.0))

        self.assertEqual(
            ['', '``db upgrade --migrate``, rate to one UPDATE of the table'],
            list(found)[:2],
        )
        self.assertEqual([], [text for text in found if 'Nova' in text])


class CommittedTest(base.TestCase):
    """The results that the documentation shows."""

    def setUp(self):
        super().setUp()
        self.results = report.load(RESULTS)

    def test_every_scenario_is_there(self):
        """Each scenario was measured that is run without being named."""
        measured = {name for name, _ in self.results.runs}

        self.assertLessEqual(set(cli.DEFAULT), measured)
        self.assertLessEqual(measured, set(cli.SCENARIOS))

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

    def run_with(self, *arguments):
        """Return the exit status, and what was said beside the results."""
        errors = self.useFixture(fixtures.StringStream('stderr')).stream
        with fixtures.MonkeyPatch('sys.stderr', errors):
            status = cli.main(arguments)
        errors.seek(0)
        return status, errors.read()

    def test_cluster_has_to_be_named(self):
        """No cluster is started by a run of everything."""
        self.assertNotIn('galera', cli.DEFAULT)
        self.assertEqual({'galera'}, set(cli.SCENARIOS) - set(cli.DEFAULT))

    def test_what_a_cluster_needs(self):
        """The error is a line that names a package, required or not."""
        for required_ in (None, '1'):
            self.useFixture(
                fixtures.EnvironmentVariable(required.DATABASES, required_)
            )
            with fixtures.MonkeyPatch(
                'tests.servers.galera._LIBRARIES', ('/nowhere',)
            ):
                status, said = self.run_with('galera', '--smoke')

            self.assertEqual(1, status)
            self.assertRegex(said.splitlines()[-1], 'install the package ')

    def test_server_that_is_missing(self):
        """It is left out with a line, unless it is named or required."""
        missing = dict.fromkeys(
            (kind.why_missing for kind in shared.KINDS.values()), 'none here'
        )
        for name, value in (*missing.items(), (required.DATABASES, None)):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.useFixture(
            fixtures.MonkeyPatch(
                'benchmarks.cli._measured',
                lambda *_: report.Results(report.machine(), {}, []),
            )
        )
        self.addCleanup(shared.forget)
        for required_, arguments, ends in (
            (None, ('write',), 0),
            (None, ('write', '--database', 'mariadb'), 1),
            ('1', ('write',), 1),
        ):
            shared.forget()
            self.useFixture(
                fixtures.EnvironmentVariable(required.DATABASES, required_)
            )
            status, said = self.run_with(*arguments)
            self.assertEqual(ends, status, arguments)
            self.assertIn('no MariaDB: none here', said)

    def test_unknown_scenario(self):
        """The error names the scenarios that there are."""
        errors = self.useFixture(fixtures.StringStream('stderr')).stream
        with fixtures.MonkeyPatch('sys.stderr', errors):
            error = self.assertRaises(SystemExit, cli.main, ['writes'])

        self.assertEqual(2, error.code)
