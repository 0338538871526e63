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

"""SIGKILL at any point of the upgrade, and the same command again."""

import time

import sqlalchemy as sa

from tests.functional import base
from tests.stress import base as stress_base
from tests.stress import upgraded
from tests.stress import victim


@base.on_every_database
class Kills(stress_base.StressTest, upgraded.Upgraded):
    """Each phase, killed once or several times, and then let run."""

    def setUp(self):
        super().setUp()
        self.fill()
        self.manage = self.useFixture(victim.Commands(self.url))

    def finish(self, phase):
        """Let a phase run to its end; return how many steps that took."""
        result = self.manage(*upgraded.PHASES[phase])
        self.assert_succeeded(result)
        self.assert_done(phase)
        return result['steps']

    def kill(self, phase, steps):
        """Start a phase and kill it anywhere; return whether it was."""
        how = (
            {'delay': self.chance.uniform(0, 0.3)}
            if self.chance.random() < 0.2
            else {'step': self.chance.randint(1, steps)}
        )
        result = self.manage(*upgraded.PHASES[phase], **how)
        if not result['killed']:
            self.assert_succeeded(result)
        self.assert_whole()
        return result['killed']

    def test_any_point(self):
        """The same command again ends what a kill has left, whole."""
        steps = {phase: self.finish(phase) for phase in upgraded.PHASES}
        kills = dict.fromkeys(steps, 0)
        turned_back = 0
        while sum(kills.values()) < stress_base.KILLS:
            for phase in upgraded.PHASES:
                for _ in range(self.chance.randint(1, 4)):
                    kills[phase] += self.kill(phase, steps[phase])
                if self.chance.random() < 0.2:
                    # The operator has had enough of it, and goes back.
                    if phase not in ('expand', 'drop'):
                        self.finish('restore')
                    self.finish('drop')
                    turned_back += 1
                    break
                self.finish(phase)
        self.tell(
            backend=self.BACKEND,
            kills=kills,
            steps=steps,
            turned_back=turned_back,
        )


#: Asks how many wait for a table.
_WAITING = {
    'mysql': 'SELECT count(*) FROM information_schema.processlist'
    " WHERE db = database() AND state LIKE 'Waiting for table metadata lock'",
    'postgresql': 'SELECT count(*) FROM pg_stat_activity'
    " WHERE datname = current_database() AND wait_event_type = 'Lock'",
}


@base.on_every_database
class LeftWaiting(stress_base.StressTest, upgraded.Upgraded):
    """A command that is killed while its DDL waits in the server.

    PostgreSQL does not see that nobody waits for the answer any more, and
    carries the statement out when it gets the lock, while the next run is at
    work behind it. MariaDB does see it.
    """

    # A file of SQLite's has no server.
    backends = ('mysql', 'postgresql')

    def setUp(self):
        super().setUp()
        self.fill()
        self.manage = self.useFixture(victim.Commands(self.url))
        self.again = self.useFixture(victim.Commands(self.url))

    def wait_for_waiting(self, count):
        """Wait until so many statements wait for a table."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with self.db.engine.connect() as connection:
                query = sa.text(_WAITING[self.BACKEND])
                if connection.scalar(query) >= count:
                    return
            time.sleep(0.05)
        self.fail(f'{count} statements never waited')

    def test_each_phase(self):
        """The next run is not troubled by what the killed one had sent."""
        for phase, argv in upgraded.PHASES.items():
            if phase in ('expand', 'contract', 'drop'):
                self.kill_waiting(argv)
            result = self.manage(*argv)
            self.assert_succeeded(result)
            self.assert_done(phase)

    def kill_waiting(self, argv):
        """Kill a phase that waits, and start it again behind its DDL."""
        with self.db.engine.connect() as holder, holder.begin():
            holder.execute(sa.text('SELECT count(*) FROM migrations'))
            self.manage.send(0, argv=argv)
            self.wait_for_waiting(1)
            self.manage.kill()
            self.again.send(0, argv=argv)
            self.wait_for_waiting(2 if self.BACKEND == 'postgresql' else 1)
        result = self.again.receive(0)
        self.assert_succeeded(result)
        self.assertTrue(self.manage.receive(0)['killed'])
