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

"""Who is told of a transition."""

import dataclasses
import logging

import fixtures

from nova_migration.integration.dropin import report
from nova_migration.states import LOOK
from tests import base


def transition(result, **values):
    """Return a transition that was asked for."""
    return report.Transition(
        **{
            'migration_id': 7,
            'machine': 'resize',
            'before': 'finished',
            'asked': 'confirming',
            'result': result,
            'state': 'confirming',
            'event': 'confirm',
            'canonical': False,
            'why': 'The user confirms.',
            **values,
        }
    )


class ReportTest(base.TestCase):
    """Each transition is logged and given to whoever subscribed."""

    def setUp(self):
        super().setUp()
        self.told = []
        report.subscribe(self.told.append)
        self.addCleanup(report.unsubscribe, self.told.append)

    def test_subscriber_is_told(self):
        """A subscriber gets each transition once."""
        moved = transition(report.Result.MOVED)
        report.tell(moved)
        self.assertEqual([moved], self.told)

    def test_subscribing_twice(self):
        """Whoever subscribes twice is told once, and then no more."""
        report.subscribe(self.told.append)
        report.tell(transition(report.Result.MOVED))
        self.assertEqual(1, len(self.told))
        report.unsubscribe(self.told.append)
        report.unsubscribe(self.told.append)
        report.tell(transition(report.Result.MOVED))
        self.assertEqual(1, len(self.told))

    def test_replaced(self):
        """A row that goes elsewhere than was asked is worth a line."""
        log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        moved = transition(report.Result.MOVED, state='failed', replaced=True)
        report.tell(moved)
        self.assertIn("is moved. It is 'failed' now.", log.output)

    def test_levels(self):
        """What is refused is a warning, what is late worth a line."""
        log = self.useFixture(fixtures.FakeLogger())
        expected = {
            report.Result.REFUSED: 'is refused',
            report.Result.LET_THROUGH: 'is let-through',
            report.Result.ABSORBED: 'is absorbed',
        }
        for result, text in expected.items():
            report.tell(transition(result))
            self.assertIn(text, log.output)
        self.assertIn(
            "Migration 7 (resize) at 'finished': 'confirming'", log.output
        )

    def test_what_contradicts(self):
        """What is late but cannot be true is a warning: where to look."""
        log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))
        late = transition(report.Result.ABSORBED)
        report.tell(late)
        self.assertEqual('', log.output)
        report.tell(dataclasses.replace(late, contradicts=True))
        self.assertIn(f'is absorbed. {late.why} {LOOK}', log.output)
