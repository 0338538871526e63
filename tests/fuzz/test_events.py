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

"""Whatever an event, a reason or a report says."""

from hypothesis import strategies as st

from nova_migration import exception
from nova_migration import objects
from nova_migration.cmd import exits
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import reading
from nova_migration.states import words
from tests import base as test_base
from tests.functional import base
from tests.functional.db import samples
from tests.fuzz import base as fuzz
from tests.fuzz import strategies

#: What a request to move may be answered with instead of a move.
REFUSALS = (exception.NovaMigrationError, words.UnknownWord)

_FORMS = st.sampled_from(('legacy', 'canonical'))
_EVENT = st.sampled_from(strategies.EVENTS)
_PLACE = st.sampled_from(
    [
        (kind, name)
        for kind in MIGRATION_TYPES
        for name in MACHINES[kind].states
    ]
)


@base.on_every_database
class Events(samples.Expanded, fuzz.FuzzTest):
    """Requests to move a row."""

    def setUp(self):
        super().setUp()
        self.expand()
        self.places = {}

    def at(self, place, form):
        """Return the id of a row in a state; each has its own."""
        kind, name = place
        legacy, canonical = samples.in_both_forms(
            kind, MACHINES[kind].states[name]
        )
        return self.insert(**(legacy if form == 'legacy' else canonical))

    def ask(self, row_id, request):
        """Make a request of a loaded object; return what came of it."""
        migration = objects.Migration.get_by_id(self.context, row_id)
        try:
            outcome = request(migration)
        except REFUSALS as error:
            outcome = error
        return outcome, migration

    def assert_same_as_row(self, migration):
        """The object in hand says what the row says."""
        again = objects.Migration.get_by_id(self.context, migration.id)
        for field in ('status', 'state', 'state_reason', 'legacy_status'):
            self.assertEqual(
                getattr(again, field), getattr(migration, field), field
            )

    @fuzz.fuzzed(
        _PLACE,
        _FORMS,
        _EVENT | strategies.json,
        st.none() | strategies.any_text | strategies.json,
        share=0.6,
        examples=[
            (('resize', 'migrating'), 'legacy', 'fail', 'a\0b'),
            (('resize', 'migrating'), 'canonical', 'fail', '\U0001f4a5'),
            (('resize', 'migrating'), 'canonical', 'fail', '\ud800'),
            (('resize', 'migrating'), 'canonical', 'fail', 5),
            (('resize', 'migrating'), 'canonical', ['fail'], None),
            (
                ('live-migration', 'cancelled'),
                'legacy',
                'fail',
                '\U0001f4a5%_|',
            ),
        ],
    )
    def test_process_event(self, place, form, event, reason):
        """A move, an absorbed report, or a typed refusal of no effect."""
        row_id = self.at(place, form)
        before = self.row(row_id)
        outcome, migration = self.ask(
            row_id, lambda m: m.process_event(event, reason=reason)
        )
        expected = None
        kind, name = place
        if isinstance(event, str) and event in MACHINES[kind].table.events:
            expected = MACHINES[kind].decide(name, event)
        said = isinstance(reason, str | None)
        if said and isinstance(expected, Edge):
            self.assertEqual('moved', outcome)
            self.assertEqual(expected.target, migration.state)
        elif said and isinstance(expected, Absorbed):
            self.assertEqual('absorbed', outcome)
            self.assertEqual(name, migration.state)
        else:
            self.assertIsInstance(outcome, REFUSALS)
            self.assertEqual(before, self.row(row_id))
        self.assert_same_as_row(migration)

    @fuzz.fuzzed(
        _PLACE,
        _FORMS,
        st.sampled_from(strategies.STRINGS) | strategies.json,
        st.none() | strategies.any_text,
        share=0.4,
        examples=[
            (('resize', 'migrating'), 'legacy', ['finished'], None),
            (('resize', 'migrating'), 'legacy', 'Finished', None),
            (('resize', 'migrating'), 'legacy', 'error', '\U0001f4a5'),
        ],
    )
    def test_report_legacy_status(self, place, form, status, reason):
        """A known string is answered; any other one is refused by name."""
        row_id = self.at(place, form)
        before = self.row(row_id)
        outcome, migration = self.ask(
            row_id, lambda m: m.report_legacy_status(status, reason=reason)
        )
        machine = MACHINES[place[0]]
        known = isinstance(status, str) and status in machine.legacy
        if not known:
            self.assertIsInstance(outcome, words.UnknownWord)
        if isinstance(outcome, Exception):
            self.assertEqual(before, self.row(row_id))
        else:
            self.assertIn(outcome, ('moved', 'absorbed'))
        self.assert_same_as_row(migration)

    @fuzz.fuzzed(
        _PLACE,
        _FORMS,
        _EVENT | strategies.argument,
        strategies.argument,
        share=0.3,
        examples=[
            (('resize', 'migrating'), 'canonical', 'fail', '\udcff'),
            (('resize', 'migrating'), 'canonical', 'fail', '\x1b[31m'),
            (('resize', 'migrating'), 'canonical', 'fail', '\U0001f4a5'),
            (('resize', 'migrating'), 'canonical', '\x1b[31m', 'x'),
        ],
    )
    def test_command(self, place, form, event, reason):
        """The command shows the move, or one line and the row as before."""
        row_id = self.at(place, form)
        before = self.row(row_id)
        result = self.run_manage(
            '--database-connection',
            self.url,
            'migration',
            'process-event',
            f'--reason={reason}',
            '--',
            str(row_id),
            event,
        )
        done = (0, exits.ABSORBED)
        self.assert_answered(result, (*done, 1, fuzz.USAGE))
        if result.code in done:
            self.assert_printable(result.out)
            self.assertNotEqual(before, self.row(row_id))
            return
        self.assertEqual(before, self.row(row_id))
        if result.code == 1:
            self.assert_refused(result)
        else:
            self.assert_usage(result)


class ReadingTest(fuzz.FuzzTest, test_base.TestCase):
    """From what a row says to where the move is, and back."""

    @fuzz.fuzzed(
        st.none() | strategies.any_text | st.sampled_from(MIGRATION_TYPES),
        st.none() | st.booleans(),
        st.none() | strategies.any_text | st.sampled_from(strategies.STRINGS),
        st.none() | strategies.any_text | st.sampled_from(strategies.STATES),
        st.none() | strategies.any_text,
        examples=[
            (kind, None, word, None, None)
            for kind, word, _state in samples.pairs()
        ],
    )
    def test_reading(self, kind, cross_cell, status, state, kept):
        """Whatever a row says is read, and a legacy one spelled the same."""
        found = reading.of_row(kind, cross_cell, status, state, kept)
        spelled = reading.spelled(kind, cross_cell, found)
        if state is None:
            self.assertEqual(status, spelled)
        if found.state is None:
            self.assertIsNone(found.status)
