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

"""What an operator has: a configuration, databases, commands, services."""

import configparser
import json
import os
import pathlib
import subprocess
import sys

import sqlalchemy as sa

from tests import base

WORD = 'nova_migration'


class Failed(Exception):
    """A command did not exit as it was to."""


class Operator:
    """A deployment with one cell and Nova's own two other databases.

    :param urls: of the databases, by ``api``, ``cell0`` and ``cell1``
    """

    def __init__(self, folder, urls):
        self.folder = pathlib.Path(folder)
        self.urls = urls
        self.configuration = self.folder / 'nova.conf'
        self.cell = None
        self.parser = configparser.ConfigParser(interpolation=None)
        self.parser.read_dict(
            {
                'DEFAULT': {'transport_url': 'fake:///'},
                'api_database': {'connection': urls['api']},
                'database': {'connection': urls['cell1']},
                'nova_migration': {},
            }
        )

    def configure(self, group, **options):
        """Change nova.conf."""
        self.parser[group].update(options)
        with self.configuration.open('w', encoding='utf-8') as out:
            self.parser.write(out)

    def run(self, command, *argv, exits=(0,)):
        """Run a command in a process of its own; return what it prints."""
        done = subprocess.run(
            [str(pathlib.Path(sys.executable).with_name(command)), *argv],
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=_environ(),
            text=True,
            timeout=600,
        )
        if done.returncode not in exits:
            raise Failed(
                f'{command} {" ".join(argv)}: exit {done.returncode}\n'
                f'{done.stdout[-2000:]}\n{done.stderr[-4000:]}'
            )
        return done.stdout

    def nova_manage(self, *argv, **options):
        """Run Nova's command."""
        given = ('--config-file', str(self.configuration))
        return self.run('nova-manage', *given, *argv, **options)

    def manage(self, cell, *argv, **options):
        """Run our command on a cell."""
        given = ('--database-connection', self.urls[cell])
        return self.run('nova-migration-manage', *given, *argv, **options)

    def install_nova(self):
        """Make the databases with Nova's commands, and map the cells."""
        self.configure('database')
        self.nova_manage('api_db', 'sync')
        self.nova_manage(
            *('cell_v2', 'map_cell0'),
            *('--database_connection', self.urls['cell0']),
        )
        printed = self.nova_manage(
            *('cell_v2', 'create_cell', '--name', 'cell1', '--verbose'),
            *('--database_connection', self.urls['cell1']),
            *('--transport-url', 'fake:///'),
        )
        self.cell = printed.split()[-1]
        self.nova_manage('db', 'sync')

    def name_in_urls(self, word):
        """Put the word into every URL of a cell, or take it out."""
        cells = (
            ('00000000-0000-0000-0000-000000000000', 'cell0', 'none:///'),
            (self.cell, 'cell1', 'fake:///'),
        )
        for uuid, name, transport in cells:
            url = with_word(self.urls[name], word)
            self.nova_manage(
                *('cell_v2', 'update_cell', '--cell_uuid', uuid),
                *('--name', name, '--database_connection', url),
                *('--transport-url', transport),
            )
        self.configure(
            'database', connection=with_word(self.urls['cell1'], word)
        )

    def start(self, name):
        """Start a service.

        The one that is called api goes by the cell mapping, any other by its
        configuration.
        """
        cell = [self.cell] if name == 'api' else []
        return Started(self.configuration, self.folder / f'{name}.log', *cell)


class Started:
    """A service that runs; see service.py for what it can be asked."""

    def __init__(self, configuration, log, *cell):
        self.log = log
        log.unlink(missing_ok=True)
        with log.with_suffix('.stderr').open('w') as stderr:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, '-m', 'tests.nova_journey.service'),
                    *(str(configuration), str(log), *cell),
                ],
                cwd=base.ROOT,
                env=_environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def ask(self, what, **arguments):
        """Return the answer; an exception of Nova'"'"'s is a failure."""
        self.process.stdin.write(json.dumps({'ask': what, **arguments}) + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            said = self.log.read_text()[-4000:]
            said += self.log.with_suffix('.stderr').read_text()[-4000:]
            raise Failed(f'{what}: {said}')
        answer = json.loads(line)
        if 'refused' in answer:
            raise Failed(f'{what}: {answer["refused"]}')
        return answer['answer']

    def said(self, words):
        """Count the lines of its log that have some words in them."""
        lines = self.log.read_text(encoding='utf-8').splitlines()
        return sum(words in line for line in lines)

    def stop(self):
        """Stop it, as it is when nothing is asked any more."""
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


def with_word(url, word):
    """Return a URL with the word that loads the drop-in, or without."""
    parsed = sa.make_url(url).set(query={'plugin': word} if word else {})
    return parsed.render_as_string(hide_password=False)


def _environ():
    """Return an environment in which no test of Nova's has left a trace."""
    return {**os.environ, 'PYTHONPATH': str(base.ROOT)}
