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


"""Directives whose content is the table of states: nothing is typed twice."""

from collections.abc import Iterable
from collections.abc import Iterator

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.ext.graphviz import graphviz

from nova_migration import objects
from nova_migration.states import MACHINES
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationStatus
from nova_migration.states import draw
from nova_migration.states import registry


class Words(tuple):
    """A cell of words that programs read, shown as literals."""


def _paragraph(cell):
    paragraph = nodes.paragraph()
    if not isinstance(cell, Words):
        paragraph += nodes.Text(str(cell))
        return paragraph
    for number, word in enumerate(cell):
        if number:
            paragraph += nodes.Text(', ')
        paragraph += nodes.literal(word, word)
    return paragraph


def _row(cells):
    row = nodes.row()
    for cell in cells:
        row += nodes.entry('', _paragraph(cell))
    return row


def table_of(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]
) -> nodes.table:
    """Make a table whose columns are as wide as they need to be."""
    columns = list(columns)
    table = nodes.table('', nodes.title('', title), classes=['colwidths-auto'])
    group = nodes.tgroup(cols=len(columns))
    table += group
    for _column in columns:
        group += nodes.colspec(colwidth=1)
    group += nodes.thead('', _row(columns))
    group += nodes.tbody('', *(_row(row) for row in rows))
    return table


def _words(text: str) -> Words:
    return Words(word for word in text.split(', ') if word)


def _states(machine) -> Iterator[tuple[object, ...]]:
    for name, legacy, status, flags, terminal, meaning in draw.state_rows(
        machine
    ):
        yield (
            Words([name]),
            _words(legacy),
            Words([status]),
            _words(flags),
            terminal,
            meaning,
        )


def _edges(machine) -> Iterator[tuple[object, ...]]:
    for edge in machine.table.edges:
        names = (edge.source, edge.event, edge.target)
        why = edge.why
        if edge.said:
            said = machine.state(edge.said).legacy
            why = f'{why} A report says {said} of it.'
        yield (*(Words([name]) for name in names), why)


def _absorbed(machine) -> Iterator[tuple[object, ...]]:
    for pair in machine.table.absorbed:
        told = 'warning' if pair.contradicts else 'info'
        yield Words([pair.state]), Words([pair.event]), told, pair.why


class MachineDirective(Directive):
    """``.. machine:: NAME``: the diagram, the states, the moves."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the diagram and the three tables."""
        machine = registry.get(self.arguments[0])
        title = machine.table.title
        diagram = graphviz(alt=f'{title}: its states and events')
        diagram['code'] = draw.dot(machine)
        diagram['options'] = {}
        return [
            diagram,
            table_of(f'{title}: states', draw.STATE_COLUMNS, _states(machine)),
            table_of(
                f'{title}: moves',
                ('From', 'Event', 'To', 'When'),
                _edges(machine),
            ),
            table_of(
                f'{title}: late reports that are absorbed',
                ('In state', 'Event', 'Logged as', 'Why'),
                _absorbed(machine),
            ),
        ]


class BeforeAndAfter(Directive):
    """``.. before-and-after::``: what each string of each type becomes."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = (
            (
                Words([kind]),
                Words([word]),
                Words([state.status]),
                Words([state.name]),
            )
            for kind in registry.MIGRATION_TYPES
            for word, state in MACHINES[kind].legacy.items()
        )
        columns = ('migration_type', "Nova's string", 'status', 'state')
        return [table_of('Before and after', columns, rows)]


class Statuses(Directive):
    """``.. statuses::``: the public vocabulary, with the states behind it."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        states = registry.states_by_status()
        rows = (
            (Words([status]), Words(states[status]))
            for status in MigrationStatus
        )
        return [table_of('The public statuses', ('status', 'state'), rows)]


class Flags(Directive):
    """``.. flags::``: the questions that queries ask, with the states."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = (
            (Words([flag]), Words([kind]), Words(sorted(states)))
            for flag in MigrationFlag
            for kind, states in registry.states_by_type(flag).items()
        )
        columns = ('Flag', 'migration_type', 'state')
        return [table_of('The flags of the states', columns, rows)]


class ObjectFields(Directive):
    """``.. object-fields::``: what a ``Migration`` carries."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = (
            (
                Words([name]),
                type(field).__name__.removesuffix('Field'),
                'yes' if field.nullable else 'no',
            )
            for name, field in objects.Migration.fields.items()
        )
        title = f'The fields of Migration {objects.Migration.VERSION}'
        return [table_of(title, ('Field', 'Type', 'May be None'), rows)]


def setup(app):
    """Make the directives known to Sphinx."""
    app.setup_extension('sphinx.ext.graphviz')
    app.add_directive('machine', MachineDirective)
    app.add_directive('before-and-after', BeforeAndAfter)
    app.add_directive('statuses', Statuses)
    app.add_directive('flags', Flags)
    app.add_directive('object-fields', ObjectFields)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
