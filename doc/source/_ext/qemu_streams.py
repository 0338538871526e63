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


"""Tables of what QEMU's recorded streams come to, made when the page is."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
import functools
import pathlib

from docutils import nodes
from docutils.parsers.rst import Directive

from nova_migration.hypervisor.qemu import stream
from nova_migration.hypervisor.qemu import verdict
from nova_migration.hypervisor.qemu import vocabulary

STREAMS = (
    pathlib.Path(__file__).resolve().parents[3]
    / 'tests'
    / 'data'
    / 'qemu-streams'
)


@functools.cache
def conclusions() -> tuple[tuple[str, verdict.Conclusion], ...]:
    """Return what every attempt of every stream comes to, by name."""
    found = []
    for path in sorted(STREAMS.glob('*.jsonl')):
        with path.open(encoding='utf-8') as lines:
            items = list(stream.read(lines, path.name))
        for attempt in stream.replay(items, path.name).journal.attempts:
            found.append((path.stem, verdict.advance(attempt)))
    return tuple(found)


def _entry(cell: object, literal: bool) -> nodes.entry:
    text = str(cell)
    word = nodes.literal(text, text) if literal and text else nodes.Text(text)
    return nodes.entry('', nodes.paragraph('', '', word))


def table_of(
    title: str,
    columns: Iterable[str],
    rows: Iterable[Iterable[object]],
    literals: frozenset[int] = frozenset(),
) -> nodes.table:
    """Make a table.

    :param literals: the numbers of the columns that hold words of a program
    """
    columns = list(columns)
    table = nodes.table('', nodes.title('', title), classes=['colwidths-auto'])
    group = nodes.tgroup(cols=len(columns))
    table += group
    group.extend(nodes.colspec(colwidth=1) for _column in columns)
    head = nodes.row('', *(_entry(cell, False) for cell in columns))
    group += nodes.thead('', head)
    group += nodes.tbody(
        '',
        *(
            nodes.row(
                '',
                *(
                    _entry(cell, number in literals)
                    for number, cell in enumerate(row)
                ),
            )
            for row in rows
        ),
    )
    return table


def _totals() -> Iterator[tuple[object, ...]]:
    """Count the verdicts by QEMU's last words."""
    counted = collections.Counter(
        (
            str(one.verdict),
            one.source_status or '',
            one.destination_status or '',
        )
        for _name, one in conclusions()
    )
    order = list(vocabulary.Verdict)
    for key, count in sorted(
        counted.items(), key=lambda pair: (order.index(pair[0][0]), -pair[1])
    ):
        yield (*key, count)


def _streams() -> Iterator[tuple[object, ...]]:
    for name, one in conclusions():
        yield (
            name,
            one.attempt,
            str(one.state),
            '; '.join(str(reason) for reason in one.reasons),
            str(one.verdict),
            one.source_status or '',
            one.destination_status or '',
        )


def _statuses() -> Iterator[tuple[object, ...]]:
    for status in vocabulary.KNOWN.values():
        yield (
            status.name,
            str(status.kind),
            str(status.state),
            'yes' if status.reversible else 'no',
        )


class Totals(Directive):
    """``.. qemu-totals::``: how the recorded attempts ended."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        columns = ('Verdict', 'Source', 'Destination', 'Attempts')
        words = frozenset({0, 1, 2})
        title = f'{len(conclusions())} recorded attempts'
        return [table_of(title, columns, _totals(), words)]


class Streams(Directive):
    """``.. qemu-streams::``: every recorded attempt."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        columns = (
            'Stream',
            'Attempt',
            'State',
            'Reasons',
            'Verdict',
            'Source',
            'Destination',
        )
        words = frozenset({0, 2, 4, 5, 6})
        return [table_of('Recorded streams', columns, _streams(), words)]


class Statuses(Directive):
    """``.. qemu-statuses::``: the raw vocabulary."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        columns = ('QEMU says', 'Class', 'State', 'Reversible')
        words = frozenset({0, 1, 2})
        return [table_of('Migration statuses', columns, _statuses(), words)]


def setup(app):
    """Register the directives."""
    app.add_directive('qemu-totals', Totals)
    app.add_directive('qemu-streams', Streams)
    app.add_directive('qemu-statuses', Statuses)
    return {'parallel_read_safe': True}
