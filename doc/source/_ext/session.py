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


"""``.. session::``: commands that are run when the page is built.

Each line that begins with ``$`` is run by the shell, and the output is put
below it. The sessions of a page share a folder, which has a sample cell
database and a ``nova.conf`` that names it. A command whose exit status is not
the one of the option ``:status:`` fails the build.
"""

import pathlib
import subprocess
import tempfile
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from nova_migration.cmd import sample
from nova_migration.db import engine

_CONFIGURATION = """[database]
connection = sqlite:///cell.db
"""


def _new_folder(app, docname, _source):
    """Give each page a fresh folder; it is filled when a session asks."""
    app.sessions.pop(docname, None)


def _folder_of(app, docname):
    if docname not in app.sessions:
        holder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(holder.name)
        database = engine.from_url(f'sqlite:///{folder / "cell.db"}')
        sample.build(database)
        database.engine.dispose()
        (folder / 'nova.conf').write_text(_CONFIGURATION)
        app.sessions[docname] = holder
    return app.sessions[docname].name


class Session(SphinxDirective):
    """Commands, with the output that they have today."""

    has_content = True
    option_spec: ClassVar = {
        'hidden': directives.flag,
        'lines': directives.nonnegative_int,
        'status': directives.nonnegative_int,
    }

    def run(self) -> list[nodes.Node]:
        """Run the commands and return what a terminal would have shown."""
        folder = _folder_of(self.env.app, self.env.docname)
        shown = []
        for line in self.content:
            shown.append(line)
            if line.startswith('$ '):
                shown.extend(self._output(line.removeprefix('$ '), folder))
        if 'hidden' in self.options:
            return []
        text = '\n'.join(shown)
        return [nodes.literal_block(text, text, language='console')]

    def _output(self, command, folder):
        done = subprocess.run(
            ['bash', '-c', command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        wanted = self.options.get('status', 0)
        if done.returncode != wanted:
            raise self.error(
                f'{command!r} exited with {done.returncode}, not {wanted}:'
                f' {done.stdout}'
            )
        lines = done.stdout.rstrip().splitlines()
        limit = self.options.get('lines')
        if limit and len(lines) > limit:
            return [*lines[:limit], '...']
        return lines


def _clean_up(app, _error):
    for holder in app.sessions.values():
        holder.cleanup()


def setup(app):
    """Make the directive known to Sphinx."""
    app.sessions = {}
    app.connect('source-read', _new_folder)
    app.connect('build-finished', _clean_up)
    app.add_directive('session', Session)
    return {'parallel_read_safe': False, 'parallel_write_safe': True}
