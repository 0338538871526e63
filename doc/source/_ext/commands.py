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


"""The pages of the commands, made from the commands themselves.

``.. commands::`` has a section with the help of each one, and
``.. exit-codes::`` the table of what they exit with.
"""

from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

from nova_migration.cmd import exits
from nova_migration.cmd import manage


class _Written(SphinxDirective):
    """Something whose source is lines of reST that are made here."""

    def lines(self) -> list[str]:
        """Return the source."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return what the source is parsed to."""
        holder = nodes.section()
        holder.document = self.state.document
        source = self.get_source_info()[0]
        nested_parse_with_titles(
            self.state, StringList(self.lines(), source), holder
        )
        return holder.children


class Commands(_Written):
    """A section for each command of nova-migration-manage."""

    def lines(self) -> list[str]:
        """Return a title and the help of each command."""
        made = []
        for name in sorted(manage.Manage().command_manager.commands):
            run = f'.. command-output:: nova-migration-manage {name} --help'
            made += [name, '=' * len(name), '', run, '']
        return made


class ExitCodes(_Written):
    """The exit codes; with an argument, those of one command."""

    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {}

    def lines(self) -> list[str]:
        """Return a table that is spelled as a list."""
        if self.arguments:
            rows = [
                ((), code, said)
                for code, said in sorted(exits.of(self.arguments[0]).items())
            ]
            columns = ('Exit', 'Meaning')
        else:
            rows = [(r.commands, r.code, r.meaning) for r in exits.TABLE]
            columns = ('Command', 'Exit', 'Meaning')
        made = ['.. list-table::', '   :header-rows: 1', '']
        for cells in (columns, *self._cells(rows, columns)):
            first, *others = cells
            made += [f'   * - {first}', *(f'     - {o}' for o in others)]
        return made

    @staticmethod
    def _cells(rows, columns):
        """Yield the cells; a command that was just named is not again."""
        before = None
        for commands, code, said in rows:
            shown = '' if commands == before else _named(commands)
            before = commands
            cells = (shown, code, said)
            yield cells[-len(columns) :]


def _named(commands):
    plain = (exits.OTHERS, exits.EVERY)
    return ', '.join(
        name if name in plain else f'``{name}``' for name in commands
    )


def setup(app):
    """Make the directives known to Sphinx."""
    app.add_directive('commands', Commands)
    app.add_directive('exit-codes', ExitCodes)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
