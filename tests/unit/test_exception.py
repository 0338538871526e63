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

"""Every error says what is wrong, and can be read by programs."""

import copy
import pickle
import re

from hypothesis import given
from hypothesis import strategies as st

from nova_migration import exception
from tests import base


def _all(kind):
    yield kind
    for derived in kind.__subclasses__():
        yield from _all(derived)


CLASSES = sorted(
    {
        kind
        for kind in _all(exception.NovaMigrationError)
        if kind.__module__ == exception.__name__
    },
    key=lambda kind: kind.__name__,
)


def keywords_of(kind):
    """Return the keywords that a message has, each with some value."""
    return {
        name: 7 if conversion == 'd' else f'some {name}'
        for name, conversion in re.findall(r'%\((\w+)\)([sdr])', kind.msg_fmt)
    }


class MessageTest(base.TestCase):
    """What every class has in common."""

    def test_every_class_is_here(self):
        """All exceptions of the module are of the one family."""
        named = {
            value
            for value in vars(exception).values()
            if isinstance(value, type) and issubclass(value, Exception)
        }

        self.assertEqual(named, set(CLASSES))
        self.assertGreater(len(CLASSES), 10)

    def test_message_has_the_keywords(self):
        """A message tells each of its keywords and keeps no placeholder."""
        for kind in CLASSES:
            keywords = keywords_of(kind)

            message = str(kind(**keywords))

            self.assertNotIn('%(', message)
            for value in keywords.values():
                self.assertIn(str(value), message)

    def test_message_is_a_sentence(self):
        """A message of its own begins with a capital and ends as it should."""
        for kind in CLASSES:
            words = kind.msg_fmt
            if words.startswith('%'):
                continue
            self.assertRegex(words, r"^[A-Z'-]", kind.__name__)
            self.assertRegex(words, r'(\.|\)s)$', kind.__name__)

    def test_keywords_are_attributes(self):
        """A program reads what it needs to know off the error."""
        for kind in CLASSES:
            keywords = keywords_of(kind)

            error = kind(**keywords)

            self.assertEqual(
                keywords, {name: getattr(error, name) for name in keywords}
            )
            self.assertEqual(keywords, error.kwargs)

    def test_other_attributes_are_not_there(self):
        """What was not given is no attribute."""
        for kind in CLASSES:
            error = kind(**keywords_of(kind))

            self.assertRaises(AttributeError, getattr, error, 'no_such_thing')

    def test_missing_keyword(self):
        """A message that lacks a keyword is a mistake of the raiser."""
        for kind in CLASSES:
            if keywords_of(kind):
                self.assertRaises(KeyError, kind)

    def test_more_keywords_than_the_message_has(self):
        """A keyword that the message lacks is an attribute all the same."""
        error = exception.MigrationNotFound(migration_id=1, looked_in='cell1')

        self.assertEqual('cell1', error.looked_in)
        self.assertEqual('Migration 1 could not be found.', str(error))

    def test_pickles_and_copies(self):
        """An error that crosses a process is the same on the other side."""
        for kind in CLASSES:
            error = kind(**keywords_of(kind))
            for twin in (
                pickle.loads(pickle.dumps(error)),
                copy.copy(error),
                copy.deepcopy(error),
            ):
                self.assertIs(kind, type(twin))
                self.assertEqual(str(error), str(twin))
                self.assertEqual(error.kwargs, twin.kwargs)

    def test_message_that_was_sent(self):
        """oslo.messaging makes an error anew of the message alone."""
        for kind in CLASSES:
            self.assertEqual('It was so.', str(kind('It was so.')))

    def test_message_that_was_sent_can_be_sent_on(self):
        """An error that came with its message can be copied and pickled."""
        for kind in CLASSES:
            error = kind('It was so.')
            for twin in (
                pickle.loads(pickle.dumps(error)),
                copy.copy(error),
            ):
                self.assertEqual('It was so.', str(twin), kind.__name__)

    @given(st.sampled_from(CLASSES), st.text())
    def test_any_value(self, kind, text):
        """Per cent signs and the like in a value do not harm a message."""
        keywords = {
            name: text if isinstance(value, str) else value
            for name, value in keywords_of(kind).items()
        }

        error = kind(**keywords)

        self.assertEqual(keywords, error.kwargs)
        for name, value in keywords.items():
            shown = repr(value) if f'%({name})r' in kind.msg_fmt else value
            self.assertIn(str(shown), str(error))


class FamilyTest(base.TestCase):
    """What can be caught together."""

    def test_not_found(self):
        """Whoever catches MigrationNotFound catches all that is missing."""
        for kind in (
            exception.MigrationNotFoundForInstance,
            exception.MigrationNotFoundByStatus,
            exception.MarkerNotFound,
        ):
            self.assertTrue(issubclass(kind, exception.MigrationNotFound))

    def test_conflict_is_not_an_illegal_step(self):
        """Losing a race and asking for the impossible are told apart."""
        self.assertFalse(
            issubclass(
                exception.TransitionConflict, exception.InvalidTransition
            )
        )
        self.assertFalse(
            issubclass(
                exception.InvalidTransition, exception.TransitionConflict
            )
        )

    def test_conflict_tells_both_states(self):
        """A conflict carries the state that was expected and the actual."""
        error = exception.TransitionConflict(
            migration_id=1, event='run', expected='preparing', actual='error'
        )

        self.assertEqual(
            ('preparing', 'error'), (error.expected, error.actual)
        )
        self.assertIn("expected in state 'preparing'", str(error))
        self.assertIn("but is 'error'", str(error))
