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

"""From what a row says to where the move is, and back."""

from hypothesis import given
from hypothesis import strategies as st

from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import machine_for
from nova_migration.states import reading
from nova_migration.states import registry
from tests import base

KINDS = st.sampled_from(MIGRATION_TYPES)
ANY_KIND = KINDS | st.text()
CROSS = st.sampled_from([False, True, None])

#: Every type, whether it is cross-cell, and every string that it knows.
KNOWN = [
    (kind, cross, word)
    for kind in MIGRATION_TYPES
    for cross in (False, True, None)
    for word in machine_for(kind, cross).legacy
]


class LegacyRowTest(base.TestCase):
    """A row with one of Nova's strings and no state."""

    def test_known_string(self):
        """Each string of a type is read as the state and status it means."""
        for kind, cross, word in KNOWN:
            row = machine_for(kind, cross).state_of_legacy(word)

            found = reading.of_row(kind, cross, word)

            self.assertEqual(
                (row.name, row.status), (found.state, found.status)
            )

    def test_round_trip(self):
        """Each string of a type, aliases included, is given back as it was."""
        for kind, cross, word in KNOWN:
            found = reading.of_row(kind, cross, word)

            self.assertEqual(word, reading.spelled(kind, cross, found))

    def test_only_what_the_state_would_not_give_is_kept(self):
        """The original string is kept for an alias and for nothing else."""
        for kind, cross, word in KNOWN:
            usual = machine_for(kind, cross).state_of_legacy(word).legacy

            found = reading.of_row(kind, cross, word)

            self.assertEqual(
                None if word == usual else word, found.legacy_status
            )

    def test_near_misses_are_unknown(self):
        """Another case, or a space, makes another string."""
        for kind, cross, word in KNOWN:
            for odd in (word.capitalize(), f'{word} ', f' {word}', ''):
                self.assertEqual(
                    reading.Reading(None, None, odd),
                    reading.of_row(kind, cross, odd),
                )

    @given(ANY_KIND, CROSS, st.none() | st.text())
    def test_any_string_is_kept(self, kind, cross, status):
        """Whatever a row of any type says is read, and given back as is."""
        found = reading.of_row(kind, cross, status)

        self.assertEqual(status, reading.spelled(kind, cross, found))

    def test_no_status(self):
        """A row without a status is read as one that is not known."""
        for kind in MIGRATION_TYPES:
            self.assertEqual(
                reading.Reading(None, None, None),
                reading.of_row(kind, False, None),
            )


class CanonicalRowTest(base.TestCase):
    """A row that says its state."""

    def every_state(self):
        """Yield each type with each of its states."""
        for kind in MIGRATION_TYPES:
            for row in MACHINES[kind].states.values():
                yield kind, row

    def test_state_decides(self):
        """A row is read by its state, and is spelled as Nova did."""
        for kind, row in self.every_state():
            found = reading.of_row(kind, False, row.status, row.name)

            self.assertEqual(
                reading.Reading(row.status, row.name, None), found
            )
            self.assertEqual(row.legacy, reading.spelled(kind, False, found))

    def test_status_that_was_written_over(self):
        """A row whose status does not fit its state is read by the state."""
        for kind, row in self.every_state():
            for status in ('completed', 'error', 'done', 'junk', '', None):
                found = reading.of_row(kind, False, status, row.name)

                self.assertEqual(
                    (row.status, row.name), (found.status, found.state)
                )

    def test_kept_string_is_given_back(self):
        """The odd string that a row was migrated from is spelled again."""
        for kind, row in self.every_state():
            for odd in ('Odd', 'done', ''):
                found = reading.of_row(kind, False, row.status, row.name, odd)

                self.assertEqual(odd, reading.spelled(kind, False, found))

    def test_unknown_state_is_not_guessed_at(self):
        """A state that the type has not is not read as another state.

        The public status beside it may be spelled like a legacy string that
        means something else: ``completed`` beside an evacuation's state from
        a release to come must not say that everything is cleaned up.
        """
        for kind in MIGRATION_TYPES:
            for status in registry.states_by_status():
                found = reading.of_row(kind, False, status, 'to-come')

                self.assertIsNone(found.state, (kind, status))

    @given(
        ANY_KIND,
        CROSS,
        st.none() | st.text(),
        st.none() | st.text(),
        st.none() | st.text(),
    )
    def test_never_an_error(self, kind, cross, status, state, kept):
        """No row can be such that reading or spelling it fails."""
        found = reading.of_row(kind, cross, status, state, kept)

        reading.spelled(kind, cross, found)

        self.assertEqual(found.state is None, found.status is None)
