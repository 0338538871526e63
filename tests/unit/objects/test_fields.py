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

"""The fields: good and bad values, and who may set them."""

import datetime
import enum
import json

from hypothesis import given
from hypothesis import strategies as st
from oslo_versionedobjects import base as ovo_base

from nova_migration import exception
from nova_migration import objects
from nova_migration.objects import fields
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationState
from nova_migration.states import MigrationStatus
from nova_migration.states import UnknownWord
from tests import base
from tests.unit.objects import samples

GUARDED = {
    'status': 'completed',
    'state': 'failed',
    'state_reason': 'because',
    'state_changed_at': datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC),
    'legacy_status': 'done',
}


class Owner:
    """Something whose fields may be set, as while an object is loaded."""

    state_may_be_set = True


class FieldTest:
    """Values in, members out, plain strings on the wire."""

    field = None
    words = None

    def coerce(self, value):
        """Assign a value, as loading does."""
        return self.field.coerce(Owner(), 'any', value)

    def test_good_values(self):
        """A word, or the member of the enumeration, becomes the member."""
        for word in self.words:
            for value in (word, word.value):
                coerced = self.coerce(value)

                self.assertIs(word, coerced)

    def test_bad_values(self):
        """What is no word of the vocabulary is an error."""
        for value in ('', 'Error', 'error ', 'junk', 7, b'error', ['error']):
            self.assertRaises(UnknownWord, self.coerce, value)

    def test_none(self):
        """A field that may be empty may be None; another may not."""
        nullable = type(self.field)(nullable=True)

        self.assertIsNone(nullable.coerce(Owner(), 'any', None))
        self.assertRaises(ValueError, self.coerce, None)

    def test_typo_names_the_nearest(self):
        """A word with a typo in it is answered with what was meant."""
        for word in self.words:
            error = self.assertRaises(
                ValueError, self.coerce, word.value + 'x'
            )

            self.assertIn(word, error.nearest)
            self.assertIn(repr(word.value), str(error))

    def test_on_the_wire_it_is_a_plain_string(self):
        """A member is sent as str, not as anything that derives from it."""
        for word in self.words:
            sent = self.field.to_primitive(Owner(), 'any', word)

            self.assertIs(str, type(sent))
            self.assertEqual(word.value, sent)
            self.assertIs(
                word, self.coerce(self.field.from_primitive(None, '', sent))
            )

    def test_vocabulary_is_the_tables(self):
        """The words of the field are the enumeration's, as plain strings."""
        for word in self.field.valid_values:
            self.assertNotIsInstance(word, enum.Enum)
        self.assertEqual(
            [word.value for word in self.words], list(self.field.valid_values)
        )

    def test_is_guarded(self):
        """The field cannot be set on an object that does not allow it."""
        owner = Owner()
        owner.state_may_be_set = False

        error = self.assertRaises(
            exception.StateAssigned,
            self.field.coerce,
            owner,
            'some_field',
            next(iter(self.words)),
        )
        self.assertEqual('some_field', error.field)


class MigrationStatusFieldTest(FieldTest, base.TestCase):
    """The public status."""

    field = fields.MigrationStatusField()
    words = MigrationStatus


class MigrationStateFieldTest(FieldTest, base.TestCase):
    """The state."""

    field = fields.MigrationStateField()
    words = MigrationState


class AnyTextTest(base.TestCase):
    """The enumerated fields and text that somebody made up."""

    @given(
        st.sampled_from([MigrationStatusFieldTest, MigrationStateFieldTest]),
        st.text(),
    )
    def test_any_text(self, kind, text):
        """Any other text than the vocabulary's is an error."""
        if text in list(kind.words):
            self.assertEqual(text, kind.field.coerce(Owner(), 'any', text))
        else:
            self.assertRaises(
                ValueError, kind.field.coerce, Owner(), 'any', text
            )


class MigrationTypeFieldTest(base.TestCase):
    """The type, which is Nova's enumeration."""

    field = fields.MigrationTypeField()

    def test_good_values(self):
        """Each of Nova's types is taken as it is."""
        for kind in MIGRATION_TYPES:
            self.assertEqual(
                kind, self.field.coerce(Owner(), 'migration_type', kind)
            )

    def test_bad_values(self):
        """A machine that is no type, an old misspelling and None are not."""
        for value in ('cross-cell', 'evacuate', '', None):
            self.assertRaises(
                ValueError, self.field.coerce, Owner(), 'any', value
            )


class AssignmentTest(base.TestCase):
    """Fields that go with the state are set by events only."""

    def setUp(self):
        super().setUp()
        self.migration = samples.canonical('live-migration', 'running')
        self.before = self.migration.obj_to_primitive()

    def test_assigning_is_refused(self):
        """Assigning to a guarded field raises and changes nothing."""
        for name, value in GUARDED.items():
            for given_value in (value, None):
                error = self.assertRaises(
                    exception.StateAssigned,
                    setattr,
                    self.migration,
                    name,
                    given_value,
                )
                self.assertEqual(name, error.field)

        self.assertEqual(self.before, self.migration.obj_to_primitive())
        self.assertEqual(set(), self.migration.obj_what_changed())

    def test_same_value_is_refused_too(self):
        """Not even the value that is there already can be assigned."""
        self.assertRaises(
            exception.StateAssigned,
            setattr,
            self.migration,
            'status',
            self.migration.status,
        )

    def test_constructor_is_refused(self):
        """A guarded field cannot be given to the constructor."""
        for name, value in GUARDED.items():
            self.assertRaises(
                exception.StateAssigned, objects.Migration, **{name: value}
            )

    def test_message_says_what_to_do(self):
        """The error names the two ways to move a migration."""
        error = self.assertRaises(
            exception.StateAssigned,
            setattr,
            self.migration,
            'state',
            'completed',
        )

        self.assertIn('process_event()', str(error))
        self.assertIn('report_legacy_status()', str(error))

    def test_all_other_fields_can_be_assigned(self):
        """Every other field is set as in Nova, and is to be saved then."""
        for name in set(objects.Migration.fields) - set(GUARDED):
            value = getattr(self.migration, name)
            setattr(self.migration, name, value)

            self.assertIn(name, self.migration.obj_what_changed())

    def test_every_field_of_the_state_is_guarded(self):
        """The guarded fields are status and those that version 1.9 added."""
        self.assertEqual(samples.ADDED['1.9'] | {'status'}, set(GUARDED))


class MembersTest(base.TestCase):
    """What an object's status and state are to the code that reads them."""

    def test_are_members(self):
        """Taken from the wire, status and state are enumeration members."""
        migration = samples.canonical('resize', 'awaiting-confirmation')

        self.assertIs(MigrationStatus.COMPLETED, migration.status)
        self.assertIs(MigrationState.AWAITING_CONFIRMATION, migration.state)

    def test_are_strings_too(self):
        """Code that compares and formats strings needs no change."""
        migration = samples.canonical('resize', 'awaiting-confirmation')

        self.assertEqual('completed', migration.status)
        self.assertEqual('completed', f'{migration.status}')
        self.assertEqual('completed', '%s' % migration.status)  # noqa: UP031

    def test_serialise_as_plain_strings(self):
        """A primitive holds str only, and survives JSON."""
        migration = samples.canonical('live-migration', 'postcopy')

        sent = migration.obj_to_primitive()
        data = samples.data_of(sent)

        self.assertEqual(
            ('running', 'postcopy'), (data['status'], data['state'])
        )
        self.assertIs(str, type(data['status']))
        self.assertIs(str, type(data['state']))
        self.assertEqual(sent, json.loads(json.dumps(sent)))

    def test_serializer_takes_it_through(self):
        """The serializer of the message bus gives an equal object back."""
        serializer = ovo_base.VersionedObjectSerializer()
        serializer.OBJ_BASE_CLASS = type(samples.migration())
        migration = samples.canonical('evacuation', 'evacuated')

        sent = json.loads(
            json.dumps(serializer.serialize_entity(None, migration))
        )
        received = serializer.deserialize_entity(None, sent)

        self.assertIs(MigrationState.EVACUATED, received.state)
        self.assertEqual(
            migration.obj_to_primitive(), received.obj_to_primitive()
        )
