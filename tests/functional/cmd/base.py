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


"""Run the commands as an operator does, and keep what they said."""

import contextlib
import dataclasses
import io
import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import fixtures
import sqlalchemy as sa

from nova_migration.cmd import manage
from nova_migration.cmd import status
from nova_migration.db import models
from nova_migration.states import MACHINES
from tests import base

#: What cliff prints a list as; yaml has tests of its own.
FORMATS = ('table', 'json', 'csv', 'value')

#: Seconds that a process may take before the test gives up.
PATIENCE = 60

#: A string that is none of Nova's.
UNKNOWN = 'on its way'

#: What a command that takes its time says of how far it is.
_PROGRESS = re.compile(r'(migrate|restore): [\d,]+ of |Holding back: ')


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The output, read as JSON."""
        return json.loads(self.out)


class _OwnLogging(fixtures.Fixture):
    """Let a command arrange logging as in a process of its own."""

    NAMES = (
        None,
        *manage.HEARD,
        'oslo_db',
        'oslo_db.sqlalchemy.engines',
    )

    def _setUp(self):
        root = logging.getLogger()
        self.addCleanup(setattr, root, 'handlers', root.handlers)
        root.handlers = []
        for name in self.NAMES:
            logger = logging.getLogger(name)
            self.addCleanup(logger.setLevel, logger.level)
            logger.setLevel(logging.NOTSET)
        root.setLevel(logging.WARNING)


def _stream(errors):
    """Return a standard stream as a process has it in a UTF-8 locale."""
    return io.TextIOWrapper(
        io.BytesIO(), 'utf-8', errors, newline='', write_through=True
    )


def _written(stream):
    return stream.buffer.getvalue().decode('utf-8')


def call(main, argv):
    """Run a main function in this process."""
    out, err = _stream('strict'), _stream('backslashreplace')
    with (
        _OwnLogging(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main([str(argument) for argument in argv])
        except SystemExit as ended:
            code = 0 if ended.code is None else ended.code
    return Result(code, _written(out), _written(err))


def complaints(err):
    """Return the lines of standard error that are not about progress."""
    lines = err.splitlines()
    return [line for line in lines if not _PROGRESS.match(line)]


def heed_ctrl_c():
    """Have a process that is about to be one's own end on Ctrl-C.

    A shell has what it starts in the background ignore that.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_anywhere(*argv):
    """Run nova-migration-manage without naming a database."""
    return call(manage.main, argv)


def command_line(*argv, module='manage'):
    """Return the command line of a process of its own."""
    return [
        sys.executable,
        '-m',
        f'nova_migration.cmd.{module}',
        *map(str, argv),
    ]


def environment(home):
    """Return the environment of a process that finds no configuration."""
    return {
        **os.environ,
        'HOME': str(home),
        'PYTHONPATH': str(base.ROOT),
        'PYTHONWARNINGS': 'ignore',
    }


#: Root may read everything; without these it is as everybody else.
_BOUND = (
    'setpriv',
    '--inh-caps=-all',
    '--bounding-set=-dac_override,-dac_read_search',
)


def run_process(
    *argv, module='manage', folder=None, home=None, bound=False, **options
):
    """Run a command in a process of its own, in an empty folder.

    :param bound: as a user who may read only what files say that he may
    """
    folder = folder or tempfile.mkdtemp()
    prefix = _BOUND if bound and not os.geteuid() else ()
    done = subprocess.run(
        [*prefix, *command_line(*argv, module=module)],
        cwd=folder,
        env=environment(home or folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )
    return Result(done.returncode, done.stdout, done.stderr)


class CommandTest:
    """What every test of the commands may ask."""

    def manage(self, *argv):
        """Run nova-migration-manage on the test's database."""
        return run_anywhere('--database-connection', self.url, *argv)

    def status(self, *argv):
        """Run nova-migration-status on the test's database."""
        return call(status.main, ['--database-connection', self.url, *argv])

    def work(self, *argv, code=0):
        """Run nova-migration-manage; it has to end with the code."""
        result = self.manage(*argv)
        self.assertEqual(code, result.code, result)
        return result

    def listed(self, *argv):
        """Return what a listing says, as dictionaries."""
        return self.work(*argv, '-f', 'json').json

    def assert_one_line(self, result, code, *parts):
        """The command failed with one line that has all the parts."""
        self.assertEqual(code, result.code, result)
        self.assertEqual('', result.out)
        self.assertEqual(1, len(result.err.splitlines()), result.err)
        self.assertNotIn('Traceback', result.err)
        for part in parts:
            self.assertIn(part, result.err)

    def fill(self, *rows):
        """Insert legacy rows, each a type and a string."""
        return [
            self.insert(migration_type=kind, status=text)
            for kind, text in rows
        ]

    def fill_with_every_legacy_string(self):
        """Insert a row for each string of each type; return how many."""
        rows = [
            (kind, text)
            for kind in models.nova_schema.MIGRATION_TYPES
            for text in MACHINES[kind].legacy
        ]
        self.fill(*rows)
        return len(rows)

    def dump(self):
        """Return every table of the database, with its columns and rows."""
        metadata = sa.MetaData()
        with self.db.engine.connect() as connection:
            metadata.reflect(connection)
            return {
                name: (
                    [column.name for column in table.columns],
                    sorted(map(repr, connection.execute(sa.select(table)))),
                )
                for name, table in metadata.tables.items()
            }

    def assert_same(self, before):
        """The database is as it was dumped before, every row of it."""
        now = self.dump()
        self.assertEqual(before.keys(), now.keys())
        for name, (columns, rows) in before.items():
            self.assertEqual(columns, now[name][0], name)
            changed = [row for row in now[name][1] if row not in rows]
            self.assertEqual([], changed[:3], name)
            self.assertEqual(len(rows), len(now[name][1]), name)

    def original(self):
        """Return every row of both tables, in Nova's own columns."""
        metadata = sa.MetaData()
        tables = models.nova_schema.define(metadata)
        with self.db.engine.connect() as connection:
            return [
                list(connection.execute(sa.select(table).order_by(table.c.id)))
                for table in tables
            ]


class InTemporaryFolder:
    """Mixed into a test that runs where nothing else is."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        before = pathlib.Path.cwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.folder)
        self.useFixture(
            fixtures.EnvironmentVariable('HOME', str(self.folder / 'home'))
        )

    def write(self, name, text):
        """Write a file of the folder and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path
