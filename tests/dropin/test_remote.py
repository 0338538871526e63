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

"""A compute service has the object, and only a conductor the database."""

import contextlib

from nova import exception as nova_exception
from nova.conductor import manager as conductor_manager
from nova.objects import base as nova_objects_base
import oslo_messaging

from nova_migration.integration.dropin.report import Result
from nova_migration.states import MigrationState
from tests.dropin import base
from tests.functional import base as functional_base


class Conductor:
    """Does what a compute service asks for, and is sent primitives."""

    def __init__(self):
        # What it has beside the two methods opens connections.
        self.manager = object.__new__(conductor_manager.ConductorManager)

    @contextlib.contextmanager
    def _inside(self):
        """Have the database at hand, and tell an error as RPC does."""
        anything = nova_objects_base.NovaObject
        anything.indirection_api = None
        try:
            yield
        except oslo_messaging.ExpectedException as expected:
            raise expected.exc_info[1] from None
        finally:
            anything.indirection_api = self

    def object_action(self, context, migration, method, args, kwargs):
        """Run a method of an object, and return what it has changed."""
        with self._inside():
            received = base.received_from(migration, context)
            return self.manager.object_action(
                context, received, method, args, kwargs
            )

    def object_class_action_versions(
        self, context, name, method, versions, args, kwargs
    ):
        """Run a method of a class, and return the object."""
        with self._inside():
            found = self.manager.object_class_action_versions(
                context, name, method, versions, args, kwargs
            )
        return base.received_from(found, context)


class RemoteTest(base.DropinTest):
    """Every call of a migration's goes through a conductor."""

    backends = ('sqlite',)

    def setUp(self):
        super().setUp()
        anything = nova_objects_base.NovaObject
        self.addCleanup(
            setattr, anything, 'indirection_api', anything.indirection_api
        )
        anything.indirection_api = Conductor()

    def test_moved(self):
        """A report moves the row, and the object shows the new status."""
        row_id = self.put('live-migration', 'queued', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'preparing'
        migration.save()
        self.assertEqual('preparing', migration.status)
        self.assertEqual(
            ('preparing', 'preparing', None), self.position(row_id)
        )

    def test_late(self):
        """A late report is absorbed, and the object shows the row's status."""
        row_id = self.put('evacuation', 'completed', canonical=True)
        migration = self.migration(row_id)
        migration.process_event('finish')
        self.assertEqual('completed', migration.status)
        self.assertEqual(Result.ABSORBED, self.told[-1].result)

    def test_refused(self):
        """A refused status is taken back on both sides.

        The next save, of the progress say, must not ask for it again.
        """
        row_id = self.put('live-migration', 'postcopy', canonical=False)
        found = self.migration(row_id)
        for migration in (found, base.received_from(found, self.nova_context)):
            migration.status = 'queued'
            self.assertRaises(
                nova_exception.InstanceInvalidState, migration.save
            )
            self.assertEqual('running (post-copy)', migration.status)
            self.assertEqual(set(), migration.obj_what_changed())
            migration.memory_total = 5
            migration.save()
        self.assertEqual(5, self.row(row_id).memory_total)

    def test_refused_again(self):
        """What is taken back is what the row said when it was last moved."""
        row_id = self.put('live-migration', 'running', canonical=True)
        migration = self.migration(row_id)
        migration.process_event('switch_to_postcopy')
        migration.status = 'queued'
        self.assertRaises(nova_exception.InstanceInvalidState, migration.save)
        self.assertEqual('running (post-copy)', migration.status)

    def test_refused_event(self):
        """A refused event leaves the object where it was."""
        row_id = self.put('resize', 'confirmed', canonical=True)
        migration = self.migration(row_id)
        self.assertRaises(
            nova_exception.InstanceInvalidState,
            migration.process_event,
            'revert',
        )
        self.assertEqual(MigrationState.CONFIRMED, migration.state)
        self.assertEqual(set(), migration.obj_what_changed())


functional_base.on_every_database(RemoteTest)
