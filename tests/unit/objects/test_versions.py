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

"""The object on the wire: pinned versions, older services, copies."""

import copy
import dataclasses
import datetime
import string

from hypothesis import given
from hypothesis import strategies as st
from oslo_versionedobjects import base as ovo_base
from oslo_versionedobjects import fixture as ovo_fixture

from nova_migration import exception
from nova_migration import objects
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationState
from nova_migration.states import reading
from tests import base
from tests.unit.objects import samples

# A change here needs a new version of the object, and a line in the history
# above its VERSION.
FINGERPRINTS = {
    'Migration': '1.9-b41e895260edfe609ac83a9755966355',
    'MigrationList': '1.5-7b9fecb325901bff1f54c77d30373072',
}


def _plain(word):
    return str.__str__(word)


def _rows(table):
    states = sorted(
        (
            _plain(state.name),
            _plain(state.status),
            tuple(_plain(word) for word in state.spellings),
            tuple(sorted(_plain(flag) for flag in state.flags)),
            state.start,
            state.terminal,
        )
        for state in table.states
    )
    edges = sorted(
        (_plain(e.source), e.event, _plain(e.target), _plain(e.named))
        for e in table.edges
    )
    absorbed = sorted((_plain(a.state), a.event) for a in table.absorbed)
    return _plain(table.name), tuple(states), tuple(edges), tuple(absorbed)


def transition_data(tables):
    """Return a function that tells what the machines add to an object.

    Everything that two services have to agree on is in it; the sentences,
    which nobody acts on, are not.
    """

    def extra(cls):
        if cls.obj_name() != 'Migration':
            return ()
        return (tuple(sorted(_rows(table) for table in tables)),)

    return extra


TABLES = [machine.table for machine in MACHINES.values()]


def checker():
    """Return the checker of our objects, whatever else is registered."""
    classes = ovo_base.VersionedObjectRegistry.obj_classes()
    return ovo_fixture.ObjectVersionChecker(
        {name: classes[name] for name in objects.__all__}
    )


class FingerprintTest(base.TestCase):
    """Whoever changes what services exchange has to say so."""

    def changed(self, tables):
        """Return the objects whose fingerprint the tables change."""
        _expected, actual = checker().test_hashes(
            FINGERPRINTS, extra_data_func=transition_data(tables)
        )
        return actual

    def test_versions_are_pinned(self):
        """Fields, remotable methods and machines are those of the version."""
        self.assertEqual({}, self.changed(TABLES))

    def test_machine_is_in_the_fingerprint(self):
        """An edge more, less or elsewhere, and a flag, all change it."""
        table = TABLES[0]
        first = table.edges[0]
        moved = dataclasses.replace(first, target='error')
        state = dataclasses.replace(table.states[1], flags=frozenset())
        for changed in (
            _unchecked(table, edges=table.edges[1:]),
            _unchecked(table, edges=(moved, *table.edges[1:])),
            _unchecked(
                table,
                edges=(*table.edges, dataclasses.replace(first, event='x')),
            ),
            _unchecked(table, absorbed=()),
            _unchecked(
                table, states=(table.states[0], state, *table.states[2:])
            ),
        ):
            self.assertEqual(
                {'Migration'}, set(self.changed([changed, *TABLES[1:]]))
            )

    def test_sentences_are_not_in_the_fingerprint(self):
        """What a row says of itself can be improved without a version."""
        table = TABLES[0]
        reworded = dataclasses.replace(
            table,
            title='Another title',
            edges=tuple(
                dataclasses.replace(edge, why='Said better.')
                for edge in table.edges
            ),
        )

        self.assertEqual({}, self.changed([reworded, *TABLES[1:]]))

    def test_order_is_not_in_the_fingerprint(self):
        """Rows can be sorted otherwise without a version."""
        table = TABLES[0]
        turned = dataclasses.replace(table, edges=table.edges[::-1])

        self.assertEqual({}, self.changed([*TABLES[1:], turned]))

    def test_enumerations_are_told_as_plain_words(self):
        """The fingerprint does not hang on how Python prints an Enum."""
        told = repr(transition_data(TABLES)(objects.Migration))

        self.assertIn("'awaiting-confirmation'", told)
        self.assertNotIn('MigrationState', told)
        self.assertNotIn('MigrationStatus', told)


def _unchecked(table, **changes):
    """Return a changed table, sound or not: only its rows are looked at."""
    twin = copy.copy(table)
    for name, value in changes.items():
        object.__setattr__(twin, name, value)
    return twin


class OlderVersionsTest(base.TestCase):
    """What an older service is given."""

    def test_every_version_can_be_asked_for(self):
        """No older version of an object makes the conversion fail."""
        checker().test_compatibility_routines(use_manifest=True)

    def test_fields_of_every_version(self):
        """A version has exactly the fields that it had in Nova."""
        for version in samples.VERSIONS:
            migration = samples.canonical('resize', 'confirming')

            data = samples.data_of(migration.obj_to_primitive(version))

            self.assertEqual(samples.fields_of(version), set(data), version)

    def test_newest_version_has_every_field(self):
        """The fields of the newest version are those of the class."""
        self.assertEqual(
            samples.fields_of(objects.Migration.VERSION),
            set(objects.Migration.fields),
        )

    def test_old_services_get_novas_string(self):
        """Below 1.9, status is the string that Nova has for the row."""
        for version in samples.VERSIONS[:-1]:
            for kind, word in samples.KNOWN:
                migration = samples.migration(
                    '1.8', migration_type=kind, status=word
                )

                data = samples.data_of(migration.obj_to_primitive(version))

                self.assertEqual(word, data['status'])
                self.assertIs(str, type(data['status']))

    def test_every_state_has_a_string_for_old_services(self):
        """Below 1.9, a canonical row's status is its state's own string."""
        for kind in MIGRATION_TYPES:
            for state, row in MACHINES[kind].states.items():
                migration = samples.canonical(kind, state)

                data = samples.data_of(migration.obj_to_primitive('1.8'))

                self.assertEqual(row.legacy, data['status'])

    def test_other_values_are_as_they_were(self):
        """All that 1.8 has besides status is given as it was taken."""
        sent = samples.primitive('1.8')

        given_back = samples.migration('1.8').obj_to_primitive('1.8')

        self.assertEqual(sent, given_back)

    def test_object_that_lacks_the_status(self):
        """An object that was never given a status can be sent back in time."""
        migration = objects.Migration(source_compute='a', dest_compute='b')

        for version in samples.VERSIONS:
            data = samples.data_of(migration.obj_to_primitive(version))

            self.assertEqual(
                {'source_compute': 'a', 'dest_compute': 'b'}, data
            )

    def test_list_is_sent_with_older_migrations(self):
        """A list is given to Nova 34 with migrations that it knows."""
        found = objects.MigrationList(
            objects=[samples.canonical('evacuation', 'evacuated')]
        )

        sent = found.obj_to_primitive(
            '1.5',
            version_manifest={'MigrationList': '1.5', 'Migration': '1.8'},
        )
        (inner,) = samples.data_of(sent)['objects']

        self.assertEqual('1.8', inner['nova_object.version'])
        self.assertEqual('done', samples.data_of(inner)['status'])
        self.assertNotIn('state', samples.data_of(inner))


class IntakeTest(base.TestCase):
    """What an older service sends."""

    def test_becomes_status_and_state(self):
        """Each string of a type is taken in as what it means."""
        for kind, word in samples.KNOWN:
            row = MACHINES[kind].state_of_legacy(word)

            migration = samples.migration(migration_type=kind, status=word)

            self.assertEqual(
                (row.status, row.name), (migration.status, migration.state)
            )
            self.assertEqual(set(), migration.obj_what_changed())
            self.assertEqual('1.9', migration.VERSION)

    def test_version_1_7(self):
        """What is sent without dest_compute_id is taken in without it."""
        migration = samples.migration('1.7', status='reverting')

        self.assertIs(MigrationState.REVERTING, migration.state)
        self.assertFalse(migration.obj_attr_is_set('dest_compute_id'))
        self.assertEqual(
            samples.primitive('1.7', status='reverting'),
            migration.obj_to_primitive('1.7'),
        )

    def test_version_1_1_has_no_type(self):
        """The type of an old row is worked out from its flavors."""
        for new_flavor, kind in ((1, 'migration'), (2, 'resize')):
            migration = samples.migration(
                '1.1', old_instance_type_id=1, new_instance_type_id=new_flavor
            )

            self.assertIs(
                MigrationState.AWAITING_CONFIRMATION, migration.state
            )
            self.assertEqual(kind, migration.migration_type)
            self.assertIs(False, migration.cross_cell_move)

    def test_every_version(self):
        """What any version sends is given back to it as it was."""
        for version in samples.VERSIONS[:-1]:
            sent = samples.primitive(version)

            given_back = samples.migration(version).obj_to_primitive(version)

            self.assertEqual(sent, given_back)

    def test_without_status(self):
        """An object that was sent without status has no state either."""
        sent = samples.primitive('1.8')
        del samples.data_of(sent)['status']

        migration = objects.Migration.obj_from_primitive(sent)

        self.assertFalse(migration.obj_attr_is_set('status'))
        self.assertIsNone(migration.state)
        self.assertEqual(sent, migration.obj_to_primitive('1.8'))

    def test_changed_status_is_a_report(self):
        """A status that an older service assigned is not a change to save."""
        migration = samples.migration(
            changes=['status', 'dest_host'], status='confirming'
        )

        self.assertEqual({'dest_host'}, migration.obj_what_changed())

    def test_clone_keeps_the_report(self):
        """A copy still has to report what the older service assigned."""
        migration = samples.migration(changes=['status'], status='confirming')

        self.assertEqual('confirming', migration._reported_status)
        self.assertEqual('confirming', migration.obj_clone()._reported_status)

    def test_reading_is_no_change(self):
        """What is worked out for an old service's object is not saved.

        Only what was assigned is: a row without a type keeps none.
        """
        for version in ('1.1', '1.5', '1.7'):
            migration = samples.migration(version)

            migration.get_legacy_status()
            migration.obj_to_primitive(version)
            migration.machine.name  # noqa: B018

            self.assertEqual(set(), migration.obj_what_changed(), version)

    def test_guard_is_closed_afterwards(self):
        """An object that was taken in is guarded like any other."""
        migration = samples.migration()

        self.assertRaises(
            exception.StateAssigned, setattr, migration, 'status', 'error'
        )

    @given(
        st.sampled_from(MIGRATION_TYPES),
        st.booleans(),
        st.none() | st.text(),
        st.sampled_from(samples.VERSIONS[6:9]),
    )
    def test_any_status_is_given_back(self, kind, cross, status, version):
        """Whatever an older service has for status, it gets back as it was."""
        migration = samples.migration(
            version, migration_type=kind, cross_cell_move=cross, status=status
        )

        given_back = samples.data_of(migration.obj_to_primitive(version))

        self.assertEqual(status, given_back['status'])

    @given(st.sampled_from(MIGRATION_TYPES), st.none() | st.text())
    def test_any_status_survives_newer_services(self, kind, status):
        """A status sent through services of 1.9 comes back as it was."""
        there = samples.migration(migration_type=kind, status=status)
        sent = there.obj_to_primitive()

        here = objects.Migration.obj_from_primitive(sent)

        self.assertEqual(sent, here.obj_to_primitive())
        self.assertEqual(status, here.get_legacy_status())

    def test_unknown_status_has_no_position(self):
        """A string that nobody knows is neither a status nor a state."""
        migration = samples.migration(status='Finished ')

        self.assertIsNone(migration.status)
        self.assertIsNone(migration.state)
        self.assertEqual('Finished ', migration.legacy_status)
        self.assertEqual('Finished ', migration.get_legacy_status())
        self.assertEqual((), migration.allowed_events)
        self.assertFalse(migration.is_in_progress)


class RoundTripTest(base.TestCase):
    """Version 1.9 to itself."""

    def test_every_state(self):
        """Each state of each type is sent and received as it is."""
        for kind in MIGRATION_TYPES:
            for state in MACHINES[kind].states:
                migration = samples.canonical(
                    kind, state, state_reason='why', legacy_status=None
                )
                sent = migration.obj_to_primitive()

                received = objects.Migration.obj_from_primitive(sent)

                self.assertEqual(sent, received.obj_to_primitive())
                self.assertEqual(state, received.state)
                self.assertEqual('why', received.state_reason)
                self.assertEqual(
                    datetime.UTC, received.state_changed_at.tzinfo
                )

    def test_changes_are_sent(self):
        """What was assigned and not saved is still to be saved there."""
        migration = samples.canonical('resize', 'migrating')
        migration.dest_host = '192.0.2.8'

        received = objects.Migration.obj_from_primitive(
            migration.obj_to_primitive()
        )

        self.assertEqual({'dest_host'}, received.obj_what_changed())

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                'state_reason': st.none() | st.text(),
                'legacy_status': st.none() | st.text(string.printable),
                'dest_host': st.none() | st.text(),
                'dest_compute_id': st.none() | st.integers(0, 2**31),
                'hidden': st.booleans(),
            },
        ),
        st.sampled_from(
            [(k, s) for k in MIGRATION_TYPES for s in MACHINES[k].states]
        ),
    )
    def test_any_values(self, values, position):
        """Whatever else a row holds is received as it was sent."""
        migration = samples.canonical(*position, **values)
        sent = migration.obj_to_primitive()

        received = objects.Migration.obj_from_primitive(sent)

        self.assertEqual(sent, received.obj_to_primitive())
        for name, value in values.items():
            self.assertEqual(value, getattr(received, name))


class CopyTest(base.TestCase):
    """Copies keep everything, and are independent."""

    def test_state_and_changes_are_kept(self):
        """deepcopy and obj_clone keep every field and what was changed."""
        migration = samples.canonical(
            'evacuation', 'evacuated', state_reason='why', legacy_status='odd'
        )
        migration.dest_host = '192.0.2.8'
        for twin in (migration.obj_clone(), copy.deepcopy(migration)):
            self.assertEqual(
                migration.obj_to_primitive(), twin.obj_to_primitive()
            )
            self.assertEqual({'dest_host'}, twin.obj_what_changed())
            self.assertIs(MigrationState.EVACUATED, twin.state)

    def test_copy_is_independent(self):
        """A change of the copy is none of the original."""
        migration = samples.canonical('evacuation', 'evacuated')
        twin = migration.obj_clone()

        twin.dest_host = '192.0.2.9'

        self.assertEqual('192.0.2.7', migration.dest_host)
        self.assertEqual(set(), migration.obj_what_changed())

    def test_copy_is_guarded(self):
        """A copy's status cannot be assigned either."""
        twin = samples.canonical('evacuation', 'evacuated').obj_clone()

        self.assertRaises(
            exception.StateAssigned, setattr, twin, 'state', 'completed'
        )

    def test_context_is_kept(self):
        """A copy works with the database of the original."""
        context = object()
        migration = samples.migration(context=context)

        self.assertIs(context, migration.obj_clone()._context)

    def test_unset_fields_stay_unset(self):
        """What was not given is not made up by copying."""
        migration = objects.Migration(id=1)

        twin = migration.obj_clone()

        self.assertEqual({'id': 1}, samples.data_of(twin.obj_to_primitive()))
        self.assertEqual({'id'}, twin.obj_what_changed())


class ReadingTest(base.TestCase):
    """The object and the pure reading agree."""

    @given(
        st.sampled_from(MIGRATION_TYPES), st.none() | st.text(), st.booleans()
    )
    def test_object_says_what_reading_says(self, kind, status, cross):
        """Taken from an older service, a row means what of_row() reads."""
        found = reading.of_row(kind, cross, status)

        migration = samples.migration(
            migration_type=kind, status=status, cross_cell_move=cross
        )

        self.assertEqual(
            found,
            reading.Reading(
                migration.status, migration.state, migration.legacy_status
            ),
        )
