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

"""The structure of the package, read off its source."""

import ast
import contextlib
import importlib.util
import io
import pathlib
import sys

import fixtures

from tests import base

PACKAGE = base.ROOT / 'nova_migration'

#: What each part may import of ours besides itself.
MAY_IMPORT = {
    'conf': set(),
    'data': set(),
    'exception': set(),
    'version': set(),
    'states': set(),
    'db': {'states', 'conf', 'exception'},
    'context': {'db'},
    'objects': {'db', 'states', 'conf', 'exception'},
    'hypervisor': {
        'objects',
        'db',
        'states',
        'conf',
        'context',
        'exception',
    },
    'integration': {
        'objects',
        'db',
        'states',
        'conf',
        'context',
        'exception',
    },
    'cmd': {
        'integration',
        'hypervisor',
        'objects',
        'db',
        'states',
        'conf',
        'context',
        'data',
        'exception',
        'version',
    },
}


def modules():
    """Yield each module's dotted name below the package, and its tree."""
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE).with_suffix('').parts
        name = '.'.join(part for part in parts if part != '__init__')
        yield name, ast.parse(path.read_text())


def part_of(dotted):
    """Return the part of the package that a module belongs to."""
    return dotted.partition('.')[0]


def imported(tree):
    """Yield what a module imports of ours, below the package."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        for name in names:
            head, _dot, rest = name.partition('.')
            if head == 'nova_migration' and rest:
                yield rest


class ImportsTest(base.TestCase):
    """Imports point one way."""

    def test_every_part_has_a_place(self):
        """A new part of the package is given its place among the others."""
        parts = {part_of(name) for name, _tree in modules() if name}

        self.assertEqual(set(), parts - set(MAY_IMPORT))

    def test_imports_point_one_way(self):
        """No part imports one that is built upon it."""
        wrong = [
            f'{name} imports {other}'
            for name, tree in modules()
            for other in imported(tree)
            if part_of(other) != part_of(name)
            and part_of(other) not in MAY_IMPORT[part_of(name)]
        ]

        self.assertEqual([], wrong)

    def test_places_are_free_of_circles(self):
        """The order of the parts can be followed down to the leaves."""
        done = set()
        while len(done) < len(MAY_IMPORT):
            ready = {
                part
                for part, others in MAY_IMPORT.items()
                if part not in done and others <= done
            }
            self.assertNotEqual(set(), ready, set(MAY_IMPORT) - done)
            done |= ready

    def test_package_itself_imports_nothing(self):
        """Importing the package alone costs nothing."""
        (tree,) = [tree for name, tree in modules() if not name]

        self.assertEqual([], list(imported(tree)))


def _names_conf(node):
    targets = getattr(node, 'targets', None) or [getattr(node, 'target', None)]
    return any(isinstance(t, ast.Name) and t.id == 'CONF' for t in targets)


class GlobalsTest(base.TestCase):
    """Nothing that can be passed in is global."""

    def test_no_global_configuration(self):
        """No module has a CONF, or uses that of oslo.config.

        What is put into a service reads the configuration of that service.
        """
        for name, tree in modules():
            for node in ast.walk(tree):
                self.assertFalse(
                    isinstance(node, ast.Attribute)
                    and node.attr == 'CONF'
                    and part_of(name) != 'integration',
                    f'{name} uses cfg.CONF',
                )
                if isinstance(node, ast.Assign | ast.AnnAssign):
                    self.assertFalse(_names_conf(node), f'{name} has a CONF')
                if isinstance(node, ast.ImportFrom):
                    self.assertNotIn(
                        'CONF', [alias.name for alias in node.names], name
                    )

    def test_errors_are_chained(self):
        """What is raised while an error is handled says where it is from."""
        for name, tree in modules():
            for handler in ast.walk(tree):
                if not isinstance(handler, ast.ExceptHandler):
                    continue
                for node in ast.walk(handler):
                    if isinstance(node, ast.Raise) and node.exc is not None:
                        self.assertIsNotNone(
                            node.cause, f'{name}:{node.lineno}'
                        )


class SizesTest(base.TestCase):
    """Functions are short enough to be read at once."""

    def setUp(self):
        super().setUp()
        path = base.ROOT / 'tools' / 'function_sizes.py'
        spec = importlib.util.spec_from_file_location('function_sizes', path)
        self.tool = importlib.util.module_from_spec(spec)
        # Its dataclasses look their module up.
        self.useFixture(
            fixtures.MonkeyPatch(
                'sys.modules', {**sys.modules, spec.name: self.tool}
            )
        )
        spec.loader.exec_module(self.tool)

    def test_longest(self):
        """No function has more than 50 lines."""
        long = [f for f in self.tool.functions() if f.lines > 50]

        self.assertEqual([], long)

    def test_nine_in_ten(self):
        """Nine in ten functions have no more than 28 lines."""
        self.assertLessEqual(self.tool.measure().p90, 28)

    def test_measure(self):
        """A function is counted from its def to its last line."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (folder / 'one.py').write_text(
            '@staticmethod\ndef short():\n    pass\n\n\n'
            'class Some:\n    async def longer(self):\n'
            '        """Say so."""\n\n        return [\n        ]\n'
        )

        sizes = self.tool.measure(folder)

        self.assertEqual(
            (3.5, 5, 5, 2), (sizes.median, sizes.p90, sizes.max, sizes.count)
        )

    def test_measure_nothing(self):
        """A folder without functions has sizes of nothing."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

        self.assertEqual(
            self.tool.Sizes(0, 0, 0, 0), self.tool.measure(folder)
        )

    def test_prints(self):
        """The script prints the four numbers, and the longest by name."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = self.tool.main(['--longest', '2'])

        first, *longest = printed.getvalue().splitlines()
        self.assertEqual(0, code)
        self.assertRegex(
            first, r'^median [\d.]+, p90 \d+, max \d+, count \d+$'
        )
        self.assertEqual(2, len(longest))
