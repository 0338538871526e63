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

"""The database server killed and started again."""

from concurrent import futures
import contextlib
import time

from tests import base as test_base
from tests.functional import base
from tests.functional.db import samples
from tests.servers import mariadb
from tests.servers import postgresql
from tests.stress import base as stress_base
from tests.stress import contender
from tests.stress import journals
from tests.stress import upgraded
from tests.stress import victim

#: Seconds that a server is away, and less than a batch is tried for.
_AWAY = 2

#: Phases that do most of their work in batches.
_BATCHES = ('migrate', 'restore')


class OnOwnServer(base.DatabaseTest):
    """A database of a server that the test may kill."""

    def setUp(self):
        # Not that of the server which all tests share.
        super(base.DatabaseTest, self).setUp()
        self.server = self.useFixture(self.SERVER())
        self.url = self.server.url
        self.db = self.open()


class Upgrade(stress_base.StressTest, upgraded.Upgraded):
    """The server is killed while a phase of the upgrade is run."""

    def setUp(self):
        super().setUp()
        self.fill()
        self.manage = self.useFixture(victim.Commands(self.url))

    def test_killed(self):
        """The command ends with one line, or goes on; then it is run again."""
        steps = {phase: self.finish(phase) for phase in upgraded.PHASES}
        ends = {'ended': 0, 'went_on': 0}
        kills = 0
        while kills < stress_base.SERVER_KILLS:
            for phase in upgraded.PHASES:
                if self.chance.random() < 0.7:
                    step = self.chance.randint(1, steps[phase])
                    away = self.chance.choice((0, _AWAY))
                    kills += self.kill(phase, step, away, ends)
                self.finish(phase)
        self.tell(backend=self.BACKEND, server_kills=kills, **ends)

    def test_killed_amid_batches(self):
        """Batches go on by themselves once the server is back."""
        spans = {phase: self.span(phase) for phase in upgraded.PHASES}
        ends = {'ended': 0, 'went_on': 0}
        for phase in upgraded.PHASES:
            if phase in _BATCHES:
                # Before the first batch tables are looked at, and behind the
                # last one rows are counted.
                step = self.chance.randint(*spans[phase])
                self.assertEqual(1, self.kill(phase, step, _AWAY, ends))
            self.finish(phase)
        self.tell(backend=self.BACKEND, server_kills=len(_BATCHES), **ends)
        self.assertEqual({'ended': 0, 'went_on': len(_BATCHES)}, ends)

    def finish(self, phase):
        """Let a phase run to its end; return how many steps that took."""
        return self._finished(phase)['steps']

    def span(self, phase):
        """Let a phase run to its end; return where it changes rows."""
        return self._finished(phase)['changing']

    def _finished(self, phase):
        result = self.manage(*upgraded.PHASES[phase])
        self.assert_succeeded(result)
        self.assert_done(phase)
        return result

    def kill(self, phase, step, away, ends):
        """Kill the server at a step; return how many servers that were.

        :param away: seconds until it comes back, while the command runs; 0
            for before it goes on
        """
        result = self.manage(*upgraded.PHASES[phase], stop=step)
        if not result['stopped']:
            self.assert_succeeded(result)
            return 0
        self.server.kill()
        with self.back(away):
            result = self.manage.go_on()
        if result['code']:
            self.assert_one_line(result)
            ends['ended'] += 1
        else:
            self.assert_succeeded(result)
            self.assert_done(phase)
            ends['went_on'] += 1
        self.assert_whole()
        return 1

    @contextlib.contextmanager
    def back(self, seconds):
        """Start the server some seconds later, or at once and before."""

        def start():
            time.sleep(seconds)
            self.server.start()

        with futures.ThreadPoolExecutor(1) as beside:
            starting = beside.submit(start)
            if not seconds:
                starting.result()
            yield
            starting.result()


class Writes(stress_base.StressTest, samples.Expanded, journals.Journals):
    """The server is killed while rows are driven."""

    WRITERS = 3
    SECONDS = 12

    def setUp(self):
        super().setUp()
        self.expand()
        self.writers = self.useFixture(
            contender.Contenders(self.WRITERS, self.url)
        )

    def test_killed(self):
        """What a writer was told is there; what it was refused is not."""
        figures = dict.fromkeys(('told', 'refused', 'unknown', 'absorbed'), 0)
        kills = 0
        while kills < stress_base.SERVER_KILLS // 2:
            machines = self.rows_to_drive(600)
            for number in range(self.WRITERS):
                self.writers.send(
                    number,
                    do='drive',
                    rows=machines,
                    seconds=self.SECONDS,
                    name=f'w{number}',
                    seed=self.chance.random(),
                )
            end = time.monotonic() + self.SECONDS - 6
            while time.monotonic() < end:
                time.sleep(self.chance.uniform(0.5, 1.5))
                self.server.kill()
                self.server.start()
                kills += 1
            told = [self.writers.receive(n) for n in range(self.WRITERS)]
            for name, count in self.assert_told(machines, told).items():
                figures[name] += count
            with self.db.engine.begin() as connection:
                connection.exec_driver_sql('DELETE FROM migrations')
        self.tell(backend=self.BACKEND, server_kills=kills, **figures)
        self.assertGreater(figures['told'], 0)


class UpgradeMariaDB(Upgrade, OnOwnServer, test_base.TestCase):
    """The upgrade, on MariaDB."""

    BACKEND = 'mysql'
    SERVER = mariadb.MariaDB


class UpgradePostgreSQL(Upgrade, OnOwnServer, test_base.TestCase):
    """The upgrade, on PostgreSQL."""

    BACKEND = 'postgresql'
    SERVER = postgresql.PostgreSQL


class WritesMariaDB(Writes, OnOwnServer, test_base.TestCase):
    """Guarded writes, on MariaDB."""

    BACKEND = 'mysql'
    SERVER = mariadb.MariaDB


class WritesPostgreSQL(Writes, OnOwnServer, test_base.TestCase):
    """Guarded writes, on PostgreSQL."""

    BACKEND = 'postgresql'
    SERVER = postgresql.PostgreSQL
