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

"""What every test has: a time limit, and quiet captured output."""

import logging
import pathlib
import unittest

import fixtures
import testtools
from testtools import content

#: The top of the checkout.
ROOT = pathlib.Path(__file__).resolve().parent.parent

TIMEOUT = 300


def text(said):
    """Return a string as a detail of a test."""
    return content.text_content(said)


def causes(error):
    """Yield what was raised, below what fixtures make of it."""
    if not isinstance(error, fixtures.MultipleExceptions):
        yield error
        return
    for _kind, inner, _traceback in error.args:
        yield from causes(inner)


class TestCase(testtools.TestCase):
    """A test whose docstring is the sentence it proves."""

    #: Seconds; a test that starts many processes has more.
    timeout = TIMEOUT

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.Timeout(self.timeout, gentle=True))
        self.useFixture(fixtures.NestedTempfile())
        self.log = self.useFixture(
            fixtures.FakeLogger(level=logging.INFO, nuke_handlers=False)
        )

    def useFixture(self, fixture):
        """Use a fixture; where it skips, so does the test.

        Fixtures wrap what their setup raises, at each depth once more, and
        a skip that is wrapped would be an error.
        """
        try:
            return super().useFixture(fixture)
        except fixtures.MultipleExceptions as error:
            for cause in causes(error):
                if isinstance(cause, unittest.SkipTest):
                    raise cause from error
            raise

    def shortDescription(self):
        """Keep the test's name in reports; the sentence is in the file."""
        return None
