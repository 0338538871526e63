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


"""The functional tests on machines that nobody has prepared."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

import fixtures
import psutil

from tests import base
from tests import required
from tests import worlds
from tests.model import programs as model
from tests.qemu import base as qemu
from tests.servers import server

#: Says where the servers are, and then waits. It heeds Ctrl-C even if a shell
#: had these tests started in the background, where it is ignored.
_WAIT = (
    'import os, signal, sys;'
    ' signal.signal(signal.SIGINT, signal.default_int_handler);'
    ' print(*(v for k, v in os.environ.items()'
    " if k.startswith('NOVA_MIGRATION_TEST_')), flush=True); sys.stdin.read()"
)


class Skipping(fixtures.Fixture):
    """A fixture that finds out late that it cannot be had here."""

    def _setUp(self):
        raise unittest.SkipTest('not here')


class Deeper(fixtures.Fixture):
    """One that uses it."""

    def _setUp(self):
        self.useFixture(Skipping())


class SkipTest(base.TestCase):
    """What is skipped in a fixture is a skip, and no error."""

    def test_fixture_skips(self):
        """A skip from a fixture's setup is a skip, however deep it is."""
        for fixture in (Skipping, Deeper):

            class Test(base.TestCase):
                kind = fixture

                def test(self):
                    self.useFixture(self.kind())

            result = unittest.TestResult()
            Test('test').run(result)
            self.assertEqual([], result.errors + result.failures)
            self.assertEqual('not here', result.skipped[0][1])

    def test_fixture_fails(self):
        """Whatever else a setup raises is an error."""

        class Test(base.TestCase):
            def test(self):
                self.useFixture(fixtures.MethodFixture(None, lambda: 1 / 0))

        result = unittest.TestResult()
        Test('test').run(result)
        self.assertEqual(1, len(result.errors))
        self.assertEqual([], result.skipped)


class WorldsTest(base.TestCase):
    """A run passes with whatever servers there are, and says which."""

    timeout = 1800

    def visit(self, world, *command, **variables):
        """Run a few tests, or a command, in a world; say what came of it."""
        seen = worlds.visit(
            self.enter(worlds.WORLDS[world]()), command, **variables
        )
        self.addDetail(world, base.text('\n'.join(seen.lines)))
        return seen

    def enter(self, manager):
        """Enter a context until the test ends."""
        self.addCleanup(manager.__exit__, None, None, None)
        return manager.__enter__()

    def assert_skipped(self, seen, *reasons):
        """It passes in few lines, SQLite's ran, and each reason is told."""
        self.assertEqual(0, seen.code)
        self.assertLess(len(seen.lines), 3 * seen.count('Skipped'))
        self.assertEqual(0, seen.count('Failed'))
        self.assertLess(0, seen.count('Passed'))
        self.assertEqual(len(reasons), len(seen.told))
        for told, reason in zip(sorted(seen.told), reasons, strict=True):
            self.assertRegex(told, f'missing.*{reason}.*install the package')

    def test_no_servers(self):
        """Where nothing listens, the tests of servers are skipped."""
        seen = self.visit('nothing')
        self.assert_skipped(seen, 'refused', 'refused')

    def test_unknown_user(self):
        """Where servers do not know the user, their tests are skipped."""
        seen = self.visit('strangers')
        self.assert_skipped(seen, 'Access denied', 'does not exist')

    def test_programs(self):
        """Where servers can be started, nothing is skipped."""
        seen = self.visit('programs')
        self.assertEqual((0, 0), (seen.code, seen.count('Skipped')))
        self.assertEqual(2, len(seen.told))
        for told in seen.told:
            self.assertIn('a server of this run alone', told)

    def test_prepared(self):
        """Servers that tools/test-setup.sh has prepared are used."""
        seen = self.visit('prepared')
        self.assertEqual((0, 0), (seen.code, seen.count('Skipped')))
        for told in seen.told:
            self.assertIn('the server at 127.0.0.1:', told)

    def test_only_one(self):
        """One server that is there is used, and the other's are skipped."""
        seen = self.visit('one')
        self.assertEqual((0, 0), (seen.code, seen.count('Failed')))
        self.assertLess(0, seen.count('Skipped'))
        self.assertEqual(
            ['MariaDB: missing', 'PostgreSQL: the server at'],
            [re.split(r'\.| 127', told)[0] for told in sorted(seen.told)],
        )

    def test_configured(self):
        """In place of a server that is named no other is taken."""
        port = server.free_port()
        seen = self.visit(
            'programs',
            NOVA_MIGRATION_TEST_MYSQL=f'mysql+pymysql://me@127.0.0.1:{port}/',
        )
        self.assertEqual(0, seen.code)
        self.assertRegex('\n'.join(seen.told), r'MariaDB: missing\..*refused')

    def test_required(self):
        """Where servers are required, no test is begun without one."""
        seen = self.visit('nothing', **{required.DATABASES: '1'})
        self.assertEqual((1, 2), (seen.code, len(seen.lines)))
        self.assertEqual(seen.lines, seen.told)

    def test_nothing_can_run(self):
        """A suite of which nothing can run is left out with a line."""
        for need, more in (
            ('galera', {}),
            ('model', {'PATH': '/nonexistent'}),
            ('mysql', {}),
            ('qemu', {'NOVA_MIGRATION_TEST_QEMU': 'no-such-qemu'}),
        ):
            command = worlds.if_possible(need, 'false')
            seen = self.visit('nothing', *command, **more)
            self.assertEqual(0, seen.code)
            self.assertRegex(seen.lines[-1], f'^{need}: skipped: ')
            for variable in (
                required.DATABASES,
                qemu.REQUIRED,
                model.REQUIRED,
            ):
                more[variable] = '1'
            seen = self.visit('nothing', *command, **more)
            self.assertEqual(1, seen.code)
            self.assertRegex(seen.lines[-1], f'^{need}: missing: ')

    def test_command_fails(self):
        """The exit status is that of the command."""
        command = worlds.with_servers(
            sys.executable, '-c', 'raise SystemExit(7)'
        )
        self.assertEqual(7, self.visit('nothing', *command).code)


class EndTest(base.TestCase):
    """Servers that were started end with the run, however that ends."""

    def setUp(self):
        super().setUp()
        manager = worlds.closed()
        self.addCleanup(manager.__exit__, None, None, None)
        self.run_ = subprocess.Popen(
            worlds.with_servers(sys.executable, '-c', _WAIT),
            cwd=base.ROOT,
            env=worlds.environ(**manager.__enter__()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        self.addCleanup(self.run_.stdout.close)
        self.addCleanup(self.run_.wait)
        self.addCleanup(self.run_.stdin.close)
        self.told = [self.run_.stdout.readline() for _ in range(3)]
        if 'missing' in ''.join(self.told):
            server.missing(' '.join(self.told))
        (self.guardian,) = (
            child
            for child in psutil.Process(self.run_.pid).children()
            if 'tests.servers.guardian' in child.cmdline()
        )
        self.servers = self.guardian.children(recursive=True)
        self.folders = {pathlib.Path(child.cwd()) for child in self.servers}

    def assert_gone(self):
        """Neither the servers nor their files are left."""
        family = [self.guardian, *self.servers]
        for attempt in server.patiently(on=server.NotYet):
            with attempt:
                if any(map(server.runs, family)):
                    raise server.NotYet(family)
        self.assertLessEqual(2, len(self.servers))
        for folder in self.folders:
            self.assertFalse(folder.exists(), folder)

    def test_end(self):
        """They end when the command has."""
        self.run_.stdin.close()
        self.assertEqual(0, self.run_.wait())
        self.assert_gone()

    def test_interrupted(self):
        """Ctrl-C reaches the whole group, and not them before their time."""
        os.killpg(self.run_.pid, signal.SIGINT)
        self.assertEqual(130, self.run_.wait())
        self.assert_gone()

    def test_killed(self):
        """They end even if nobody can tell them to."""
        self.run_.kill()
        self.assert_gone()
