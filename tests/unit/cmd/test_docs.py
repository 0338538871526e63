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

"""Every command line that the documentation shows can be typed."""

import ast
import contextlib
import io
import re
import shlex
import tomllib

from nova_migration.cmd import manage
from tests import base

PROGRAM = 'nova-migration-manage'
PAGES = sorted(
    [base.ROOT / 'README.rst', *(base.ROOT / 'doc' / 'source').rglob('*.rst')]
)

#: A line of a block with the program in it, and what is set like code in a
#: sentence, over the end of a line if need be.
_BLOCK = re.compile(
    rf'^ +(?:\$ .*?)?{PROGRAM}((?: .*\\\n)* .*)$', re.MULTILINE
)
_INLINE = re.compile(rf'``(?:{PROGRAM} )?([a-z-]+ [^`]+)``')

#: Where a shell goes on with something else.
_SHELL = ('|', '>', '&&', ';')


NAMES = {tuple(name.split()): kind for name, kind in manage.COMMANDS.items()}


def command_in(words):
    """Return where the command begins in words, and which; or None."""
    found = (
        (start, tuple(words[start : start + length]))
        for start in range(len(words))
        for length in (2, 1)
    )
    return next((both for both in found if both[1] in NAMES), None)


def lines_of(page):
    """Yield the command lines of a page, each as its words."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        words = shlex.split(found[1].replace('\\\n', ' '), comments=True)
        ends = [words.index(mark) for mark in _SHELL if mark in words]
        yield words[: min(ends, default=None)]
    for found in _INLINE.finditer(text):
        start, _name = command_in(found[1].split()) or (None, None)
        if start == 0:
            yield shlex.split(found[1])


class ShownCommandsTest(base.TestCase):
    """Begins with the parsers of the program."""

    def setUp(self):
        super().setUp()
        self.app = manage.Manage()

    def complaint(self, words):
        """Return what the program says to words that it does not take."""
        start, name = command_in(words)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            try:
                self.app.parser.parse_args(words[:start])
                parser = NAMES[name](self.app, None).get_parser(' '.join(name))
                parser.parse_args(words[start + len(name) :])
            except SystemExit as ended:
                return ended.code and said.getvalue().splitlines()[-1]
        return None

    def test_every_one_can_be_typed(self):
        """No page shows an option that is not, or lacks one that must be."""
        seen = 0
        for page in PAGES:
            for words in lines_of(page):
                found = command_in(words)
                # The name alone is spoken of, not typed.
                if found is None or words == list(found[1]):
                    continue
                seen += 1
                said = self.complaint(words)
                self.assertFalse(said, f'{page}: {shlex.join(words)}')
        self.assertGreater(seen, 20)


class ManualTest(base.TestCase):
    """The manuals that are built with the documentation."""

    def test_each_command_has_one(self):
        """Each installed command has a manual, with its exit status."""
        text = (base.ROOT / 'pyproject.toml').read_text()
        scripts = tomllib.loads(text)['project']['scripts']
        folder = base.ROOT / 'doc' / 'source'
        (pages,) = (
            ast.literal_eval(node.value)
            for node in ast.parse((folder / 'conf.py').read_text()).body
            if isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == 'man_pages'
        )
        self.assertEqual(set(scripts), {name for _page, name, *_ in pages})
        for page, *_rest in pages:
            text = (folder / page).with_suffix('.rst').read_text()
            self.assertIn('\nExit status\n', text)
        self.assertIn(' -b man ', (base.ROOT / 'tox.ini').read_text())
