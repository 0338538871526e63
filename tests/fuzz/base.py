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

"""What every property has: a database, a command line, and what is expected.

A property is a method that takes what its strategies draw; ``fuzzed`` makes a
test of it, and :meth:`FuzzTest.property_of` what a fuzzer can feed.
"""

import os
import pathlib
import shutil
from unittest import mock

import hypothesis
from hypothesis import strategies as st

from nova_migration.cmd import base
from nova_migration.cmd import exits
from nova_migration.cmd import manage
from nova_migration.cmd import status
from tests.functional.cmd import base as cmd_test

#: How many examples a property is tried with.
EXAMPLES = int(os.environ.get('NOVA_MIGRATION_TEST_FUZZ_EXAMPLES', '100'))

#: What a password looks like, to be found where it must not be shown.
SECRET = 'hunter2'

#: What a wrong call ends with.
USAGE = exits.WRONG_CALL

_HEALTH = list(hypothesis.HealthCheck)

#: Explaining a failure takes longer than finding it.
_PHASES = [p for p in hypothesis.Phase if p is not hypothesis.Phase.explain]


def fuzzed(*strategies, share=1.0, examples=()):
    """Make a test of a method that takes what the strategies draw.

    :param share: how many examples, as a part of the usual number
    :param examples: what was found once, each a tuple; always tried
    """

    def mark(check):
        def test(self):
            self.property_of(test)()

        test.__name__ = check.__name__
        test.__qualname__ = check.__qualname__
        test.__doc__ = check.__doc__
        test.check = check
        test.drawn = st.tuples(*strategies)
        test.share = share
        test.examples = examples
        return test

    return mark


class FuzzTest(cmd_test.InTemporaryFolder, cmd_test.CommandTest):
    """Mixed into a class of properties, in an empty folder."""

    def property_of(self, test):
        """Return a test of :func:`fuzzed` as hypothesis has it."""

        def anything(drawn):
            test.check(self, *drawn)

        given = hypothesis.given(test.drawn)(anything)
        for example in reversed(test.examples):
            given = hypothesis.example(example)(given)
        return hypothesis.settings(
            max_examples=max(int(EXAMPLES * test.share), 5),
            deadline=None,
            database=None,
            derandomize=True,
            print_blob=False,
            phases=_PHASES,
            suppress_health_check=_HEALTH,
        )(given)

    # -- commands ---------------------------------------------------------

    def run_manage(self, *argv):
        """Run nova-migration-manage; only expected errors may end it.

        cliff prints an error that nobody expected as if it were one line
        for the user, so what it was told is asked.
        """
        faults = []

        def clean_up(_app, command, _result, error):
            if error is not None and isinstance(command, base.GuardedCommand):
                faults.append(error)

        with mock.patch.object(manage.Manage, 'clean_up', clean_up):
            result = cmd_test.call(manage.main, argv)
        for error in faults:
            raise error
        return result

    @staticmethod
    def run_status(*argv):
        """Run nova-migration-status."""
        return cmd_test.call(status.main, argv)

    def assert_answered(self, result, codes):
        """A documented code, no traceback, and lines that a terminal shows."""
        self.assertIn(result.code, codes, result)
        self.assertNotIn('Traceback', result.out + result.err)
        self.assert_printable(result.err)

    def assert_refused(self, result, codes=(1, 255)):
        """One line that says what is wrong, and a documented code."""
        self.assert_answered(result, codes)
        self.assertEqual('', result.out)
        self.assertEqual(1, result.err.count('\n'), result.err)
        self.assertRegex(result.err, r'\w+ \w+')

    def assert_usage(self, result):
        """What argparse says: how to call it, and in a line why."""
        self.assert_answered(result, (USAGE,))
        self.assertTrue(result.err.startswith('usage: '), result.err)
        last = result.err.splitlines()[-1]
        self.assertRegex(last, r'^\S.*: error: \S')

    def assert_printable(self, text):
        """A terminal shows it as it is, and as many lines as there are."""
        for line in text.split('\n'):
            self.assertTrue(line.isprintable(), repr(line))


class File:
    """A file that is given back its bytes, and looked at for a change.

    :ivar original: the bytes
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.original = self.path.read_bytes()
        self._folder = set(self.path.parent.iterdir())

    @property
    def changed(self):
        """Whether it has other bytes, or another file beside it."""
        return (
            self.path.read_bytes() != self.original
            or set(self.path.parent.iterdir()) != self._folder
        )

    def give_back(self):
        """Write the bytes again, and remove what is new beside it."""
        for path in set(self.path.parent.iterdir()) - self._folder:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.path.write_bytes(self.original)
