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

"""A server that is evacuated again, though it has an open evacuation."""

import uuid

from nova import exception as nova_exception
from nova import objects as nova_objects

from nova_migration.db import api
from nova_migration.db import models
from tests.dropin import base
from tests.functional import base as functional_base
from tests.nova import rows

FORMS = (False, True)


class EvacuationsTest(base.DropinTest):
    """In both forms of a row."""

    def evacuation(self, state, *, canonical, host='host1', **values):
        """Insert an evacuation from a host."""
        return self.put(
            'evacuation',
            state,
            canonical=canonical,
            source_compute=host,
            **values,
        )

    def evacuate(self, host='host1', **values):
        """Create an evacuation as the API does; return its object."""
        known = {
            'instance_uuid': base.INSTANCE,
            'migration_type': 'evacuation',
            'status': 'accepted',
            'source_compute': host,
        }
        migration = nova_objects.Migration(
            self.nova_context, **{**known, **values}
        )
        migration.create()
        return migration

    def state(self, row_id):
        """Return the state of a row, whichever its form is."""
        return self.migration(row_id).state

    def found(self):
        """Return the row that a conductor takes for an evacuation."""
        return nova_objects.Migration.get_by_instance_and_status(
            self.nova_context, base.INSTANCE, 'accepted'
        ).id

    def each(self, *states, **values):
        """Yield the rows of some states, in the one form and the other."""
        for canonical in FORMS:
            yield [
                self.evacuation(state, canonical=canonical, **values)
                for state in states
            ]
            self.execute('DELETE FROM migrations')

    def test_newest(self):
        """Of two that are accepted, the conductor takes the newest."""
        for _older, newer in self.each('accepted', 'accepted'):
            self.assertEqual(newer, self.found())
        with self.assertRaisesRegex(
            nova_exception.MigrationNotFoundByStatus, 'accepted'
        ):
            self.found()

    def test_superseded(self):
        """A new one is in the place of one that nobody has claimed."""
        for (lost,) in self.each('accepted'):
            before = self.position(lost)
            new = self.evacuate()
            self.assertEqual('error', self.state(lost))
            self.assertEqual(before[1] is None, self.position(lost)[1] is None)
            self.assertIn(
                f'superseded by migration {new.uuid}',
                self.row(lost, models.MIGRATIONS).state_reason,
            )
            self.assertEqual(new.id, self.found())

    def test_superseded_elsewhere(self):
        """So it is when the server has moved to another host since."""
        for (lost,) in self.each('accepted', host='host3'):
            self.evacuate()
            self.assertEqual('error', self.state(lost))

    def test_goes_on_after_all(self):
        """Its worker, if there is one, is not held up, and is believed."""
        for (sent,) in self.each('accepted'):
            worker = self.sent(self.migration(sent))
            self.evacuate()
            for status in ('pre-migrating', 'done'):
                worker.status = status
                worker.save()
            self.assertEqual('evacuated', self.state(sent))

    def test_not_superseded(self):
        """What somebody may be at work on, or is over, stays as it is."""
        states = ('rebuilding', 'evacuated', 'completed', 'failed', 'error')
        for found in self.each(*states):
            self.evacuate()
            self.assertEqual(list(states), [self.state(id_) for id_ in found])

    def test_others_stay(self):
        """Other servers, other moves, and copies of rows end nothing."""
        for (mine,) in self.each('accepted'):
            self.evacuate(instance_uuid=rows.INSTANCES[1])
            self.evacuate(migration_type='live-migration')
            api_row = self.migration(mine)
            self.evacuate(
                uuid=str(uuid.uuid4()), created_at=api_row.created_at
            )
            self.evacuate(status='failed')
            self.assertEqual('accepted', self.state(mine))

    def test_off(self):
        """Where nothing is guarded, nothing is ended."""
        self.configure(mode='off')
        for (lost,) in self.each('accepted'):
            self.evacuate()
            self.assertEqual('accepted', self.state(lost))

    def test_source_returns(self):
        """What the source host cleans up is cleaned up for each row of it."""
        open_ = ('accepted', 'rebuilding', 'evacuated')
        for found in self.each(*open_, 'failed', 'error'):
            elsewhere = self.evacuation(
                'evacuated', canonical=False, host='host2'
            )
            self.assertEqual(
                [(base.INSTANCE, 'host1', 3)],
                [tuple(row) for row in api.get_evacuated_twice(self.db)],
            )
            returned = self.migration(found[1])
            returned.status = 'completed'
            returned.save()
            self.assertEqual(
                ['completed'] * 3 + ['failed', 'error'],
                [self.state(id_) for id_ in found],
            )
            self.assertEqual('evacuated', self.state(elsewhere))
            self.assertEqual([], api.get_evacuated_twice(self.db))
            self.assertIn(
                f'cleaned up with migration {returned.uuid}',
                self.row(found[0], models.MIGRATIONS).state_reason,
            )


functional_base.on_every_database(EvacuationsTest)
