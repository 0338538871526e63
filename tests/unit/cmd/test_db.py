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
from nova_migration.db import upgrade
from tests import base


def batch(changed=10, seen=10):
    """Return a batch of a table."""
    return upgrade.Batch('migrations', seen, changed, 1)


class CarryOutTest(base.TestCase):
    """To the end, or to a boundary before it."""

    def test_to_the_end(self):
        """Without a limit all rows are counted."""
        work = db.carry_out([batch(), batch(3)], 20, 'migrate', None)
        self.assertEqual(db.Work(changed=13), work)

    def test_limit(self):
        """At the limit no further batch is begun."""
        left = iter([batch(), batch(), batch()])
        work = db.carry_out(left, 30, 'migrate', 20)
        self.assertEqual(db.Work(changed=20, stopped=True), work)
        self.assertEqual(1, len(list(left)))

    def test_rows_that_nobody_knows_do_not_count(self):
        """A batch of unknown rows does not use up the limit."""
        work = db.carry_out([batch(0), batch(4)], 20, 'migrate', 5)
        self.assertEqual(db.Work(changed=4), work)

    def test_signal(self):
        """After a signal no further batch is begun."""

        def working():
            yield batch()
            os.kill(os.getpid(), signal.SIGINT)
            yield batch()
            raise AssertionError('a batch was begun after the signal')

        work = db.carry_out(working(), 30, 'migrate', None)
        self.assertEqual(
            db.Work(changed=20, stopped=True, interrupted=True), work
        )

    def test_signal_in_the_last_batch(self):
        """A signal during the look for a further batch is not forgotten."""

        def working():
            yield batch()
            os.kill(os.getpid(), signal.SIGINT)

        work = db.carry_out(working(), 10, 'migrate', None)
        self.assertEqual(10, work.changed)
        self.assertTrue(work.interrupted)

    def test_signal_before_the_first_batch(self):
        """A signal while there is nothing to do is not forgotten."""

        def working():
            os.kill(os.getpid(), signal.SIGINT)
            yield from ()

        self.assertTrue(
            db.carry_out(working(), 0, 'migrate', None).interrupted
        )


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

    def test_batch_size(self):
        """A batch is no larger than the whole run may be."""
        for size, limit, expected in (
            (1000, None, 1000),
            (1000, 10, 10),
            (10, 1000, 10),
        ):
            args = argparse.Namespace(batch_size=size, max_count=limit)
            self.assertEqual(expected, db.batch_size(args))

    def test_exit_codes_are_apart(self):
        """No two outcomes of a command have the same exit code."""
        for codes in (
            (0, 1, db.EXPAND_NEEDED, db.MIGRATE_NEEDED, db.CONTRACT_NEEDED),
            (
                0,
                db.ROWS_REMAIN,
                db.NOT_MIGRATED,
                db.Upgrade.FAILED,
                db.base.INTERRUPTED,
            ),
            (0, db.ROWS_REMAIN, db.Restore.FAILED, db.base.INTERRUPTED),
        ):
            self.assertEqual(len(codes), len(set(codes)))
