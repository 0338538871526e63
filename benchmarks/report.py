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

"""What was measured: kept in a file, and shown as tables."""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import importlib.metadata
import itertools
import json
import os
import pathlib
import platform
from typing import Any

import prettytable

from benchmarks import measure

_PACKAGES = (
    'nova',
    'SQLAlchemy',
    'oslo.db',
    'oslo.versionedobjects',
    'automaton',
    'transitions',
    'python-statemachine',
    'PyMySQL',
    'psycopg2-binary',
)

#: Of a result: which run it is from.
Key = tuple[str, str]


@dataclasses.dataclass
class Results:
    """Everything that a file holds.

    :param machine: what it was measured on, without names of hosts
    :param runs: of each scenario and database: the command, the server's
        version, the seconds that it took
    """

    machine: dict[str, Any]
    runs: dict[Key, dict[str, Any]]
    results: list[measure.Result]

    def update(self, other: 'Results') -> None:
        """Take what another has in place of what is from the same runs."""
        self.machine = other.machine
        self.runs.update(other.runs)
        kept = [
            one
            for one in self.results
            if (one.scenario, one.database) not in other.runs
        ]
        self.results = kept + other.results


def machine() -> dict[str, Any]:
    """Describe this machine and what is installed, without naming it."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        'cores': os.cpu_count(),
        'architecture': platform.machine(),
        'system': platform.system(),
        'python': platform.python_version(),
        'packages': versions,
    }


def load(path: pathlib.Path) -> Results:
    """Read a file that :func:`save` wrote."""
    found = json.loads(path.read_text('utf-8'))
    return Results(
        found['machine'],
        {
            (run.pop('scenario'), run.pop('database')): run
            for run in found['runs']
        },
        [_result(one) for one in found['results']],
    )


def _result(values: dict[str, Any]) -> measure.Result:
    writer = values.pop('writer', None)
    return measure.Result(
        **values, writer=measure.Latency(**writer) if writer else None
    )


def to_json(results: Results) -> str:
    """Return what a file holds."""
    text = {
        'machine': results.machine,
        'runs': [
            {'scenario': scenario, 'database': database, **run}
            for (scenario, database), run in sorted(results.runs.items())
        ],
        'results': [_plain(one) for one in results.results],
    }
    return json.dumps(text, indent=1) + '\n'


def _plain(one: measure.Result) -> dict[str, Any]:
    def rounded(values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: float(f'{value:.4g}') if isinstance(value, float) else value
            for name, value in values.items()
            if value not in (None, '')
        }

    values = rounded(dataclasses.asdict(one))
    if one.writer is not None:
        values['writer'] = rounded(dataclasses.asdict(one.writer))
    return values


def save(path: pathlib.Path, results: Results) -> None:
    """Write a file, or put what was measured again into it."""
    if path.exists():
        earlier = load(path)
        earlier.update(results)
        results = earlier
    path.write_text(to_json(results), 'utf-8')


def number(value: float | None) -> str:
    """Write a number with three figures that count."""
    if value is None:
        return ''
    if value >= 100:
        return f'{value:,.0f}'
    return f'{value:.3g}' if value < 1 else f'{value:.{1 + (value < 10)}f}'


def cells(one: measure.Result) -> dict[str, str]:
    """Return a result as the cells of a row."""
    row = {
        'database': one.database,
        'rows': f'{one.rows:,}' if one.rows else '',
        'contender': one.contender,
        'at': '' if one.x is None else f'{one.x:,g}',
        one.unit: number(one.median),
        'ratio': number(one.ratio),
        'p10 to p90': ''
        if one.low is None
        else f'{number(one.low)} to {number(one.high)}',
        'conflicts': '' if one.conflicts is None else str(one.conflicts),
        'node': str(one.node or ''),
    }
    if one.writer is not None:
        row['writes'] = str(one.writer.writes)
        row['wait ms p50'] = number(one.writer.p50)
        row['p99'] = number(one.writer.p99)
        row['worst p99'] = number(one.writer.worst_p99)
        row['max'] = number(one.writer.max)
        row['due p99'] = number(one.writer.due_p99)
        row['errors'] = str(one.writer.errors or '')
    row['note'] = one.note
    return row


Table = tuple[str, list[str], list[list[str]]]


def tables(results: Iterable[measure.Result]) -> Iterator[Table]:
    """Yield a table for each group: title, columns, rows.

    A column that has nothing in any row is left out.
    """
    ordered = sorted(
        results, key=lambda one: (one.scenario, one.group, one.unit)
    )
    for (scenario, group, _unit), found in itertools.groupby(
        ordered, key=lambda one: (one.scenario, one.group, one.unit)
    ):
        rows = [cells(one) for one in found]
        columns = [
            name
            for name in max(rows, key=len)
            if any(row.get(name) for row in rows)
        ]
        yield (
            f'{scenario}: {group}',
            columns,
            [[row.get(name, '') for name in columns] for row in rows],
        )


def show(results: Results, form: str) -> str:
    """Return everything as text for a terminal, or as JSON."""
    if form == 'json':
        return to_json(results)
    parts = []
    for title, columns, rows in tables(results.results):
        table = prettytable.PrettyTable(columns, align='l')
        table.add_rows(rows)
        parts.append(f'{title}\n{table}\n')
    return '\n'.join(parts)
