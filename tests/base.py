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

import fixtures
import testtools

#: The top of the checkout.
ROOT = pathlib.Path(__file__).resolve().parent.parent

TIMEOUT = 300


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

    def shortDescription(self):
        """Keep the test's name in reports; the sentence is in the file."""
        return None
