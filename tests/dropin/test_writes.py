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

"""Every status that Nova writes goes through the machine."""

import datetime
import threading
import time
import uuid

from nova import exception as nova_exception
from nova import objects as nova_objects
from nova.api.openstack import common
from nova.conductor.tasks import cross_cell_migrate
from nova.db.main import api as nova_db_api
from nova.db.main import models as nova_models
from oslo_db import exception as db_exc
from oslo_utils import timeutils
import sqlalchemy as sa
import webob.exc

from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.integration.dropin import guard
from nova_migration.integration.dropin.report import Result
from nova_migration.states import LOOK
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState
from nova_migration.states import UnknownWord
from nova_migration.states import registry
from tests.dropin import base
from tests.functional import base as functional_base

FORMS = (False, True)

#: Status, state and kept string of rows that nobody knows, and of one that
#: the operator has mapped.
UNKNOWN = (
    ('goofballs', None, None),
    (None, None, None),
    ('error', 'error', 'goofballs'),
)

#: What a database calls the check that contract adds.
CONSTRAINTS = {
    'sqlite': models.constraint_name(models.MIGRATIONS),
    'mysql': 'migrations.state',
    'postgresql': models.constraint_name(models.MIGRATIONS),
}
_SECOND = datetime.timedelta(seconds=1)


def kinds():
    """Yield each machine with what its rows have."""
    for kind in MIGRATION_TYPES:
        yield kind, False, MACHINES[kind]
    yield 'resize', True, registry.machine_for('resize', True)


class EdgesTest(base.DropinTest):
    """Each step of each machine, in both forms of a row."""

    def test_every_edge(self):
        """Each edge is taken by assigning Nova's string and saving."""
        for canonical in FORMS:
            for kind, cross, machine in kinds():
                for edge in machine.table.edges:
                    self.check_edge(kind, cross, machine, edge, canonical)

    def check_edge(self, kind, cross, machine, edge, canonical):
        """Expect the row and the object to have moved, the form kept."""
        row_id = self.put(
            kind, edge.source, canonical=canonical, cross_cell_move=cross
        )
        target = machine.state(edge.target)
        migration = self.migration(row_id)
        self.assertEqual(machine.state(edge.source).legacy, migration.status)
        migration.status = machine.state(edge.named).legacy
        migration.save()
        self.assertEqual(target.legacy, migration.status)
        self.assertEqual(target.name, migration.state)
        self.assertEqual(set(), migration.obj_what_changed())
        expected = (target.legacy, None, None)
        if canonical:
            expected = (target.status, target.name, None)
        self.assertEqual(expected, self.position(row_id), edge)
        row = self.row(row_id)
        self.assertIsNotNone(row.updated_at)
        # Nova's column holds whole seconds on MariaDB.
        self.assertLess(row.state_changed_at - row.updated_at, _SECOND)
        told = self.told[-1]
        self.assertEqual(
            (Result.MOVED, target.name, canonical),
            (told.result, told.state, told.canonical),
        )

    def test_every_absorbed_report(self):
        """A late report leaves the row, and the object shows what it says."""
        for canonical in FORMS:
            for kind, cross, machine in kinds():
                for pair in machine.table.absorbed:
                    self.check_absorbed(kind, cross, machine, pair, canonical)

    def check_absorbed(self, kind, cross, machine, pair, canonical):
        """Expect nothing but a reason, which is kept once."""
        row_id = self.put(
            kind, pair.state, canonical=canonical, cross_cell_move=cross
        )
        before = self.position(row_id)
        event = pair.event
        target = next(
            e.target for e in machine.table.edges if e.event == event
        )
        for _time in range(2):
            migration = self.migration(row_id)
            migration.status = machine.state(target).legacy
            migration.save()
            self.assertEqual(
                machine.state(pair.state).legacy, migration.status, pair
            )
        self.assertEqual(before, self.position(row_id))
        row = self.row(row_id)
        self.assertIsNone(row.updated_at)
        # Said again of where the row is, there is nothing to report.
        if target != pair.state:
            self.assertEqual(Result.ABSORBED, self.told[-1].result)
            self.assertEqual(pair.contradicts, self.told[-1].contradicts)
            self.assertEqual(1, row.state_reason.count('late'))

    def test_every_refusal(self):
        """What is neither an edge nor late is refused and changes nothing."""
        for canonical in FORMS:
            for kind, cross, machine in kinds():
                for state in machine.states:
                    self.check_refusals(kind, cross, machine, state, canonical)

    def check_refusals(self, kind, cross, machine, state, canonical):
        """Expect an error for each step that is not in the table."""
        row_id = self.put(
            kind, state, canonical=canonical, cross_cell_move=cross
        )
        before = self.row(row_id)
        for target in self.refused_from(machine, state):
            migration = self.migration(row_id)
            migration.status = machine.state(target).legacy
            self.assertRaises(
                nova_exception.InstanceInvalidState, migration.save
            )
            self.assertEqual(machine.state(state).legacy, migration.status)
            self.assertEqual(set(), migration.obj_what_changed())
            self.assertEqual(before, self.row(row_id))
            self.assertEqual(Result.REFUSED, self.told[-1].result)

    @staticmethod
    def refused_from(machine, state):
        """Yield the states that no edge, nor a late report, leads to."""
        rows = [(e.source, e.event, e.named) for e in machine.table.edges]
        named = {event: name for _source, event, name in rows}
        known = {(source, name) for source, _event, name in rows}
        known |= {(a.state, named[a.event]) for a in machine.table.absorbed}
        for name in machine.states:
            if name != state and (state, name) not in known:
                yield name


class ErrorTest(base.DropinTest):
    """What was taken for failed goes on, as in a Nova that guards nothing."""

    def save(self, migration, *statuses):
        """Report statuses with one object, as one worker does."""
        for status in statuses:
            migration.status = status
            migration.save()
            self.assertEqual(status, migration.status)

    def mark(self, row_id):
        """Write error, as a resource tracker does from its own list."""
        self.save(self.migration(row_id), 'error')

    def check_life(self, kind, life, last):
        """Expect each step of a life to be taken from an error, too."""
        for canonical in FORMS:
            machine = MACHINES[kind]
            row_id = self.put(
                kind, machine.table.start.name, canonical=canonical
            )
            worker = self.migration(row_id)
            for status in life:
                self.mark(row_id)
                self.save(worker, status)
            self.assertEqual(last, self.migration(row_id).state)
            self.assertNotIn(
                Result.REFUSED, {told.result for told in self.told}
            )

    def test_live_migration(self):
        """A live migration that goes on is not held up on its way."""
        begin = ('queued', 'preparing', 'running')
        for end, last in (
            (('running (post-copy)', 'completed'), 'completed'),
            (('completed',), 'completed'),
            (('cancelled',), 'cancelled'),
            (('failed',), 'failed'),
        ):
            self.check_life('live-migration', (*begin, *end), last)

    def test_cold(self):
        """A resize that goes on is not, either."""
        life = ('pre-migrating', 'migrating', 'post-migrating', 'finished')
        for kind in ('resize', 'migration'):
            self.check_life(kind, life, 'awaiting-confirmation')

    def test_decided(self):
        """What was decided is done, though somebody had given it up."""
        for canonical in FORMS:
            for decided, done in (
                ('confirming', 'confirmed'),
                ('reverting', 'reverted'),
            ):
                row_id = self.put('resize', decided, canonical=canonical)
                worker = self.migration(row_id)
                self.mark(row_id)
                self.save(worker, done)

    def test_given_up_evacuation(self):
        """The source host that returns finds what was given up and done.

        It would leave its guest running beside the one that was rebuilt.
        """
        for canonical in FORMS:
            row_id = self.put('evacuation', 'rebuilding', canonical=canonical)
            worker = self.migration(row_id)
            self.migration(row_id).process_event('fail')
            self.save(worker, 'done')
            self.assertTrue(worker.has_flag(MigrationFlag.DOOMED_SOURCE))
            found = nova_objects.MigrationList.get_by_filters(
                self.nova_context,
                {'status': ['accepted', 'pre-migrating', 'done']},
            )
            self.assertIn(row_id, [each.id for each in found])

    def test_failed_evacuation(self):
        """A rebuild that was declared failed cannot be done in silence."""
        for canonical in FORMS:
            row_id = self.put('evacuation', 'failed', canonical=canonical)
            worker = self.migration(row_id)
            worker.status = 'done'
            self.assertRaises(nova_exception.InstanceInvalidState, worker.save)

    def test_source_returns_before_the_claim(self):
        """The rebuild goes on, with all else that the claim writes."""
        for canonical in FORMS:
            row_id = self.put('evacuation', 'accepted', canonical=canonical)
            claimed = self.migration(row_id)
            self.save(self.migration(row_id), 'completed')
            claimed.status = 'pre-migrating'
            claimed.dest_compute = 'host2'
            claimed.save()
            self.assertEqual('completed', claimed.status)
            self.assertEqual('host2', self.row(row_id).dest_compute)
            claimed.status = 'done'
            claimed.save()
            self.assertEqual('completed', claimed.status)

    def test_rebuild_in_place(self):
        """A stale evacuation that a rebuild takes for its own has failed.

        With done, the host would destroy the guest when it restarts.
        """
        for canonical in FORMS:
            row_id = self.put('evacuation', 'accepted', canonical=canonical)
            migration = self.migration(row_id)
            migration.status = 'done'
            migration.save()
            self.assertEqual('failed', migration.status)
            expected = 'failed' if canonical else None
            self.assertEqual(('failed', expected, None), self.position(row_id))
            self.assertEqual(
                (Result.MOVED, 'done', 'failed'),
                (self.told[-1].result, self.told[-1].asked, migration.state),
            )
            self.assertTrue(self.told[-1].replaced)

    def test_rebuild_in_place_unguarded(self):
        """Where nothing is guarded, what Nova says is written."""
        self.configure(mode='off')
        for canonical in FORMS:
            row_id = self.put('evacuation', 'accepted', canonical=canonical)
            self.save(self.migration(row_id), 'done')

    def test_contradiction(self):
        """Somebody is told to look when a report cannot be true of its row."""
        row_id = self.put('live-migration', 'completed', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'failed'
        migration.save()
        self.assertEqual('completed', migration.status)
        self.assertTrue(self.told[-1].contradicts)
        self.assertIn(LOOK, self.log.output)


class SavingTest(base.DropinTest):
    """What is a report and what is not."""

    def test_other_fields(self):
        """Saving progress moves nothing, whatever the row says by then."""
        for canonical in FORMS:
            row_id = self.put('live-migration', 'running', canonical=canonical)
            old = self.migration(row_id)
            self.move(row_id, 'completed')
            before = self.position(row_id)
            told = len(self.told)
            old.memory_total = 17
            old.save()
            self.assertEqual('completed', old.status)
            self.assertEqual(17, self.row(row_id).memory_total)
            self.assertEqual(before, self.position(row_id))
            self.assertEqual(told, len(self.told))

    def move(self, row_id, status):
        """Move a row as somebody else would."""
        migration = self.migration(row_id)
        migration.status = status
        migration.save()

    def test_status_with_other_fields(self):
        """What is saved with a status is saved with it."""
        row_id = self.put('resize', 'pre-migrating', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'pre-migrating'
        migration.dest_compute = 'host2'
        migration.save()
        self.assertEqual('host2', self.row(row_id).dest_compute)
        self.assertEqual('claim', self.told[-1].event)

    def test_late_status_with_other_fields(self):
        """What is saved with a late report is saved without it."""
        row_id = self.put('evacuation', 'completed', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'done'
        migration.dest_compute = 'host2'
        migration.save()
        self.assertEqual('completed', migration.status)
        self.assertEqual('host2', self.row(row_id).dest_compute)
        self.assertIsNotNone(self.row(row_id).updated_at)

    def test_refused_status_with_other_fields(self):
        """What is saved with a refused status is not saved."""
        row_id = self.put('resize', 'confirmed', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'reverting'
        migration.dest_compute = 'host2'
        self.assertRaises(nova_exception.InstanceInvalidState, migration.save)
        self.assertIsNone(self.row(row_id).dest_compute)

    def test_refused_status_is_forgotten(self):
        """The next save does not ask for a refused status again."""
        row_id = self.put('live-migration', 'postcopy', canonical=False)
        migration = self.migration(row_id)
        migration.status = 'queued'
        self.assertRaises(nova_exception.InstanceInvalidState, migration.save)
        migration.memory_total = 5
        migration.save()
        self.assertEqual('running (post-copy)', migration.status)

    def test_stale_object(self):
        """An object from before loses against the row."""
        for canonical in FORMS:
            row_id = self.put(
                'resize', 'awaiting-confirmation', canonical=canonical
            )
            stale = self.migration(row_id)
            self.move(row_id, 'confirming')
            self.move(row_id, 'confirmed')
            for status in ('confirming', 'reverting'):
                stale.status = status
                self.assertRaises(
                    nova_exception.InstanceInvalidState, stale.save
                )
            self.assertEqual('confirmed', self.migration(row_id).status)

    def test_stale_error(self):
        """An error about waiting is late when somebody has decided.

        With an object as it is read, and with one that came over RPC.
        """
        row_id = self.put('resize', 'awaiting-confirmation', canonical=True)
        for over_rpc in FORMS:
            stale = self.migration(row_id)
            if over_rpc:
                stale.updated_at = timeutils.utcnow(
                    with_timezone=True
                ) - datetime.timedelta(minutes=1)
                stale.obj_reset_changes(fields=['updated_at'])
            else:
                self.move(row_id, 'reverting')
            stale.status = 'error'
            if over_rpc:
                stale = self.sent(stale)
            stale.save()
            self.assertEqual('reverting', stale.status)
            self.assertEqual(Result.ABSORBED, self.told[-1].result)
        self.assertIn('error', self.row(row_id).state_reason)

    def test_error_with_what_was_sent(self):
        """Who has the database and was sent the decision may fail with it."""
        row_id = self.put('resize', 'awaiting-confirmation', canonical=True)
        self.move(row_id, 'confirming')
        migration = self.sent(self.migration(row_id))
        migration.updated_at = timeutils.utcnow(
            with_timezone=True
        ) - datetime.timedelta(minutes=1)
        migration.obj_reset_changes(fields=['updated_at'])
        migration.status = 'error'
        migration.save()
        self.assertEqual(('error', 'error', None), self.position(row_id))

    def test_changed_object_from_rpc(self):
        """A conductor moves the row that a compute service reports on."""
        row_id = self.put('live-migration', 'queued', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'preparing'
        received = self.sent(migration)
        self.assertIs(type(migration), type(received))
        received.save()
        self.assertEqual(
            ('preparing', 'preparing', None), self.position(row_id)
        )

    def test_copied_fields(self):
        """Copying a row's own status back is no report.

        The conductor copies each field of a cross-cell move's other row.
        """
        row_id = self.put('resize', 'post-migrating', canonical=True)
        migration = self.migration(row_id)
        task = cross_cell_migrate.RevertResizeTask
        task._update_source_obj_from_target_cell(
            migration, self.migration(row_id)
        )
        self.assertIn('status', migration.obj_what_changed())
        before = self.position(row_id)
        migration.save()
        self.assertEqual(before, self.position(row_id))
        self.assertEqual(Result.UNCHANGED, self.told[-1].result)
        self.assertIsNone(self.row(row_id).state_reason)

    def test_copied_unknown_fields(self):
        """What nobody knows, or was mapped, is copied back, too."""
        for position in UNKNOWN:
            row_id = self.put_unknown(position)
            for mode in ('enforce', 'warn', 'off'):
                self.configure(mode=mode)
                migration = self.migration(row_id)
                migration.status = migration.status
                self.assertIn('status', migration.obj_what_changed())
                before = self.row(row_id)
                migration.save()
                self.assertEqual(before, self.row(row_id))
                self.assertEqual(Result.UNCHANGED, self.told[-1].result)

    def test_clone(self):
        """A clone is saved as what it was made from."""
        row_id = self.put('resize', 'post-migrating', canonical=True)
        clone = self.migration(row_id).obj_clone()
        self.assertEqual([], self.told)
        clone._context = self.nova_context
        clone.status = 'finished'
        clone.save()
        self.assertEqual('awaiting-confirmation', clone.state)

    def test_typo(self):
        """A status that is none is refused."""
        for canonical in FORMS:
            row_id = self.put('resize', 'post-migrating', canonical=canonical)
            migration = self.migration(row_id)
            migration.status = 'finnished'
            error = self.assertRaises(
                nova_exception.InstanceInvalidState, migration.save
            )
            self.assertRaises(
                webob.exc.HTTPConflict,
                common.raise_http_conflict_for_instance_invalid_state,
                error,
                'confirmResize',
                base.INSTANCE,
            )
            self.assertIn("did you mean 'finished'", self.log.output)

    def test_unknown_row(self):
        """A row that nobody can read may be moved anywhere, as in Nova."""
        for status in ('goofballs', None):
            row_id = self.put('resize', 'migrating', canonical=False)
            self.execute(
                'UPDATE migrations SET status = :status WHERE id = :id',
                status=status,
                id=row_id,
            )
            migration = self.migration(row_id)
            self.assertEqual(status, migration.status)
            self.assertIsNone(migration.state)
            migration.status = 'error'
            migration.save()
            self.assertEqual(('error', None, None), self.position(row_id))

    def test_soft_deleted_row(self):
        """A row that was soft-deleted with its instance is moved, too."""
        row_id = self.put(
            'resize', 'confirming', canonical=True, deleted_at=None
        )
        self.execute('UPDATE migrations SET deleted = id')
        self.move(row_id, 'confirmed')
        self.assertEqual(
            ('confirmed', 'confirmed', None), self.position(row_id)
        )

    def test_no_row(self):
        """A row that is gone is told of as in Nova."""
        row_id = self.put('resize', 'confirming', canonical=True)
        migration = self.migration(row_id)
        self.execute('DELETE FROM migrations')
        migration.status = 'confirmed'
        self.assertRaises(nova_exception.MigrationNotFound, migration.save)

    def test_process_event(self):
        """Code that was ported names what happens."""
        for canonical in FORMS:
            row_id = self.put('evacuation', 'accepted', canonical=canonical)
            migration = self.migration(row_id)
            self.assertIn('rebuild', migration.allowed_events)
            migration.process_event('rebuild')
            self.assertEqual(MigrationState.REBUILDING, migration.state)
            self.assertTrue(migration.is_in_progress)
            self.assertTrue(migration.has_flag(MigrationFlag.DOOMED_SOURCE))
            self.assertEqual('pre-migrating', migration.status)

    def test_event_of_a_stale_object(self):
        """The row decides on an event, and not what the object has seen."""
        for canonical in FORMS:
            row_id = self.put('live-migration', 'queued', canonical=canonical)
            stale = self.migration(row_id)
            self.assertNotIn('run', stale.allowed_events)
            self.move(row_id, 'preparing')
            stale.process_event('run')
            self.assertEqual(MigrationState.RUNNING, stale.state)

    def test_refused_event(self):
        """A refused event leaves the object as it was."""
        for canonical in FORMS:
            row_id = self.put('resize', 'confirmed', canonical=canonical)
            migration = self.migration(row_id)
            self.assertRaises(
                nova_exception.InstanceInvalidState,
                migration.process_event,
                'revert',
            )
            self.assertEqual(MigrationState.CONFIRMED, migration.state)
            self.assertEqual(set(), migration.obj_what_changed())

    def test_event_twice(self):
        """What an object has seen happen does not happen again."""
        for canonical in FORMS:
            row_id = self.put(
                'resize', 'awaiting-confirmation', canonical=canonical
            )
            migration = self.migration(row_id)
            migration.process_event('confirm')
            for seen in (migration, self.migration(row_id)):
                self.assertRaises(
                    nova_exception.InstanceInvalidState,
                    seen.process_event,
                    'confirm',
                )
            self.assertEqual(MigrationState.CONFIRMING, migration.state)

    def test_unknown_event(self):
        """An event that the machine has not is told from what is near."""
        row_id = self.put('resize', 'migrating', canonical=True)
        migration = self.migration(row_id)
        error = self.assertRaises(
            UnknownWord, migration.process_event, 'confrim'
        )
        self.assertIn("did you mean 'confirm'", str(error))
        self.assertEqual(set(), migration.obj_what_changed())


class CreatingTest(base.DropinTest):
    """What a row may begin with, and in which form."""

    def new(self, kind, status, **values):
        """Return an object that has not been created."""
        return nova_objects.Migration(
            self.nova_context,
            instance_uuid=base.INSTANCE,
            migration_type=kind,
            status=status,
            **values,
        )

    def test_in_either_form(self):
        """A new row has the form that is configured."""
        for form, canonical in (('legacy', False), ('canonical', True)):
            self.configure(status_format=form)
            for kind in MIGRATION_TYPES:
                start = MACHINES[kind].table.start
                migration = self.new(kind, start.legacy)
                migration.create()
                self.assertEqual(start.legacy, migration.status)
                self.assertEqual(start.name, migration.state)
                expected = (start.legacy, None, None)
                if canonical:
                    expected = (start.status, start.name, None)
                self.assertEqual(expected, self.position(migration.id))
                self.assertEqual(Result.CREATED, self.told[-1].result)

    def test_as_nova_does(self):
        """Every column has what Nova gives it, and ours the time."""
        values = {'dest_compute': 'host2', 'memory_total': 5}
        created = self.new('live-migration', 'accepted', **values)
        created.create()
        original = nova_db_api.migration_create.nova_migration_guards
        novas = original(
            self.nova_context,
            {
                'instance_uuid': base.INSTANCE,
                'migration_type': 'live-migration',
                'status': 'accepted',
                'user_id': created.user_id,
                'project_id': created.project_id,
                **values,
            },
        )
        differing = {'id', 'uuid', 'created_at', 'state_changed_at'}
        ours = self.row(created.id)._asdict()
        theirs = self.row(novas.id)._asdict()
        self.assertEqual(
            set(), {n for n in ours if ours[n] != theirs[n]} - differing
        )
        self.assertIsNotNone(ours['created_at'])
        self.assertIsNotNone(ours['state_changed_at'])

    def test_claimed_evacuation(self):
        """The resource tracker may create an evacuation when it claims it."""
        migration = self.new('evacuation', 'pre-migrating')
        migration.create()
        self.assertEqual(MigrationState.REBUILDING, migration.state)

    def test_unknown_string(self):
        """No move begins with a typo, nor with another type's string."""
        for kind, status in (
            ('live-migration', 'acepted'),
            ('migration', 'accepted'),
        ):
            migration = self.new(kind, status)
            self.assertRaises(
                nova_exception.InstanceInvalidState, migration.create
            )
        self.assertEqual([], self.rows())

    def test_copies(self):
        """A cross-cell move copies the rows of an instance as they are."""
        self.configure(status_format='canonical')
        for kind in MIGRATION_TYPES:
            for state in MACHINES[kind].table.states:
                row_id = self.put(
                    kind,
                    state.name,
                    canonical=False,
                    created_at=timeutils.utcnow(),
                    updated_at=timeutils.utcnow(),
                )
                self.check_copy(self.migration(row_id), state)

    def check_copy(self, source, state):
        """Expect a copy in the form that is configured, and all else."""
        copy = cross_cell_migrate.clone_creatable_object(
            self.nova_context, source
        )
        # In the other cell there is no row of this uuid.
        self.execute('UPDATE migrations SET uuid = NULL')
        copy.create()
        self.assertEqual(state.legacy, copy.status)
        self.assertEqual(
            (state.status, state.name, None), self.position(copy.id)
        )
        self.assertEqual(source.uuid, copy.uuid)
        self.assertEqual(source.created_at, copy.created_at)

    def test_copies_of_unknown_rows(self):
        """What nobody knows is copied, and what was mapped as it was."""
        for form in ('legacy', 'canonical'):
            self.configure(status_format=form)
            for position in UNKNOWN:
                source = self.migration(self.put_unknown(position))
                copy = cross_cell_migrate.clone_creatable_object(
                    self.nova_context, source
                )
                self.execute('UPDATE migrations SET uuid = NULL')
                copy.create()
                self.assertEqual(source.status, copy.status)
                self.assertEqual(
                    (source.status, None, None), self.position(copy.id)
                )
                self.assertEqual(Result.CREATED, self.told[-1].result)

    def test_odd_string(self):
        """A string of an old release is kept, and found again."""
        self.configure(status_format='canonical')
        copy = self.new(
            'live-migration',
            'done',
            created_at=timeutils.utcnow(with_timezone=True),
        )
        copy.create()
        self.assertEqual('done', copy.status)
        self.assertEqual(
            ('completed', 'completed', 'done'), self.position(copy.id)
        )

    def test_legacy_rows_after_contract(self):
        """What nobody can read, and who was left behind, the database refuses.

        A mapped row is copied as Nova shows it, in any configuration.
        """
        source = self.migration(self.put_unknown(UNKNOWN[-1]))
        schema.contract(self.db)
        before = self.rows()
        for form, migration in (
            ('legacy', self.new('resize', 'pre-migrating')),
            (
                'canonical',
                cross_cell_migrate.clone_creatable_object(
                    self.nova_context, source
                ),
            ),
        ):
            self.configure(status_format=form)
            migration.uuid = str(uuid.uuid4())
            # oslo.db does not know this error of MariaDB.
            expected = db_exc.DBError
            if self.BACKEND == 'mysql':
                expected = sa.exc.OperationalError
            error = self.assertRaises(expected, migration.create)
            self.assertIn(CONSTRAINTS[self.BACKEND], str(error))
            self.assertEqual(before, self.rows())
            self.assertEqual([], self.told)

    def test_without_status(self):
        """A row without a status is created as in Nova."""
        self.configure(status_format='canonical')
        migration = nova_objects.Migration(
            self.nova_context,
            instance_uuid=base.INSTANCE,
            migration_type='resize',
        )
        migration.create()
        self.assertIsNone(migration.status)
        self.assertEqual((None, None, None), self.position(migration.id))


class ModesTest(base.DropinTest):
    """Lenient modes write what enforce refuses, in the row's own form."""

    def write(self, kind, state, status, *, canonical):
        """Write over a row; return what it says then."""
        row_id = self.put(kind, state, canonical=canonical)
        migration = self.migration(row_id)
        migration.status = status
        migration.save()
        self.assertEqual(status, migration.status)
        return self.position(row_id)

    def test_unlawful(self):
        """A known status keeps the form, with the state that it means."""
        for mode in ('warn', 'off'):
            self.configure(mode=mode)
            written = self.write(
                'resize', 'confirmed', 'finished', canonical=False
            )
            self.assertEqual(('finished', None, None), written)
            written = self.write(
                'resize', 'confirmed', 'finished', canonical=True
            )
            self.assertEqual(
                ('completed', 'awaiting-confirmation', None), written
            )

    def test_unknown(self):
        """A string that nobody knows makes a legacy row."""
        for mode in ('warn', 'off'):
            self.configure(mode=mode)
            for canonical in FORMS:
                written = self.write(
                    'resize', 'confirmed', 'goofballs', canonical=canonical
                )
                self.assertEqual(('goofballs', None, None), written)

    def test_warn_says_so(self):
        """The log has what enforce would have refused."""
        self.configure(mode='warn')
        self.write('resize', 'confirmed', 'finished', canonical=True)
        self.assertEqual(Result.LET_THROUGH, self.told[-1].result)
        self.assertIn("'finished' is let-through", self.log.output)

    def test_bulk(self):
        """A write in bulk is logged in the mode warn, and silent in off."""
        for mode, logged in (('off', 0), ('warn', 1)):
            self.configure(mode=mode)
            row_id = self.put('resize', 'migrating', canonical=False)
            with nova_db_api.get_context_manager(
                self.nova_context
            ).writer.using(self.nova_context) as session:
                found = session.query(nova_models.Migration)
                found.filter_by(id=row_id).update({'status': 'error'})
            self.assertEqual('error', self.position(row_id)[0])
            self.assertEqual(logged, self.log.output.count('let through'))
            self.assertNotIn('nothing was written', self.log.output)

    def test_warn_absorbs(self):
        """What is late changes nothing in the mode warn."""
        self.configure(mode='warn')
        row_id = self.put('evacuation', 'completed', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'done'
        migration.save()
        self.assertEqual('completed', migration.status)

    def test_off_says_nothing(self):
        """What is late is written where nothing is guarded."""
        self.configure(mode='off')
        self.assertEqual(
            ('completed', 'evacuated', None),
            self.write('evacuation', 'completed', 'done', canonical=True),
        )
        self.assertEqual([], self.told)

    def test_off_leaves_what_is_so(self):
        """Nova writes no time where nothing differs, and so it is."""
        self.configure(mode='off')
        for canonical in FORMS:
            for state, status in (
                ('post-migrating', 'post-migrating'),
                ('error', 'error'),
            ):
                row_id = self.put('resize', state, canonical=canonical)
                before = self.row(row_id)
                for over_rpc in (False, True):
                    migration = self.migration(row_id)
                    migration.status = status
                    if over_rpc:
                        migration = self.sent(migration)
                    migration.save()
                    self.assertEqual(before, self.row(row_id))

    def test_creating(self):
        """A row that begins with a string that nobody knows is let through."""
        for mode in ('warn', 'off'):
            self.configure(mode=mode, status_format='canonical')
            for status, expected in (
                ('finished', ('completed', 'awaiting-confirmation', None)),
                ('goofballs', ('goofballs', None, None)),
            ):
                migration = nova_objects.Migration(
                    self.nova_context,
                    instance_uuid=base.INSTANCE,
                    migration_type='resize',
                    status=status,
                )
                migration.create()
                self.assertEqual(expected, self.position(migration.id))


class RaceTest(base.DropinTest):
    """Two writers of one row."""

    @functional_base.only_on('mysql', 'postgresql')
    def test_waiting_for_the_other(self):
        """A report waits for a writer, and is judged by what he wrote."""
        row_id = self.put('evacuation', 'rebuilding', canonical=True)
        migration = self.migration(row_id)
        migration.status = 'done'
        saving = threading.Thread(target=migration.save)
        with self.plain.begin() as connection:
            connection.execute(
                sa.update(models.MIGRATIONS)
                .where(models.MIGRATIONS.c.id == row_id)
                .values(status='completed', state='completed')
            )
            saving.start()
            self.addCleanup(saving.join)
            self.wait_for_reader()
        saving.join()
        self.assertEqual('completed', migration.status)
        self.assertEqual(
            ('completed', 'completed', None), self.position(row_id)
        )

    def wait_for_reader(self):
        """Wait until somebody's locking SELECT waits."""
        query = {
            'mysql': 'SELECT count(*) FROM information_schema.processlist'
            " WHERE db = database() AND info LIKE '%FOR UPDATE'"
            ' AND time_ms > 300',
            'postgresql': 'SELECT count(*) FROM pg_stat_activity'
            ' WHERE datname = current_database()'
            " AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE'",
        }[self.BACKEND]
        watch = self.open()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with watch.engine.connect() as connection:
                if connection.scalar(sa.text(query)):
                    return
            time.sleep(0.05)
        self.fail('nobody waited for a lock')

    @functional_base.only_on('mysql')
    def test_older_snapshot(self):
        """A transaction that has read before sees what is there now."""
        row_id = self.put('resize', 'awaiting-confirmation', canonical=True)
        manager = self.nova_context.db_connection
        with manager.writer.using(self.nova_context):
            migration = self.migration(row_id)
            self.execute(
                "UPDATE migrations SET status = 'confirmed',"
                " state = 'confirmed'"
            )
            migration.status = 'reverting'
            self.assertRaises(
                nova_exception.InstanceInvalidState, migration.save
            )
        self.assertEqual(
            ('confirmed', 'confirmed', None), self.position(row_id)
        )

    def test_changed_in_between(self):
        """Where nothing is locked, the swap fails and all is done again."""
        row_id = self.put('evacuation', 'rebuilding', canonical=True)
        found = []
        read = guard._locked

        def stale(session, migration_id):
            row = read(session, migration_id)
            if not found:
                row.update(status='accepted', state='accepted')
            found.append(row['state'])
            return row

        self.patch_locked(stale)
        migration = self.migration(row_id)
        migration.status = 'failed'
        migration.save()
        self.assertEqual(['accepted', 'rebuilding'], found[:2])
        self.assertEqual('failed', migration.status)
        self.assertEqual(
            ['pre-migrating'], [told.before for told in self.told]
        )

    def patch_locked(self, function):
        """Read rows in another way."""
        self.addCleanup(setattr, guard, '_locked', guard._locked)
        guard._locked = function


for _mixin in (
    EdgesTest,
    ErrorTest,
    SavingTest,
    CreatingTest,
    ModesTest,
    RaceTest,
):
    functional_base.on_every_database(_mixin)
