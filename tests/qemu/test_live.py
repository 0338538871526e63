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


"""Live migrations between two real QEMUs.

Which of two events is first is a race in many of them; so each asserts on
the set of outcomes that are allowed, and that the guest never runs twice.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal

from nova_migration import exception
from nova_migration.hypervisor.qemu import driver
from nova_migration.hypervisor.qemu.guest import Action
from nova_migration.hypervisor.qemu.vocabulary import State
from tests.qemu import base

#: What may follow from a cancel that is sent too late to be sure.
OPEN = {'moved', 'not_moved'}


class SuccessTest(base.QemuTest):
    @base.in_loop
    async def test_moved(self):
        """The guest arrives and runs there, and nowhere else."""
        self.launch_pair()
        async with self.pair() as pair:
            seen = []
            pair.subscribe(seen.append)
            await pair.prepare(parameters={'max-bandwidth': 32 << 20})
            await pair.start(self.uri)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('moved', now.verdict)
            self.assertEqual(['completed'], self.causes(now))
            self.assertEqual((False, True), await self.runs(pair))
            # 32 MiB were written, and never lost on the way.
            self.assertGreater(pair.progress.processed, 32 << 20)
            self.assertIsNotNone(pair.progress.downtime)
        states = [one.state for one in seen]
        order = list(dict.fromkeys(states))
        self.assertEqual(State.MOVED, order[-1])
        self.assertLess(
            order.index(State.STARTING), order.index(State.TRANSFERRING)
        )
        changes = list(itertools.pairwise(seen))
        self.assertTrue(all(before != after for before, after in changes))

    @base.in_loop
    async def test_paused_before_switchover(self):
        """An attempt waits for a word before the switchover, and goes on."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(['pause-before-switchover'])
            await pair.start(self.uri)
            await self.reach(pair, State.AWAITING_SWITCHOVER)
            self.assertEqual((False, False), await self.runs(pair))
            await pair.proceed()
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('moved', now.verdict)
            self.assertEqual((False, True), await self.runs(pair))

    @base.in_loop
    async def test_the_binary_tells_its_own_vocabulary(self):
        """Every status of the binary is known here, or named as unknown."""
        self.launch_pair()
        async with self.pair(filled=False) as pair:
            names = pair.source.vocabulary.names
            self.assertLessEqual({'setup', 'active', 'completed'}, names)
            self.assertEqual(frozenset(), pair.source.vocabulary.unknown)


class CancelTest(base.QemuTest):
    @base.in_loop
    async def test_cancelled_midflight(self):
        """A cancel while memory is sent leaves the guest where it was."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.cancel()
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            self.assertEqual('user-cancel', self.causes(now)[0])
            running, _there = await self.runs(pair)
            self.assertTrue(running)

    @base.in_loop
    async def test_cancel_in_switchover_is_refused_and_then_survived(self):
        """Forced into a switchover, a cancel does not make two guests run."""
        self.launch_pair()
        async with self.pair() as pair:
            # What is left to send fits into the channel's buffers, or the
            # source would not answer anything.
            await pair.prepare(
                ['pause-before-switchover'], {'downtime-limit': 1}
            )
            await pair.start(self.uri)
            await self.reach(pair, State.AWAITING_SWITCHOVER)
            # It takes the switchover's data only when it is let go on.
            self.destination.signal(signal.SIGSTOP)
            await pair.proceed()
            await self.reach(pair, State.SWITCHING)
            refused = None
            try:
                await pair.cancel()
            except exception.UnsafeCommand as error:
                refused = error
            self.assertIn('switchover has begun', str(refused))
            await pair.cancel(force=True)
            self.destination.signal(signal.SIGCONT)
            now = await pair.finish(base.PATIENCE)
            self.assertIn(str(now.verdict), OPEN, now)
            self.assertIn('user-cancel', self.causes(now))
            runs = await self.runs(pair)
            self.assertNotEqual((True, True), runs)
            self.assertIn(True, runs)

    @base.in_loop
    async def test_cancelled_before_switchover(self):
        """A guest that was stopped for a switchover goes on after a cancel."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(['pause-before-switchover'])
            await pair.start(self.uri)
            await self.reach(pair, State.AWAITING_SWITCHOVER)
            await pair.cancel()
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            self.assertEqual('user-cancel', self.causes(now)[0])


class FailureTest(base.QemuTest):
    @base.in_loop
    async def test_destination_killed(self):
        """When the destination dies, the guest goes on at the source."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            self.destination.signal(signal.SIGKILL)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            self.assertEqual('failure', self.causes(now)[0])
            self.assertEqual('failed', now.source_status)
            running, _there = await self.runs(pair)
            self.assertTrue(running)

    @base.in_loop
    async def test_a_standstill_is_told(self):
        """A destination that takes nothing more gives no event at all."""
        self.launch_pair()
        timing = driver.Timing(interval=0.2, deadline=15.0, stalled=0.5)
        async with self.pair(timing=timing) as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            self.destination.signal(signal.SIGSTOP)
            now = await pair.wait(
                lambda now: 'no-progress' in self.causes(now), base.PATIENCE
            )
            self.assertIn('no-progress', self.causes(now))
            self.assertEqual('unknown', now.verdict)
            await pair.cancel()
            self.destination.signal(signal.SIGCONT)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            self.assertEqual('user-cancel', self.causes(now)[0])

    @base.in_loop
    async def test_a_paused_guest_is_not_migrated(self):
        """A guest that does not run could not be found again afterwards."""
        self.launch_pair()
        async with self.pair(filled=False) as pair:
            await pair.prepare()
            await pair.source.execute('stop')
            refused = None
            try:
                await pair.start(self.uri)
            except exception.UnsafeCommand as error:
                refused = error
            self.assertIn('does not run', str(refused))
            self.assertEqual(State.IDLE, pair.conclusion.state)

    @base.in_loop
    async def test_connection_refused(self):
        """An attempt that reaches nobody leaves the guest where it was."""
        self.launch_pair()
        async with self.pair(filled=False) as pair:
            await pair.prepare()
            await pair.start(f'unix:{self.folder}/nobody', listen=False)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            self.assertEqual('failure', self.causes(now)[0])
            self.assertIn('Failed to connect', str(now.reasons[0]))

    @base.in_loop
    async def test_source_killed(self):
        """When the source dies under way, the guest is lost and it is said."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            self.source.signal(signal.SIGKILL)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('lost', now.verdict)
            self.assertIn('source-gone', self.causes(now))

    @base.in_loop
    async def test_a_refused_start_is_told(self):
        """An address that QEMU does not understand is the reason."""
        self.launch_pair()
        async with self.pair(filled=False) as pair:
            await pair.prepare()
            refused = None
            try:
                await pair.start('nonsense:1', listen=False)
            except exception.CommandRefused as error:
                refused = error
            self.assertIsNotNone(refused)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            # 7.2 reports a failed attempt besides the error, later ones not.
            self.assertIn(self.causes(now)[0], ('start-refused', 'failure'))

    @base.in_loop
    async def test_a_source_that_hangs_is_interrupted_out_of_band(self):
        """A source whose main loop hangs is freed by its second monitor."""
        self.launch_pair(repeat=True)
        timing = driver.Timing(interval=0.2, deadline=2.0)
        async with self.pair(
            filled=False, timing=timing, source_oob=self.source.oob
        ) as pair:
            await pair.prepare(['pause-before-switchover'])
            await pair.start(self.uri)
            await asyncio.sleep(0.5)
            await pair.source.execute(
                'migrate-set-parameters', {'downtime-limit': 60000}
            )
            await self.reach(pair, State.AWAITING_SWITCHOVER)
            self.destination.signal(signal.SIGSTOP)
            # It may hang before it has answered.
            with contextlib.suppress(exception.CommandTimeout):
                await pair.proceed()
            now = await pair.wait(
                lambda now: 'no-reply' in self.causes(now), base.PATIENCE
            )
            self.assertIn('no-reply', self.causes(now))
            await pair.interrupt()
            self.destination.signal(signal.SIGKILL)
            now = await pair.finish(base.PATIENCE)
            self.assertIn(str(now.verdict), ('not_moved', 'unknown'), now)
            running, _there = await self.runs(pair)
            self.assertTrue(running)


class PostcopyTest(base.QemuTest):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0 and _unprivileged() != '1':
            base.unable('postcopy needs root, or userfaultfd for everybody')

    @base.in_loop
    async def test_paused_and_recovered(self):
        """A postcopy whose channel broke is taken up and ends."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(
                ['postcopy-ram'],
                {
                    'max-bandwidth': base.SLOW,
                    'max-postcopy-bandwidth': base.SLOW,
                },
            )
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.switch_to_postcopy()
            now = await pair.wait(
                lambda now: now.action is Action.START_DESTINATION,
                base.PATIENCE,
            )
            self.assertTrue(now.no_return)
            await pair.start_destination()
            refused = None
            try:
                await pair.cancel(force=True)
            except exception.UnsafeCommand as error:
                refused = error
            self.assertIn('runs on the destination', str(refused))
            await pair.source.execute('migrate-pause')
            await self.reach(pair, State.POSTCOPY_PAUSED)
            await pair.wait(
                lambda now: now.destination_status == 'postcopy-paused',
                base.PATIENCE,
            )
            await pair.source.execute(
                'migrate-set-parameters',
                {'max-postcopy-bandwidth': base.FAST},
            )
            await pair.recover(f'unix:{self.folder}/again')
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('moved', now.verdict)
            self.assertEqual(['completed', 'channel-lost'], self.causes(now))
            self.assertEqual((False, True), await self.runs(pair))

    @base.in_loop
    async def test_destination_killed_after_the_guest_was_handed_over(self):
        """What the destination had is lost, and the source stays stopped."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(
                ['postcopy-ram'],
                {
                    'max-bandwidth': base.SLOW,
                    'max-postcopy-bandwidth': base.SLOW,
                },
            )
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.switch_to_postcopy()
            await self.reach(pair, State.POSTCOPY)
            self.destination.signal(signal.SIGKILL)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('lost', now.verdict)
            self.assertRaises(
                exception.UnsafeCommand, _sent_none, pair.resume_source()
            )
            self.assertEqual((False, None), await self.runs(pair))


def _sent_none(coroutine):
    """Run a coroutine that is to be refused before it waits."""
    coroutine.send(None)


def _unprivileged():
    try:
        with open(
            '/proc/sys/vm/unprivileged_userfaultfd', encoding='ascii'
        ) as told:
            return told.read().strip()
    except OSError:
        return ''


class ReconnectTest(base.QemuTest):
    @base.in_loop
    async def test_monitor_lost_and_back(self):
        """What happened while nobody listened is asked for afterwards."""
        self.launch_pair()
        timing = driver.Timing(interval=0.4, deadline=15.0)
        async with self.pair(timing=timing) as pair:
            await pair.prepare(parameters={'max-bandwidth': 64 << 20})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.source.monitor.drop()
            self.assertIn('monitor-lost', self.causes(pair.conclusion))
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('moved', now.verdict)
            self.assertEqual((False, True), await self.runs(pair))

    @base.in_loop
    async def test_service_restarted_half_way(self):
        """A restarted service goes on, and still knows that it cancelled."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.cancel()
            kept = pair.to_json()
        self.assertEqual(1, json.loads(kept)['format'])
        async with self.pair(evidence=kept, filled=False) as pair:
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            self.assertEqual('user-cancel', self.causes(now)[0])

    @base.in_loop
    async def test_service_restarted_before_the_end(self):
        """A restarted service lets the guest run where it has arrived."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': 64 << 20})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            kept = pair.to_json()
        await asyncio.sleep(1.0)
        async with self.pair(evidence=kept, filled=False) as pair:
            self.assertEqual(1, pair.attempt)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('moved', now.verdict)
            self.assertEqual((False, True), await self.runs(pair))

    @base.in_loop
    async def test_service_restarted_after_the_destination_died(self):
        """A process that ended while nobody watched is found to be gone."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            kept = pair.to_json()
        self.destination.end()
        async with self.pair(evidence=kept, filled=False) as pair:
            now = await pair.wait(
                lambda now: now.source_status == 'failed', base.PATIENCE
            )
            self.assertEqual('failure', self.causes(now)[0])
            self.assertIn(str(now.verdict), ('not_moved', 'unknown'))
            running, _there = await self.runs(pair)
            self.assertTrue(running)

    @base.in_loop
    async def test_another_process_in_its_place(self):
        """A new QEMU on an old socket is neither believed nor touched."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            kept = pair.to_json()
        self.destination.end()
        os.unlink(self.destination.oob)
        self.launch_destination()
        async with self.pair(evidence=kept, filled=False) as pair:
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('not_moved', now.verdict)
            self.assertEqual('failure', self.causes(now)[0])
            self.assertEqual((True, None), await self.runs(pair))


class SecondAttemptTest(base.QemuTest):
    async def again(self, kept):
        """Migrate once more, to a new destination; return all that follows."""
        other = self.launch('other', waits=True)
        async with self.pair(
            destination=other, evidence=kept, name='other', filled=False
        ) as pair:
            self.assertEqual(2, pair.attempt)
            await pair.prepare(parameters={'max-bandwidth': base.FAST})
            await pair.start(f'unix:{self.folder}/other')
            await pair.wait(lambda now: now.attempt == 2, base.PATIENCE)
            await pair.finish(base.PATIENCE)
            self.assertEqual((False, True), await self.runs(pair))
            return pair.conclusions

    @base.in_loop
    async def test_after_failure(self):
        """After a failure, the source is left alone until it has settled."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            self.destination.signal(signal.SIGKILL)
            await pair.wait(lambda now: now.source_status == 'failed', 20)
            kept = pair.to_json()
        first, second = await self.again(kept)
        self.assertIn(str(first.verdict), ('not_moved', 'unknown'))
        self.assertEqual('failure', self.causes(first)[0])
        self.assertEqual('moved', second.verdict)
        self.assertEqual(['completed'], self.causes(second))

    @base.in_loop
    async def test_after_cancel(self):
        """A cancelled attempt's cancel is not the next one's."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.cancel()
            await pair.finish(base.PATIENCE)
            kept = pair.to_json()
        first, second = await self.again(kept)
        self.assertEqual('not_moved', first.verdict)
        self.assertEqual('user-cancel', self.causes(first)[0])
        self.assertEqual('moved', second.verdict)
        self.assertEqual(['completed'], self.causes(second))
