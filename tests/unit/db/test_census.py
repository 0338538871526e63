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

"""The form of a row."""

from hypothesis import given
from hypothesis import strategies as st

from nova_migration.db import census
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import reading
from nova_migration.states import registry
from tests import base

Form = census.Form


class FormTest(base.TestCase):
    """How far a row is."""

    def test_known_string(self):
        """A row with a string that its type knows is a legacy row."""
        for kind in MIGRATION_TYPES:
            for word in MACHINES[kind].legacy:
                self.assertIs(Form.LEGACY, census.form_of(kind, word, None))

    def test_state_with_its_status(self):
        """A row with a state and the status of it is canonical."""
        for kind in MIGRATION_TYPES:
            for name, row in MACHINES[kind].states.items():
                self.assertIs(
                    Form.CANONICAL, census.form_of(kind, row.status, name)
                )

    def test_state_with_another_status(self):
        """A status that was written over a state makes it inconsistent."""
        words = {
            *registry.states_by_status(),
            *registry.legacy_with(),
            '',
            None,
        }
        for kind in MIGRATION_TYPES:
            for name, row in MACHINES[kind].states.items():
                for status in words - {row.status}:
                    self.assertIs(
                        Form.INCONSISTENT,
                        census.form_of(kind, status, name),
                    )

    def test_state_of_another_type(self):
        """A state that the row's type does not have is inconsistent."""
        self.assertIs(
            Form.INCONSISTENT,
            census.form_of('resize', 'running', 'rebuilding'),
        )

    def test_near_miss(self):
        """A string in another case or with a space is not known."""
        for word in ('Done', 'done ', '', 'finished'):
            self.assertIs(
                Form.UNKNOWN, census.form_of('evacuation', word, None)
            )

    def test_unknown_type(self):
        """A row of a type that nobody knows is unknown in either form."""
        for state in (None, 'failed'):
            self.assertIs(
                Form.UNKNOWN, census.form_of('teleport', 'failed', state)
            )

    def test_nothing(self):
        """A row without status and state is a form of its own."""
        for kind in (*MIGRATION_TYPES, None, 'teleport'):
            self.assertIs(Form.NONE, census.form_of(kind, None, None))

    def test_no_type(self):
        """A row without a type is read as a cold migration."""
        for word in MACHINES['migration'].legacy:
            self.assertIs(Form.LEGACY, census.form_of(None, word, None))
        self.assertIs(Form.UNKNOWN, census.form_of(None, 'queued', None))

    @given(st.sampled_from(MIGRATION_TYPES), st.none() | st.text())
    def test_agrees_with_reading(self, kind, status):
        """A row without state is legacy exactly if it can be read."""
        found = reading.of_row(kind, False, status)

        self.assertEqual(
            found.state is not None,
            census.form_of(kind, status, None) is Form.LEGACY,
        )

    @given(
        st.none() | st.text() | st.sampled_from(MIGRATION_TYPES),
        st.none() | st.text(),
        st.none() | st.text(),
    )
    def test_every_row_has_a_form(self, kind, status, state):
        """There is no row that the census cannot count."""
        self.assertIsInstance(census.form_of(kind, status, state), Form)


def counted(status, form, rows=1, state=None):
    """Return a count of resizes."""
    return census.Count('migrations', 'resize', status, state, form, rows)


class CountTest(base.TestCase):
    """What is said of rows that were counted."""

    def test_of_form(self):
        """Counts are picked by form, several forms at a time."""
        counts = [counted('x', form) for form in Form]
        wanted = (Form.UNKNOWN, Form.INCONSISTENT)

        found = census.of_form(counts, *wanted)

        self.assertEqual(set(wanted), {count.form for count in found})

    def test_total(self):
        """A total is of rows, not of counts."""
        counts = [counted('x', form, rows=3) for form in Form]

        self.assertEqual(3 * len(Form), census.total(counts))

    def test_described(self):
        """A count can be read as words, to the exact string."""
        self.assertEqual(
            "2 rows of migrations, type resize, unknown status 'Odd '",
            counted('Odd ', Form.UNKNOWN, rows=2).described,
        )
        self.assertEqual(
            "1 row of migrations, type resize, inconsistent status 'x' in"
            " state 'failed'",
            counted('x', Form.INCONSISTENT, state='failed').described,
        )

    def test_order(self):
        """Counts can be sorted although values may be missing."""
        counts = [counted(None, Form.NONE), counted('a', Form.UNKNOWN)]

        self.assertEqual(2, len(sorted(counts, key=lambda c: c.order)))
