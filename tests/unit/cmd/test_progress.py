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


"""How far long work is, and how it is stopped."""

import contextlib
import io
import os
import signal

import fixtures

from nova_migration.cmd import progress
from nova_migration.db import upgrade
from tests import base

TOTAL = 6000


def batches(count=6, size=1000):
    """Yield batches of a table."""
    for number in range(count):
        yield upgrade.Batch('migrations', size, size, number * size)


class _Terminal(io.StringIO):
    def isatty(self):
        """Say that it is a terminal."""
        return True


class FollowedTest(base.TestCase):
    """Every batch is passed on, and something is said meanwhile."""

    def follow(self, stream, seen=None, total=TOTAL):
        """Go through batches with standard error on a stream."""
        with contextlib.redirect_stderr(stream):
            for batch in progress.followed(batches(), total, 'migrate'):
                if seen is not None:
                    seen.append(batch)
        return stream.getvalue()

    def test_batches_are_passed_on(self):
        """The caller sees every batch, in order, on a terminal and off it."""
        for stream in (io.StringIO(), _Terminal()):
            seen = []
            self.follow(stream, seen)
            self.assertEqual(list(batches()), seen)

    def test_lines(self):
        """Off a terminal a line says how many rows have been seen."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        self.assertEqual('', self.follow(io.StringIO()))
        lines = self.log.output.splitlines()
        self.assertEqual(
            [f'migrate: {n},000 of 6,000 rows' for n in range(1, 7)],
            [line.split(', ')[0] for line in lines],
        )
        self.assertRegex(
            lines[-1],
            r', [\d,]+ rows/s, 0 s left, batches of 1,000 rows,'
            r' paused for 0 s$',
        )

    def test_pauses_are_told(self):
        """A line says for how long it has been waited so far."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        work = [upgrade.Batch('migrations', 5, 5, n, 1.0, 2.0) for n in (1, 2)]
        with contextlib.redirect_stderr(io.StringIO()):
            list(progress.followed(work, 10, 'migrate'))
        first, second = self.log.output.splitlines()
        self.assertTrue(first.endswith('batches of 5 rows, paused for 2 s'))
        self.assertTrue(second.endswith('paused for 4 s'))

    def test_why_is_told(self):
        """A line and a bar say why it was waited the last time."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        work = [
            upgrade.Batch('migrations', 5, 5, 5),
            upgrade.Batch(
                'migrations', 0, 0, 9, paused=2.0, reason='rows are held'
            ),
        ]
        bar = _Terminal()
        for stream in (io.StringIO(), bar):
            with contextlib.redirect_stderr(stream):
                list(progress.followed(work, 10, 'migrate'))
        self.assertIn('paused for 2 s (rows are held)', self.log.output)
        self.assertIn('paused=2 s (rows are held)', bar.getvalue())

    def test_every_row_is_held(self):
        """Where nothing could be done yet, nobody knows how long it takes."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        work = [upgrade.Batch('migrations', 0, 0, 5)]
        for stream in (io.StringIO(), _Terminal()):
            with contextlib.redirect_stderr(stream):
                self.assertEqual(
                    work, list(progress.followed(work, 10, 'migrate'))
                )
        self.assertIn('0 of 10 rows, 0 rows/s, ? s left', self.log.output)

    def test_no_pause(self):
        """A bar has nothing to say of pauses where there were none."""
        self.assertNotIn('paused', self.follow(_Terminal()))

    def test_lines_are_an_interval_apart(self):
        """Work that is done within the interval says nothing."""
        self.follow(io.StringIO())
        self.assertEqual('', self.log.output)

    def test_more_rows_than_were_counted(self):
        """Rows that came later make no negative time that is left."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        self.follow(io.StringIO(), total=1)
        for line in self.log.output.splitlines():
            self.assertIn(', 0 s left,', line)

    def test_bar(self):
        """On a terminal a bar goes to the end, and nothing is logged."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        shown = self.follow(_Terminal())
        self.assertIn('6000/6000', shown)
        self.assertIn('migrate: 100%', shown)
        self.assertEqual('', self.log.output)

    def test_nothing_to_do(self):
        """No batch at all is no error."""
        for stream in (io.StringIO(), _Terminal()):
            with contextlib.redirect_stderr(stream):
                self.assertEqual(
                    [], list(progress.followed(iter(()), 0, 'migrate'))
                )


_INTERVAL = 'nova_migration.cmd.progress.INTERVAL'


class StopTest(base.TestCase):
    """Ctrl-C and SIGTERM are a request; the second one is an order."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def test_not_requested(self):
        """Nothing is requested without a signal."""
        with progress.stop_on_signal() as stop:
            self.assertFalse(stop.requested)

    def test_requested(self):
        """A signal sets the request and says so, and does not raise."""
        for number in self.NUMBERS:
            with progress.stop_on_signal() as stop:
                os.kill(os.getpid(), number)
                self.assertTrue(stop.requested)
            self.assertIn('Stopping when this batch is done', self.log.output)

    def test_wait(self):
        """A wait goes to its end, and after a signal no more."""
        with progress.stop_on_signal() as stop:
            self.assertTrue(stop.wait(0.001))
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertFalse(stop.wait(3600))

    def test_second_signal(self):
        """The second signal ends the work at once."""
        for number in self.NUMBERS:
            with progress.stop_on_signal() as stop:
                os.kill(os.getpid(), number)
                self.assertRaises(
                    KeyboardInterrupt, os.kill, os.getpid(), number
                )
                self.assertTrue(stop.requested)

    def test_handlers_come_back(self):
        """Afterwards signals do what they did, also after an error."""
        before = [signal.getsignal(number) for number in self.NUMBERS]
        with progress.stop_on_signal() as stop:
            for number in self.NUMBERS:
                self.assertEqual(stop.request, signal.getsignal(number))
        with contextlib.suppress(ValueError), progress.stop_on_signal():
            raise ValueError
        self.assertEqual(
            before, [signal.getsignal(number) for number in self.NUMBERS]
        )

    def test_each_run_begins_anew(self):
        """A request does not last beyond its run."""
        with progress.stop_on_signal():
            os.kill(os.getpid(), signal.SIGINT)
        with progress.stop_on_signal() as stop:
            self.assertFalse(stop.requested)
