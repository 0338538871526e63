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


"""The loop that long work goes through."""

import argparse
import os
import signal

from nova_migration.cmd import db
from nova_migration.cmd import plan
from nova_migration.cmd import progress
from nova_migration.db import batches
from nova_migration.db import held
from nova_migration.db import upgrade
from tests import base


def batch(changed=10, seen=10):
    """Return a batch of a table."""
    return upgrade.Batch('migrations', seen, changed, 1)


class CarryOutTest(base.TestCase):
    """To the end, or to a boundary before it."""

    def test_to_the_end(self):
        """All rows that were changed are counted."""
        work = db.carry_out(lambda _stop: [batch(), batch(3)], 20, 'migrate')
        self.assertEqual(db.Work(changed=13), work)

    def test_signal(self):
        """After a signal no further batch is begun."""

        def working(_stop):
            yield batch()
            os.kill(os.getpid(), signal.SIGINT)
            yield batch()
            raise AssertionError('a batch was begun after the signal')

        work = db.carry_out(working, 30, 'migrate')
        self.assertEqual(db.Work(changed=20, interrupted=True), work)

    def test_signal_in_a_pause(self):
        """A pause is over with a signal, and tells that the work is, too."""

        def working(stop):
            yield batch()
            os.kill(os.getpid(), signal.SIGTERM)
            if stop.wait(3600):
                yield batch()

        work = db.carry_out(working, 30, 'migrate')
        self.assertEqual(db.Work(changed=10, interrupted=True), work)

    def test_signal_in_the_last_batch(self):
        """A signal during the look for a further batch is not forgotten."""

        def working(_stop):
            yield batch()
            os.kill(os.getpid(), signal.SIGINT)

        work = db.carry_out(working, 10, 'migrate')
        self.assertEqual(10, work.changed)
        self.assertTrue(work.interrupted)

    def test_signal_before_the_first_batch(self):
        """A signal while there is nothing to do is not forgotten."""

        def working(_stop):
            os.kill(os.getpid(), signal.SIGINT)
            yield from ()

        self.assertTrue(db.carry_out(working, 0, 'migrate').interrupted)

    def test_held_rows(self):
        """What is held is kept, table by table, and counted."""
        left = [
            held.Held('migrations', (1, 4), 2),
            held.Held('shadow_migrations', (3,), 1),
        ]
        work = db.carry_out(
            lambda _stop: [
                batch(),
                *(upgrade.Batch(e.table, 0, 0, 4, held=e) for e in left),
            ],
            13,
            'migrate',
        )
        self.assertEqual(db.Work(changed=10, held=left), work)
        self.assertEqual(', 3 held by others', work.left)
        self.assertEqual('', db.Work().left)


class NumbersTest(base.TestCase):
    """Numbers from the command line."""

    def test_positive(self):
        """A number of 1 or more is read."""
        self.assertEqual([1, 20], [db.positive('1'), db.positive(' 20 ')])

    def test_not_positive(self):
        """0 and less are refused, as is what is no number."""
        for text in ('0', '-1'):
            self.assertRaises(argparse.ArgumentTypeError, db.positive, text)
        for text in ('', 'x', '1.5'):
            self.assertRaises(ValueError, db.positive, text)

    def test_percent(self):
        """A share of time leaves some of it for the work."""
        self.assertEqual([0, 99], [db.percent('0'), db.percent('99')])
        for text in ('-1', '100'):
            self.assertRaises(argparse.ArgumentTypeError, db.percent, text)

    def test_seconds(self):
        """A length of time is finite, and may be a fraction or nothing."""
        self.assertEqual([0, 0.5], [db.seconds('0'), db.seconds('0.5')])
        for text in ('-0.1', 'inf', 'nan'):
            self.assertRaises(argparse.ArgumentTypeError, db.seconds, text)

    def test_manner(self):
        """What the command line says is how the database is worked."""
        args = argparse.Namespace(
            batch_size=7, max_count=None, throttle=75, max_lag=1.5
        )
        stop = progress.Stop()
        manner = db.manner_of(args, stop)
        self.assertEqual(batches.Manner(7, None, 0.75, 1.5, stop.wait), manner)

    def test_manner_by_default(self):
        """Who says nothing has the database worked as its batches like."""
        args = argparse.Namespace(
            batch_size=None, max_count=None, throttle=None, max_lag=None
        )
        stop = progress.Stop()
        self.assertEqual(
            batches.Manner(wait=stop.wait), db.manner_of(args, stop)
        )

    def test_asked_for(self):
        """Progress is that of what was asked for, if there is so much."""
        for most, total in ((None, 10), (3, 3), (30, 10)):
            args = argparse.Namespace(max_count=most)
            self.assertEqual(total, plan.asked_for(args, 10))
