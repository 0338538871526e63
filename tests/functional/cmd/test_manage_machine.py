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


"""``machine``: every machine in every format, compared with the tables."""

import csv
import io
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from xml.etree import ElementTree

import fixtures
import pydot
import yaml

from nova_migration.cmd import exits
from nova_migration.states import MACHINES
from nova_migration.states import draw
from tests import base
from tests.functional.cmd import base as cmd_test

SVG = '{http://www.w3.org/2000/svg}'

_LOADERS = {
    'json': json.loads,
    'csv': lambda text: list(csv.DictReader(io.StringIO(text))),
}


def read_table(text):
    """Return the rows of a table whose cells have no bar and no line end."""
    lines = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in text.splitlines()
        if line.startswith('|')
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


class MachineTest(cmd_test.CommandTest, base.TestCase):
    """``machine list`` and ``machine show``, which need no database."""

    def setUp(self):
        super().setUp()
        folder = pathlib.Path(tempfile.mkdtemp())
        self.path = folder / 'nowhere' / 'not.db'
        self.url = f'sqlite:///{self.path}'

    def read(self, name, *argv):
        """Return the rows that a format says, every cell as text."""
        text = self.work(*argv, '-f', name).out
        rows = _LOADERS.get(name, read_table)(text)
        return [{key: str(cell) for key, cell in row.items()} for row in rows]

    def test_list(self):
        """`machine list` has a row for each machine, in every format."""
        expected = [
            {
                'Machine': name,
                'Title': machine.table.title,
                'Start': machine.table.start.name,
                'States': str(len(machine.table.states)),
                'Edges': str(len(machine.table.edges)),
                'Absorbed': str(len(machine.table.absorbed)),
            }
            for name, machine in MACHINES.items()
        ]
        for name in (*_LOADERS, 'table'):
            self.assertEqual(expected, self.read(name, 'machine', 'list'))
        out = self.work('machine', 'list', '-f', 'value').out
        self.assertEqual(
            [' '.join(row.values()) for row in expected], out.splitlines()
        )

    def test_show_edges(self):
        """`machine show` lists the edges and the absorbed reports."""
        for name, machine in MACHINES.items():
            expected = [
                dict(zip(draw.EDGE_COLUMNS, row, strict=True))
                for row in [
                    *(
                        (e.source, e.event, e.target, 'moved', e.why)
                        for e in machine.table.edges
                    ),
                    *(
                        (a.state, a.event, a.state, 'absorbed', a.why)
                        for a in machine.table.absorbed
                    ),
                ]
            ]
            for form in (*_LOADERS, 'table'):
                rows = self.read(form, 'machine', 'show', name)
                self.assertEqual(expected, rows, (name, form))
            out = self.work('machine', 'show', name, '-f', 'value').out
            self.assertEqual(
                [' '.join(row.values()) for row in expected],
                out.splitlines(),
            )

    def test_show_states(self):
        """--states lists each state with its meaning instead."""
        for name, machine in MACHINES.items():
            for form in (*_LOADERS, 'table'):
                rows = self.read(form, 'machine', 'show', name, '--states')
                self.assertEqual(
                    [
                        (s.name, s.status, s.meaning, ', '.join(s.spellings))
                        for s in machine.table.states
                    ],
                    [
                        (r['State'], r['Status'], r['Meaning'], r['Legacy'])
                        for r in rows
                    ],
                    (name, form),
                )
                self.assertEqual(
                    {s.name for s in machine.table.states if s.terminal},
                    {r['State'] for r in rows if r['Terminal'] == 'yes'},
                )

    def test_in_yaml(self):
        """YAML says the same as JSON."""
        for argv in (('list',), *(('show', name) for name in MACHINES)):
            text = {
                form: self.work('machine', *argv, '-f', form).out
                for form in ('json', 'yaml')
            }
            self.assertEqual(
                json.loads(text['json']), yaml.safe_load(text['yaml'])
            )

    def drawn(self, name, form):
        """Return the drawing of a machine."""
        return self.work('machine', 'show', name, '-f', form).out

    def edges(self, name):
        """Return the edges of a machine as it is declared."""
        return {
            (edge.source, edge.event, edge.target)
            for edge in MACHINES[name].table.edges
        }

    def test_dot(self):
        """The Graphviz text parses, and has every edge and no other."""
        for name, machine in MACHINES.items():
            (graph,) = pydot.graph_from_dot_data(self.drawn(name, 'dot'))
            found = {
                tuple(
                    text.strip('"').strip()
                    for text in (
                        edge.get_source(),
                        edge.get_label() or '',
                        edge.get_destination(),
                    )
                )
                for edge in graph.get_edges()
            }
            named = {state.name for state in machine.table.states}
            self.assertEqual(
                self.edges(name), {edge for edge in found if edge[0] in named}
            )
            self.assertEqual(
                {machine.table.start.name},
                {edge[2] for edge in found if edge[0] not in named},
            )

    def test_dot_can_be_drawn(self):
        """Graphviz takes the text without a warning."""
        self.require_graphviz()
        for name, machine in MACHINES.items():
            done = subprocess.run(
                ['dot', '-Tplain'],
                input=self.drawn(name, 'dot'),
                capture_output=True,
                text=True,
                check=True,
            )
            self.assertEqual('', done.stderr)
            nodes = [
                line.split()[1].strip('"')
                for line in done.stdout.splitlines()
                if line.startswith('node ')
            ]
            self.assertLessEqual(machine.states.keys(), set(nodes))

    def test_mermaid(self):
        """The mermaid diagram has every edge, state and absorbed report."""
        for name, machine in MACHINES.items():
            lines = [
                line.strip()
                for line in self.drawn(name, 'mermaid').splitlines()
            ]
            self.assertEqual('stateDiagram-v2', lines[0])
            aliases = {}
            for line in lines:
                if line.startswith('state '):
                    title, alias = line.removeprefix('state ').split(' as ')
                    aliases[alias] = title.strip('"')
            self.assertEqual(machine.states.keys(), set(aliases.values()))
            for alias in aliases:
                self.assertRegex(alias, r'^\w+$')
            arrows = [
                line.replace(' : ', ' --> ').split(' --> ')
                for line in lines
                if ' --> ' in line and '[*]' not in line
            ]
            found = {
                (aliases[source], event, aliases[target])
                for source, target, event in arrows
            }
            self.assertEqual(self.edges(name), found)
            self.assertEqual(len(machine.table.edges), len(arrows))
            self.assertEqual(
                {(pair.state, pair.event) for pair in machine.table.absorbed},
                {
                    (aliases[line.split()[3]], line.split()[-1])
                    for line in lines
                    if line.startswith('note right of ')
                },
            )

    def require_graphviz(self):
        """Skip without Graphviz, which a contributor may not have."""
        if shutil.which('dot') is None:
            self.skipTest("no 'dot' on the PATH: install graphviz")

    def test_svg(self):
        """The picture is well-formed SVG that names every state."""
        self.require_graphviz()
        for name, machine in MACHINES.items():
            root = ElementTree.fromstring(self.drawn(name, 'svg'))
            self.assertEqual(f'{SVG}svg', root.tag)
            texts = {text.text for text in root.iter(f'{SVG}text')}
            self.assertLessEqual(machine.states.keys(), texts)
            arrows = [
                group
                for group in root.iter(f'{SVG}g')
                if group.get('class') == 'edge'
            ]
            self.assertGreaterEqual(len(arrows), len(machine.table.edges))

    def test_svg_without_graphviz(self):
        """Without `dot` one line says what to install or to ask for."""
        self.useFixture(
            fixtures.EnvironmentVariable('PATH', tempfile.mkdtemp())
        )
        result = self.manage('machine', 'show', 'resize', '-f', 'svg')
        self.assert_one_line(result, 1, 'graphviz', '-f mermaid')

    def test_svg_with_a_graphviz_that_fails(self):
        """A `dot` that fails gives one line too."""
        folder = pathlib.Path(tempfile.mkdtemp())
        program = folder / 'dot'
        program.write_text('#!/bin/sh\necho broken >&2\nexit 1\n')
        program.chmod(0o755)
        path = f'{folder}{os.pathsep}{os.environ["PATH"]}'
        self.useFixture(fixtures.EnvironmentVariable('PATH', path))
        result = self.manage('machine', 'show', 'resize', '-f', 'svg')
        self.assert_one_line(result, 1, "Graphviz's 'dot'")

    def test_unknown_machine(self):
        """A mistyped name is answered with the nearest one."""
        for name in MACHINES:
            for form in ('table', 'json', 'dot', 'svg'):
                result = self.manage('machine', 'show', name[:-1], '-f', form)
                self.assert_one_line(result, 1, 'did you mean', repr(name))
        result = self.manage('machine', 'show', 'xyzzy')
        self.assert_one_line(result, 1, *MACHINES)

    def test_usage(self):
        """A format there is not, and a name that is missing, are refused."""
        for argv in (
            ('machine', 'show'),
            ('machine', 'show', 'resize', '-f', 'png'),
            ('machine', 'list', '-f', 'dot'),
            ('machine', 'list', 'resize'),
        ):
            result = self.manage(*argv)
            self.assertEqual(exits.WRONG_CALL, result.code, result)
            self.assertIn('usage:', result.err)
            self.assertEqual('', result.out)

    def test_no_database_is_opened(self):
        """The machines are shown without a database, which is not made."""
        self.work('machine', 'list')
        self.work('machine', 'show', 'resize')
        self.assertFalse(self.path.parent.exists())
