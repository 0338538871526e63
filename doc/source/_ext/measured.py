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


"""``.. measured::``: the tables of the committed results of the benchmarks."""

import pathlib
import sys
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from machines import table_of
from sphinx.util.docutils import SphinxDirective

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_FILE = _ROOT / 'benchmarks' / 'results.json'

# They are beside the package and not installed with it.
sys.path.append(str(_ROOT))

from benchmarks import report  # noqa: E402


class Measured(SphinxDirective):
    """What one scenario measured, and the commands that did.

    One that is run only when it is named may be missing, if it is optional.
    """

    required_arguments = 1
    option_spec: ClassVar = {'optional': directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return the commands and a table for each group."""
        self.env.note_dependency(str(_FILE))
        results = report.load(_FILE)
        scenario = self.arguments[0]
        own = [r for r in results.results if r.scenario == scenario]
        if not own and 'optional' in self.options:
            text = 'The committed results have no figures of it.'
            return [nodes.paragraph(text, text)]
        if not own:
            raise self.error(f'{_FILE.name} has nothing of {scenario!r}')
        return [
            _commands(results, scenario),
            *(table_of(*table) for table in report.tables(own)),
        ]


def _commands(results, scenario):
    runs = {
        run['command']: run
        for (name, _database), run in results.runs.items()
        if name == scenario
    }
    text = '\n'.join(f'$ {command}' for command in runs)
    return nodes.literal_block(text, text, language='console')


class Machine(SphinxDirective):
    """What it was measured on."""

    def run(self) -> list[nodes.Node]:
        """Return a table of versions."""
        self.env.note_dependency(str(_FILE))
        results = report.load(_FILE)
        found = results.machine
        servers = {
            database: run['server']
            for (_scenario, database), run in results.runs.items()
            if 'server' in run
        }
        rows = [
            ('processor', f'{found["cores"]} cores, {found["architecture"]}'),
            ('Python', found['python']),
            *servers.items(),
            *found['packages'].items(),
        ]
        return [table_of('Measured with', ('', ''), rows)]


def setup(app):
    """Register the directives."""
    app.add_directive('measured', Measured)
    app.add_directive('measured-with', Machine)
    return {'parallel_read_safe': True}
