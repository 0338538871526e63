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

"""What a migration decides before it asks a database."""

from nova_migration import context as context_mod
from nova_migration import exception
from nova_migration import objects
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import UnknownWord
from tests import base
from tests.unit.objects import samples


def without_database(**data):
    """Return a context of a process that has no database."""
    return context_mod.RequestContext(**data)


class RefusedTest(base.TestCase):
    """What is refused is refused before anything is written."""

    def refused(self, migration, error, method, *args):
        """Call a method that must raise, and leave the object as it was."""
        before = migration.obj_to_primitive()
        raised = self.assertRaises(error, getattr(migration, method), *args)
        self.assertEqual(before, migration.obj_to_primitive())
        return raised

    def test_illegal_event(self):
        """An event without an edge names the events that there are."""
        migration = samples.canonical(
            'resize', 'migrating', context=without_database()
        )

        error = self.refused(
            migration,
            exception.InvalidTransition,
            'process_event',
            'finish_confirm',
        )

        self.assertEqual(
            (42, 'migrating', 'finish_confirm', 'resize', 'hand_over, fail'),
            (
                error.migration_id,
                error.state,
                error.event,
                error.machine,
                error.allowed,
            ),
        )

    def test_terminal_state(self):
        """From a terminal state nothing is allowed, and the error says so."""
        migration = samples.canonical(
            'evacuation', 'failed', context=without_database()
        )

        error = self.refused(
            migration,
            exception.InvalidTransition,
            'process_event',
            'finish',
        )

        self.assertEqual('nothing', error.allowed)

    def test_every_refusal_is_the_tables(self):
        """What the machine refuses, the object does, and the other way."""
        for kind in MIGRATION_TYPES:
            machine = MACHINES[kind]
            for state in machine.states:
                for event in machine.table.events:
                    migration = samples.canonical(
                        kind, state, context=without_database()
                    )
                    expected = (
                        exception.InvalidTransition
                        if machine.decide(state, event) is None
                        else exception.ObjectActionError
                    )
                    self.refused(migration, expected, 'process_event', event)

    def test_unknown_event(self):
        """A verb that the machine has not is answered with the nearest."""
        migration = samples.canonical(
            'live-migration', 'queued', context=without_database()
        )

        error = self.refused(
            migration, UnknownWord, 'process_event', 'prepair'
        )

        self.assertEqual(['prepare'], error.nearest)

    def test_unknown_status(self):
        """Nothing moves a row of which nobody knows where it is."""
        migration = samples.migration(status='Odd', context=without_database())
        for method, word in (
            ('process_event', 'confirm'),
            ('report_legacy_status', 'confirming'),
        ):
            error = self.refused(
                migration, exception.UnknownStatus, method, word
            )
            self.assertEqual(
                ('Odd', 'resize'), (error.status, error.migration_type)
            )

    def test_report_of_a_race(self):
        """A string of Nova that only a race would write is refused."""
        migration = samples.canonical(
            'resize', 'confirmed', context=without_database()
        )

        error = self.refused(
            migration,
            exception.InvalidTransition,
            'report_legacy_status',
            'confirming',
        )

        self.assertEqual('report of confirming', error.event)

    def test_report_of_another_types_string(self):
        """A string that the type never has is no report."""
        migration = samples.canonical(
            'resize', 'migrating', context=without_database()
        )

        self.refused(migration, UnknownWord, 'report_legacy_status', 'running')

    def test_no_database(self):
        """Without a database, the error says how to come by one."""
        migration = samples.canonical(
            'resize', 'migrating', context=without_database()
        )

        error = self.refused(
            migration,
            exception.ObjectActionError,
            'process_event',
            'hand_over',
        )

        self.assertIn('nova_migration.context', str(error))


class CreateTest(base.TestCase):
    """What a row must have before it is created."""

    def cannot(self, **values):
        """Try to create a migration that is lacking."""
        migration = objects.Migration(without_database(), **values)
        error = self.assertRaises(
            exception.ObjectActionError, migration.create
        )
        return error.reason

    def test_created_already(self):
        """A migration is created once."""
        self.assertEqual(
            'already created', self.cannot(id=1, migration_type='resize')
        )

    def test_without_a_type(self):
        """A migration has a type."""
        self.assertEqual(
            'migration_type is not set', self.cannot(dest_host='a')
        )

    def test_node_without_its_id(self):
        """A destination node comes with the id of its compute service."""
        self.assertEqual(
            'dest_node is set but not dest_compute_id',
            self.cannot(migration_type='resize', dest_node='node-b'),
        )

    def test_who_asks_is_filled_in(self):
        """User and project are the context's, and a uuid is made up."""
        migration = objects.Migration(
            without_database(user_id='alice', project_id='demo'),
            migration_type='resize',
        )

        self.assertRaises(exception.ObjectActionError, migration.create)

        self.assertEqual(
            ('alice', 'demo'), (migration.user_id, migration.project_id)
        )
        self.assertTrue(migration.obj_attr_is_set('uuid'))


class QuestionsTest(base.TestCase):
    """What can be asked of a migration."""

    def test_flags_are_the_tables(self):
        """A question has the answer that the state's row gives."""
        for kind in MIGRATION_TYPES:
            for state, row in MACHINES[kind].states.items():
                migration = samples.canonical(kind, state)

                self.assertEqual(
                    set(row.flags),
                    {f for f in MigrationFlag if migration.has_flag(f)},
                )
                self.assertEqual(
                    MigrationFlag.IN_PROGRESS in row.flags,
                    migration.is_in_progress,
                )
                self.assertEqual(
                    MACHINES[kind].events_from(state),
                    migration.allowed_events,
                )

    def test_machine(self):
        """The type and whether it is cross-cell choose the machine."""
        for cross, name in ((False, 'resize'), (True, 'cross-cell')):
            migration = samples.canonical(
                'resize', 'migrating', cross_cell_move=cross
            )

            self.assertIs(MACHINES[name], migration.machine)

    def test_kinds(self):
        """A migration knows what kind of move it is."""
        live = samples.canonical('live-migration', 'running')
        resize = samples.canonical('resize', 'migrating')
        same_host = samples.canonical(
            'resize', 'migrating', dest_node='node-a'
        )

        self.assertEqual(
            [(True, False, False), (False, True, False), (False, True, True)],
            [
                (m.is_live_migration, m.is_resize, m.is_same_host_resize)
                for m in (live, resize, same_host)
            ],
        )

    def test_what_an_older_service_does_not_send(self):
        """Fields of newer versions are asked for and found empty."""
        migration = samples.migration('1.1')

        self.assertIs(False, migration.hidden)
        self.assertIsNone(migration.state_reason)
        self.assertIsNone(migration.state_changed_at)

    def test_field_that_was_not_sent(self):
        """A field that cannot be made up is an error, not None."""
        migration = samples.migration('1.1')

        self.assertRaises(
            NotImplementedError, getattr, migration, 'memory_total'
        )
