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

"""Writers that drive rows while the table is migrated and restored."""

import time

from tests.functional import base
from tests.functional.cmd import base as cmd_base
from tests.functional.db import samples
from tests.stress import base as stress_base
from tests.stress import contender
from tests.stress import journals
from tests.stress import upgraded
from tests.stress import victim

#: What goes on beside the writers, again and again.
_BESIDE = ('migrate', 'contract', 'restore')

#: How long rows are driven before the table is looked at.
_WAVE = 4


@base.on_every_database
class Writers(stress_base.StressTest, samples.Expanded, journals.Journals):
    """What a writer was told is true whatever the upgrade does meanwhile."""

    WRITERS = 3
    ROWS = 100

    def setUp(self):
        super().setUp()
        self.manage = self.useFixture(victim.Commands(self.url))
        result = self.manage(*upgraded.PHASES['expand'], '--create')
        self.assertEqual(0, result['code'], result)
        self.writers = self.useFixture(
            contender.Contenders(self.WRITERS, self.url)
        )
        self.figures = dict.fromkeys(
            (
                'told',
                'refused',
                'unknown',
                'absorbed',
                'commands',
                'lock_timeouts',
            ),
            0,
        )
        self.succeeded = dict.fromkeys(_BESIDE, 0)

    def test_beside_the_upgrade(self):
        """No transition is lost, doubled, or written over by the upgrade."""
        end = time.monotonic() + stress_base.SECONDS
        while time.monotonic() < end:
            self.wave()
        self.tell(
            backend=self.BACKEND, **self.figures, succeeded=self.succeeded
        )
        self.assertGreater(self.figures['told'], 0)
        self.assertEqual(0, self.figures['unknown'])
        for phase, count in self.succeeded.items():
            self.assertGreater(count, 0, phase)
        if self.BACKEND == 'sqlite':
            # A batch or a move holds the file for less than the timeout.
            self.assertEqual(0, self.figures['lock_timeouts'])

    def wave(self):
        """Drive some rows to their ends, and look at the table."""
        machines = self.rows_to_drive(self.ROWS)
        for number in range(self.WRITERS):
            self.writers.send(
                number,
                do='drive',
                rows=machines,
                seconds=_WAVE,
                name=f'w{number}',
                seed=self.chance.random(),
            )
        end = time.monotonic() + _WAVE
        while time.monotonic() < end:
            for phase in _BESIDE:
                self.succeeded[phase] += self.command(phase)
        told = [self.writers.receive(n) for n in range(self.WRITERS)]
        for name, count in self.assert_told(machines, told).items():
            self.figures[name] += count
        # Nobody is left who could hold a lock.
        self.assertTrue(self.command('restore'))
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql('DELETE FROM migrations')

    def command(self, phase):
        """Run a phase; return whether it got the locks that it needs."""
        result = self.manage(*upgraded.PHASES[phase])
        self.figures['commands'] += 1
        if result['code'] == 255 and 'could not be locked' in result['err']:
            # It says so, and nothing is queued behind it.
            self.figures['lock_timeouts'] += 1
            return False
        complaints = cmd_base.complaints(result['err'])
        self.assertEqual((0, []), (result['code'], complaints), result)
        return True
