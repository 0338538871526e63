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

"""Two commands at once on one database, in processes of their own."""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from unittest import mock

import sqlalchemy as sa

from nova_migration.cmd import exits
from nova_migration.db import engine
from nova_migration.db import exclusive
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test

#: Strings of one machine, in turn.
WORDS = tuple(MACHINES['resize'].legacy)

PHASES = {
    'expand': ('db', 'upgrade', '--expand'),
    'migrate': ('db', 'upgrade', '--migrate', '--batch-size', '20'),
    'contract': ('db', 'upgrade', '--contract'),
    'upgrade': ('db', 'upgrade', '--batch-size', '20'),
    'restore': ('db', 'restore', '--batch-size', '20'),
    'drop': ('db', 'restore', '--drop-columns', '--batch-size', '20'),
}

#: What a command may come to beside another one.
MAY = {0, exits.ROWS_REMAIN, exits.AT_WORK, exits.UPGRADE_ERROR}

#: Makes rows canonical as fast as it can, until its input is closed; it is a
#: program of its own, which holds no lock.
_MIGRATING = """
import sys, threading
from nova_migration import exception
from nova_migration.db import engine, upgrade
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
database = engine.from_url(sys.argv[1])
print('begun', flush=True)
while not over.is_set():
    try:
        for _batch in upgrade.migrate(database):
            if over.is_set():
                break
    except exception.NovaMigrationError:
        pass
"""


class TogetherTest(cmd_test.CommandTest):
    """What these tests share."""

    ROWS = 300

    def setUp(self):
        super().setUp()
        for table in self.create_nova_tables():
            with self.db.engine.begin() as connection:
                connection.execute(table.insert(), list(self.values()))

    def values(self):
        """Yield legacy rows."""
        for row_id in range(1, self.ROWS + 1):
            yield {
                'id': row_id,
                'migration_type': 'resize',
                'status': WORDS[row_id % len(WORDS)],
            }

    def start(self, *argv, **options):
        """Start a command in a process of its own."""
        folder = tempfile.mkdtemp()
        process = subprocess.Popen(
            cmd_test.command_line('--database-connection', self.url, *argv),
            cwd=folder,
            env=cmd_test.environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # No thread of a test's own runs meanwhile.
            preexec_fn=cmd_test.heed_ctrl_c,  # noqa: PLW1509
            **options,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def end(self, process):
        """Wait for a command and return what it came to."""
        out, err = process.communicate(timeout=cmd_test.PATIENCE)
        return cmd_test.Result(process.returncode, out, err)

    def strings(self):
        """Return the string that each row has or stands for."""
        whole = not engine.needs_expand(self.db.engine)
        tables = models.nova_schema.define(sa.MetaData())
        found = []
        with self.db.engine.begin() as connection:
            for table, plain in zip(models.TABLES, tables, strict=True):
                if whole:
                    connection.execute(upgrade.to_legacy(table))
                query = sa.select(plain.c.id, plain.c.status)
                found.append(dict(connection.execute(query).all()))
        return found

    def assert_no_string_lost(self):
        """No row of either table says anything else than before."""
        wanted = {row['id']: row['status'] for row in self.values()}
        self.assertEqual([wanted, wanted], self.strings())


@base.on_every_database
class BesideMigrate(TogetherTest):
    """``restore --drop-columns``, and a program that migrates beside it."""

    ROWS = 1500

    @contextlib.contextmanager
    def migrating(self):
        """Have another program make rows canonical, again and again."""
        process = subprocess.Popen(
            [sys.executable, '-c', _MIGRATING, self.url],
            cwd=test_base.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            process.stdout.readline()
            yield
        finally:
            process.communicate(timeout=cmd_test.PATIENCE)

    def test_no_string_is_lost(self):
        """The columns go with no state in them, or stay."""
        for _time in range(3):
            self.work('db', 'upgrade', '--expand')
            with self.migrating():
                for _try in range(5):
                    result = self.manage('db', 'restore', '--drop-columns')
                    self.assertIn(result.code, MAY, result)
                    self.assertNotIn('Traceback', result.err)
                    if 'columns removed' in result.out:
                        break
            self.assertFalse(schema.is_fenced(self.db))
            self.work('db', 'upgrade', '--expand')
            self.assert_no_string_lost()


@base.on_every_database
class Pairs(TogetherTest):
    """Each command beside each that may be met there."""

    #: What is done before, so that both have something to do.
    BEFORE = {
        'expand': (),
        'migrate': ('expand',),
        'contract': ('expand', 'migrate'),
        'upgrade': ('expand',),
        'restore': ('expand', 'migrate'),
        'drop': ('expand', 'migrate'),
    }

    PAIRS = (
        ('expand', 'expand'),
        ('migrate', 'migrate'),
        ('contract', 'contract'),
        ('restore', 'restore'),
        ('drop', 'drop'),
        ('drop', 'upgrade'),
        ('upgrade', 'restore'),
    )

    def test_pairs(self):
        """One is done; the other one has done it too, or says who does it."""
        for first, second in self.PAIRS:
            for phase in self.BEFORE[first]:
                self.work(*PHASES[phase])
            both = [self.start(*PHASES[name]) for name in (first, second)]
            results = [self.end(process) for process in both]
            self.assertIn(0, [result.code for result in results], results)
            for result in results:
                self.assertIn(result.code, (0, exits.AT_WORK), results)
                if result.code:
                    self.assert_says_who(result)
            self.work(*PHASES['drop'])
            self.assert_no_string_lost()

    def assert_says_who(self, result):
        """One line names the other command, when and from where."""
        (line,) = cmd_test.complaints(result.err)
        self.assertRegex(
            line,
            r"^Another 'db upgrade' or 'db restore' is at work on .*:"
            r" ('db (upgrade|restore)', since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
            r' UTC(, from \S+.*)?|one that is unknown)\.',
        )


@base.on_every_database
class BesideContract(TogetherTest):
    """``restore``, and a contract that its lock does not keep out."""

    ROWS = 3

    def test_contracted_meanwhile(self):
        """It says that another one is at work, and not to do what it does."""
        self.work('db', 'upgrade')
        revert = schema.revert_contract

        def revert_in_vain(database):
            revert(database)
            schema.contract(database)

        with mock.patch.object(schema, 'revert_contract', revert_in_vain):
            result = self.manage('db', 'restore')
        self.assert_one_line(
            result, exits.AT_WORK, 'is at work on', 'contracted'
        )
        self.work('db', 'restore')
        self.assert_no_string_lost()


@base.on_every_database
class Wait(TogetherTest):
    """A command that comes while another one is at work."""

    @contextlib.contextmanager
    def at_work(self):
        """Be an upgrade that is at work."""
        with exclusive.hold(self.db, exclusive.Command.UPGRADE):
            yield

    def test_refused(self):
        """It says which one is at work, since when and from where."""
        with self.at_work():
            before = self.dump()
            for phase in PHASES.values():
                result = self.manage(*phase)
                self.assert_one_line(
                    result,
                    exits.AT_WORK,
                    "'db upgrade', since 2",
                    ' UTC, from ',
                    '--wait SECONDS',
                )
            self.assertEqual(before, self.dump())
            # Who only looks is not in the way.
            self.work('db', 'check', code=2)
            self.work('db', 'census')
        self.work('db', 'upgrade')

    def test_waits(self):
        """With --wait it says for whom it waits, and then does its work."""
        with self.at_work():
            process = self.start('db', 'upgrade', '--wait', '60')
            line = process.stderr.readline()
        self.assertRegex(line, r'^Waiting for another command, for \d+ s')
        self.assertIn("'db upgrade', since 2", line)
        result = self.end(process)
        self.assertEqual(0, result.code, result)
        self.assertTrue(schema.is_contracted(self.db))

    def test_ctrl_c_while_it_waits(self):
        """Ctrl-C ends the wait, and nothing was done."""
        before = self.dump()
        with self.at_work():
            process = self.start('db', 'restore', '--wait', '60')
            process.stderr.readline()
            process.send_signal(signal.SIGINT)
            result = self.end(process)
        self.assertEqual(exits.INTERRUPTED, result.code, result)
        self.assertEqual(before, self.dump())

    def test_killed(self):
        """Who was killed is not waited for."""
        with self.at_work():
            waiting = self.start('db', 'upgrade', '--wait', '60')
            waiting.stderr.readline()
        deadline = time.monotonic() + cmd_test.PATIENCE
        while not schema.current(self.db) and time.monotonic() < deadline:
            time.sleep(0.01)
        waiting.kill()
        waiting.wait()
        self.work('db', 'upgrade')

    def test_small_pool(self):
        """A pool of one connection is enough."""
        small = engine.from_url(self.url, max_pool_size=1, max_overflow=0)
        self.addCleanup(small.engine.dispose)
        with exclusive.hold(small, exclusive.Command.RESTORE):
            schema.expand(small, create=True)
        self.assertTrue(schema.is_expanded(small))

    def test_nothing_is_left(self):
        """The lock of a file leaves no file."""
        with self.at_work():
            pass
        if self.BACKEND == 'sqlite':
            path = self.db.engine.url.database
            folder = test_base.pathlib.Path(path).parent
            names = [each.name for each in folder.iterdir()]
            self.assertEqual(['test.db'], names)


class MemoryTest(test_base.TestCase):
    """A database that nobody else can see."""

    def test_alone(self):
        """It needs no lock."""
        database = engine.from_url('sqlite://')
        self.addCleanup(database.engine.dispose)
        with (
            exclusive.hold(database, exclusive.Command.UPGRADE),
            exclusive.hold(database, exclusive.Command.RESTORE),
        ):
            schema.expand(database, create=True)
