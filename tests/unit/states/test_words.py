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

"""What is said about unknown words."""

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from nova_migration.states import MigrationState
from nova_migration.states import words
from tests import base

COLOURS = ('amber', 'green', 'magenta')


class UnknownWordTest(base.TestCase):
    """The error for a word outside of a vocabulary."""

    def test_is_a_value_error(self):
        """Whoever catches ValueError catches an unknown word."""
        self.assertIsInstance(
            words.UnknownWord(what='colour', word='blue', valid=COLOURS),
            ValueError,
        )

    def test_typo_names_the_nearest(self):
        """A word with a letter missing is answered with the one it lacks."""
        error = words.UnknownWord(what='colour', word='gren', valid=COLOURS)

        self.assertEqual(
            "Unknown colour 'gren': did you mean 'green'?", str(error)
        )
        self.assertEqual(['green'], error.nearest)

    def test_nothing_near_lists_all(self):
        """A word like no other is answered with all that are valid."""
        error = words.UnknownWord(what='colour', word='xxxx', valid=COLOURS)

        self.assertEqual(
            "Unknown colour 'xxxx': valid are amber, green, magenta.",
            str(error),
        )
        self.assertEqual([], error.nearest)

    def test_keeps_what_was_said(self):
        """A program can read what was asked for."""
        error = words.UnknownWord(what='colour', word=None, valid=COLOURS)

        self.assertEqual(('colour', None), (error.what, error.word))

    def test_enumerated_words_are_shown_as_text(self):
        """A hint shows the word to type, not Python's enumeration of it."""
        error = words.UnknownWord(
            what='state', word='runing', valid=list(MigrationState)
        )

        self.assertIn("did you mean 'running'", str(error))
        self.assertNotIn('<', str(error))

    def test_survives_copy_and_pickle(self):
        """The error can be sent to another process and reads the same."""
        error = words.UnknownWord(what='colour', word='gren', valid=COLOURS)

        for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            self.assertEqual(str(error), str(twin))
            self.assertEqual(error.nearest, twin.nearest)


class NearestTest(base.TestCase):
    """The search for the words that a typo may have meant."""

    @given(st.sampled_from(list(MigrationState)))
    def test_ignores_case_and_surrounding_space(self, state):
        """A valid word in capitals and with spaces around is its own hint."""
        found = words.nearest(f'  {state.upper()} ', list(MigrationState))

        self.assertEqual(state, found[0])

    @given(st.one_of(st.text(), st.none(), st.integers(), st.binary()))
    def test_any_word_is_answered(self, word):
        """Whatever was given, at most two valid words come back."""
        found = words.nearest(word, COLOURS)

        self.assertLessEqual(len(found), 2)
        self.assertLessEqual(set(found), set(COLOURS))

    def test_empty_vocabulary(self):
        """Where nothing is valid, nothing is near."""
        self.assertEqual([], words.nearest('green', ()))
