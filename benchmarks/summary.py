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

"""The few figures that README.rst shows, as its table."""

from collections.abc import Iterator
from collections.abc import Sequence

from benchmarks import measure
from benchmarks import report

DATABASES = ('MariaDB', 'PostgreSQL', 'SQLite')

_MIGRATE = ('upgrade', 'migrate, nobody beside', 'ours')
_EVENT = ('write', 'a guarded transition', 'ours: process_event')

#: What is said, of which contender of a group, divided by which.
_RATIOS = (
    (
        '``db upgrade --migrate``, rate to one UPDATE of the table',
        _MIGRATE,
        'one UPDATE',
    ),
    (
        'the same, with what the server does afterwards',
        ('upgrade', 'migrate, with what the server does afterwards', 'ours'),
        'one UPDATE',
    ),
    (
        '``db restore``, rate to one UPDATE of the table',
        ('upgrade', 'restore, nobody beside', 'ours'),
        'one UPDATE',
    ),
    (
        "``db upgrade --migrate``, rate to Nova's at its best",
        _MIGRATE,
        'Nova: object by object',
    ),
    (
        "``db upgrade --migrate``, rate to Nova's over the whole table",
        _MIGRATE,
        'Nova: object by object, over the whole table',
    ),
    (
        '``process_event``, time to a raw autocommit UPDATE',
        _EVENT,
        'driver, autocommit',
    ),
    (
        "``process_event``, time to Nova's ``Migration.save()``",
        _EVENT,
        'Nova: Migration.save()',
    ),
    (
        "``MigrationList``, time to Nova's",
        ('load', 'a legacy row loaded', 'ours: MigrationList'),
        'Nova: MigrationList',
    ),
)
_STEP = (
    ('step', 'an event in memory', 'ours: machine_for and decide'),
    'automaton, shallow copy',
)
_WAIT = 'p99 of a writer beside ``db upgrade --migrate``, ms'
_SIZE = 'rows in the table that was upgraded'
_AS_IT_IS = (
    'upgrade',
    'migrate, a writer beside',
    'ours: migrate, as it is',
)


def _find(
    results: Sequence[measure.Result],
    database: str,
    key: tuple[str, str, str],
) -> measure.Result | None:
    for one in results:
        if (one.scenario, one.group, one.contender) == key and (
            one.database == database
        ):
            return one
    return None


def _ratio(
    results: Sequence[measure.Result],
    database: str,
    key: tuple[str, str, str],
    reference: str,
) -> str:
    own = _find(results, database, key)
    other = _find(results, database, (*key[:2], reference))
    if own is None or other is None or not (own.ratio and other.ratio):
        return ''
    return report.number(own.ratio / other.ratio)


def _wait(results: Sequence[measure.Result], database: str) -> str:
    found = _find(results, database, _AS_IT_IS)
    if found is None or found.writer is None:
        return ''
    return report.number(found.writer.p99)


def _size(results: Sequence[measure.Result], database: str) -> str:
    found = _find(results, database, _MIGRATE)
    return f'{found.rows:,}' if found and found.rows else ''


def rows(results: Sequence[measure.Result]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table, the header first.

    What was not measured anywhere is left out.
    """
    yield ('', *DATABASES)
    for text, key, reference in _RATIOS:
        ratios = [_ratio(results, name, key, reference) for name in DATABASES]
        if any(ratios):
            yield (text, *ratios)
    step = _ratio(results, 'none', *_STEP)
    yield ("a step in memory, time to automaton's", *[step] * len(DATABASES))
    yield (_WAIT, *(_wait(results, name) for name in DATABASES))
    yield (_SIZE, *(_size(results, name) for name in DATABASES))


def table(results: Sequence[measure.Result]) -> str:
    """Return the table as a simple one of reStructuredText."""
    lines = list(rows(results))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = '  '.join('=' * width for width in widths)
    text = [
        '  '.join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    # An empty first cell would make a line go on with the one above it.
    text[0] = '\\' + text[0][1:]
    return '\n'.join([rule, text[0], rule, *text[1:], rule, ''])
