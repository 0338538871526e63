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

"""The objects on real databases: created, moved, saved, found and sent."""

import json
import logging
import sys
from unittest import mock

import fixtures
from oslo_messaging._drivers import common as messaging
from oslo_serialization import jsonutils
from oslo_utils import uuidutils
from oslo_utils import versionutils
from oslo_versionedobjects import base as ovo_base
from oslo_versionedobjects import fixture as ovo_fixture
import sqlalchemy as sa

from nova_migration import context
from nova_migration import exception
from nova_migration import objects
from nova_migration.conf import opts
from nova_migration.db import guard
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.objects import base as objects_base
from nova_migration.objects import migration as migration_mod
from nova_migration.states import LOOK
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import MigrationFlag
from nova_migration.states import UnknownWord
from nova_migration.states import machine_for
from tests import base as test_base
from tests.functional import base
from tests.functional.db import samples

MOVED = migration_mod.Result.MOVED
ABSORBED = migration_mod.Result.ABSORBED

LIVE = MACHINES['live-migration']
FIELDS = {
    'source_compute': 'alpha',
    'dest_compute': 'beta',
    'source_node': 'alpha',
    'dest_node': 'beta',
    'dest_compute_id': 7,
    'instance_uuid': 'i-1',
}


def kind_of(machine):
    """Return the type and the cross-cell flag that a machine is for."""
    if machine.name in MIGRATION_TYPES:
        return {'migration_type': machine.name, 'cross_cell_move': False}
    return {'migration_type': 'resize', 'cross_cell_move': True}


def histories():
    """Return the different lives of rows that were recorded from Nova."""
    path = test_base.ROOT / 'nova_migration/data/nova-transitions.jsonl'
    lives = set()
    for line in path.read_text().splitlines():
        life = json.loads(line)
        lives.add(
            (
                life['migration_type'],
                life['cross_cell_move'],
                tuple(step['status'] for step in life['history']),
            )
        )
    return sorted(lives)


class ObjectTest(samples.Expanded):
    """What these tests share."""

    def setUp(self):
        super().setUp()
        self.expand()

    def load(self, row_id):
        """Read a row into an object."""
        return objects.Migration.get_by_id(self.context, row_id)

    def fill(self, machine, name, **values):
        """Insert a row of each form in a state; return their ids."""
        return [
            self.insert(
                **{
                    **row,
                    **kind_of(machine),
                    'uuid': uuidutils.generate_uuid(),
                }
            )
            for row in samples.in_both_forms(
                machine.name if machine.name in MIGRATION_TYPES else 'resize',
                machine.state(name),
                **{**FIELDS, **values},
            )
        ]

    def canonical_context(self):
        """Return a context whose new rows are canonical."""
        return context.get_admin_context(
            self.open(opts.StatusFormat.CANONICAL)
        )

    def assert_fresh(self, migration):
        """An object says what a fresh read of its row says."""
        fresh = self.load(migration.id)
        self.assertEqual(
            {n for n in fresh.fields if fresh.obj_attr_is_set(n)},
            {n for n in migration.fields if migration.obj_attr_is_set(n)},
        )
        for name in fresh.fields:
            if not fresh.obj_attr_is_set(name):
                continue
            mine, theirs = getattr(migration, name), getattr(fresh, name)
            if name.endswith('_at') and mine:
                # Neither MariaDB's columns nor primitives keep fractions.
                mine = mine.replace(microsecond=0)
                theirs = theirs.replace(microsecond=0)
            self.assertEqual(theirs, mine, name)

    def assert_refused(self, kind, migration, event, row_id=None):
        """An event must raise, and neither object nor row change."""
        row_id = row_id or migration.id
        before = (self.primitive(migration), self.whole(row_id))
        error = self.assertRaises(
            kind, migration.process_event, event, 'never kept'
        )
        self.assertEqual(
            before, (self.primitive(migration), self.whole(row_id))
        )
        return error

    def primitive(self, migration):
        """Return all that an object holds, changes included."""
        return jsonutils.dumps(migration.obj_to_primitive(), sort_keys=True)

    def whole(self, row_id):
        """Return a row whole, or None when there is none."""
        with self.db.engine.connect() as connection:
            return connection.execute(
                sa.select(models.MIGRATIONS).where(
                    models.MIGRATIONS.c.id == row_id
                )
            ).first()

    def write(self, row_id, **values):
        """Write over a row as somebody who asks no guard."""
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.update()
                .where(models.MIGRATIONS.c.id == row_id)
                .values(**values)
            )

    def delete(self, row_id):
        """Remove a row, as archiving does."""
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.delete().where(
                    models.MIGRATIONS.c.id == row_id
                )
            )


@base.on_every_database
class Create(ObjectTest):
    """New rows."""

    def test_legacy(self):
        """A new row is legacy by default, and in the start state."""
        for machine in MACHINES.values():
            start = machine.table.start
            migration = objects.Migration(
                self.context, **kind_of(machine), **FIELDS
            )
            migration.create()
            row = self.row(migration.id)
            self.assertEqual(
                (start.legacy, None, None),
                (row.status, row.state, row.legacy_status),
            )
            self.assertEqual(start.name, migration.state)
            self.assertEqual(start.status, migration.status)
            self.assertEqual(set(), migration.obj_what_changed())
            self.assert_fresh(migration)

    def test_canonical(self):
        """A new row is canonical when the configuration says so."""
        admin = self.canonical_context()
        for machine in MACHINES.values():
            start = machine.table.start
            migration = objects.Migration(admin, **kind_of(machine), **FIELDS)
            migration.create()
            row = self.row(migration.id)
            self.assertEqual(
                (start.status, start.name), (row.status, row.state)
            )
            self.assertIsNotNone(row.state_changed_at)
            self.assert_fresh(migration)

    def test_what_is_filled_in(self):
        """The uuid, the requester and the times are filled in."""
        asking = context.RequestContext(
            user_id='ann', project_id='red', db=self.db
        )
        migration = objects.Migration(asking, migration_type='resize')
        migration.create()
        row = self.row(migration.id)
        self.assertEqual(36, len(row.uuid))
        self.assertEqual(
            ('ann', 'red', 0), (row.user_id, row.project_id, row.deleted)
        )
        self.assertIsNotNone(row.created_at)
        self.assertIsNotNone(row.state_changed_at)
        self.assertIsNone(row.updated_at)

    def test_refused(self):
        """What cannot be a row is not inserted."""
        done = objects.Migration(self.context, migration_type='resize')
        done.create()
        for migration in (
            done,
            objects.Migration(self.context),
            objects.Migration(
                self.context, migration_type='resize', dest_node='beta'
            ),
        ):
            error = self.assertRaises(
                exception.ObjectActionError, migration.create
            )
            self.assertEqual('create', error.action)
        self.assertEqual(1, len(self.rows()))

    def test_state_cannot_be_given(self):
        """A status or a state cannot be chosen for a new row."""
        for field, value in (
            ('status', 'error'),
            ('state', 'error'),
            ('state_reason', 'x'),
            ('legacy_status', 'x'),
        ):
            error = self.assertRaises(
                exception.StateAssigned,
                objects.Migration,
                self.context,
                **{field: value},
            )
            self.assertEqual(field, error.field)

    def test_contracted(self):
        """A contracted database takes canonical rows, and no legacy ones."""
        schema.contract(self.db)
        legacy = objects.Migration(self.context, migration_type='evacuation')
        self.assertRaises(exception.LegacyRowRefused, legacy.create)
        self.assertFalse(legacy.obj_attr_is_set('id'))
        self.assertEqual([], self.rows())
        canonical = objects.Migration(
            self.canonical_context(), migration_type='evacuation'
        )
        canonical.create()
        canonical.process_event('rebuild')
        self.assertEqual('rebuilding', self.row(canonical.id).state)

    def test_no_database(self):
        """A context without a database is told to ask a conductor."""
        migration = objects.Migration(
            context.RequestContext(), migration_type='resize'
        )
        error = self.assertRaises(
            exception.ObjectActionError, migration.create
        )
        self.assertIn('indirection_api', str(error))


@base.on_every_database
class Save(ObjectTest):
    """Fields that are neither status nor state."""

    def test_counters(self):
        """Saving counters leaves the state alone, in the row and of it."""
        for row_id in self.fill(LIVE, 'running', state_reason='why'):
            before = self.row(row_id)
            migration = self.load(row_id)
            migration.memory_total, migration.memory_processed = 10, 3
            self.assertEqual(
                {'memory_total', 'memory_processed'},
                migration.obj_what_changed(),
            )
            migration.save()
            row = self.row(row_id)
            self.assertEqual(
                before._asdict()
                | {
                    'memory_total': 10,
                    'memory_processed': 3,
                    'updated_at': row.updated_at,
                },
                row._asdict(),
            )
            self.assertLess(before.updated_at, row.updated_at)
            self.assertEqual(set(), migration.obj_what_changed())
            self.assert_fresh(migration)

    def test_refreshes(self):
        """What somebody else did meanwhile is seen, and not undone."""
        edge = LIVE.decide('running', 'complete')
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            guard.move(self.db, row_id, LIVE, edge, 'done by another')
            migration.memory_total = 5
            migration.save()
            self.assertEqual(edge.target, migration.state)
            self.assertEqual('done by another', migration.state_reason)
            self.assert_fresh(migration)
            self.assertEqual(
                edge.target, guard.position(self.db, row_id, LIVE).state
            )

    def test_of_nothing(self):
        """Saving nothing reads the row and writes nothing."""
        for row_id in self.fill(LIVE, 'running'):
            before = self.row(row_id)
            migration = self.load(row_id)
            migration.save()
            self.assertEqual(before, self.row(row_id))

    def test_deleted_row(self):
        """A row that is gone cannot be saved."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            self.delete(row_id)
            migration.memory_total = 5
            self.assertRaises(exception.MigrationNotFound, migration.save)

    def test_unknown_status(self):
        """Counters can be saved on a row that nobody can read."""
        row_id = self.insert(**samples.legacy(LIVE.name, 'goofballs'))
        migration = self.load(row_id)
        migration.memory_total = 5
        migration.save()
        self.assertEqual('goofballs', self.row(row_id).status)
        self.assertEqual(5, self.row(row_id).memory_total)


@base.on_every_database
class Move(ObjectTest):
    """process_event."""

    def test_every_edge(self):
        """Each edge moves object and row, whichever form the row has."""
        for machine in MACHINES.values():
            for edge in machine.table.edges:
                target = machine.state(edge.target)
                for row_id in self.fill(machine, edge.source):
                    form = self.row(row_id).state is None
                    migration = self.load(row_id)
                    self.assertEqual(
                        MOVED, migration.process_event(edge.event, 'why')
                    )
                    row = self.row(row_id)
                    self.assertEqual(
                        (target.legacy, None)
                        if form
                        else (target.status, target.name),
                        (row.status, row.state),
                    )
                    self.assertEqual('why', row.state_reason)
                    self.assertEqual(target.name, migration.state)
                    self.assertEqual(target.status, migration.status)
                    self.assertEqual(
                        target.legacy, migration.get_legacy_status()
                    )
                    self.assertEqual(set(), migration.obj_what_changed())
                    self.assert_fresh(migration)

    def test_every_absorbed_pair(self):
        """Each late report leaves a reason, and nothing else changes."""
        for machine in MACHINES.values():
            for pair in machine.table.absorbed:
                for row_id in self.fill(machine, pair.state):
                    before = self.row(row_id)._asdict()
                    migration = self.load(row_id)
                    for _ in range(2):
                        self.assertEqual(
                            ABSORBED, migration.process_event(pair.event)
                        )
                    after = self.row(row_id)._asdict()
                    reason = after.pop('state_reason')
                    del before['state_reason']
                    self.assertEqual(before, after)
                    self.assertEqual(1, reason.count(f'late {pair.event}'))
                    self.assertEqual(reason, migration.state_reason)
                    self.assert_fresh(migration)

    def test_every_illegal_event(self):
        """Each step that a machine has not is refused, and changes nothing."""
        for machine in MACHINES.values():
            for name in machine.states:
                for row_id in self.fill(machine, name):
                    self.refuse_all(machine, self.load(row_id))

    def refuse_all(self, machine, migration):
        """Try every event that is illegal where a migration is."""
        before = (self.primitive(migration), self.whole(migration.id))
        for event in machine.table.events:
            if machine.decide(migration.state, event) is None:
                error = self.assertRaises(
                    exception.InvalidTransition,
                    migration.process_event,
                    event,
                    'never kept',
                )
                self.assertEqual(
                    (migration.id, migration.state, event),
                    (error.migration_id, error.state, error.event),
                )
        self.assertEqual(
            before, (self.primitive(migration), self.whole(migration.id))
        )

    def test_unknown_event(self):
        """An event that the machine has not at all is said to be unknown."""
        for row_id in self.fill(LIVE, 'running'):
            error = self.assert_refused(
                UnknownWord, self.load(row_id), 'compleet'
            )
            self.assertEqual(['complete'], error.nearest)

    def test_stale_object(self):
        """An object that was read before another moved is refused."""
        for row_id in self.fill(LIVE, 'queued'):
            migration = self.load(row_id)
            self.load(row_id).process_event('prepare')
            error = self.assert_refused(
                exception.TransitionConflict, migration, 'cancel'
            )
            self.assertEqual(
                ('queued', 'preparing'), (error.expected, error.actual)
            )
            migration.save()
            self.assertEqual(MOVED, migration.process_event('cancel'))

    def test_late_report_that_contradicts(self):
        """What cannot be true of its row is a warning; what is late is not."""
        for machine in MACHINES.values():
            for pair in machine.table.absorbed:
                (row_id, *_) = self.fill(machine, pair.state)
                with fixtures.FakeLogger(level=logging.WARNING) as log:
                    self.load(row_id).process_event(pair.event)
                self.assertEqual(pair.contradicts, LOOK in log.output, pair)
                said = f'Migration {row_id} stays {pair.state}: late'
                self.assertEqual(pair.contradicts, said in log.output, pair)

    def test_rebuild_in_place(self):
        """done of an evacuation that nobody claimed ends it as failed."""
        for row_id in self.fill(MACHINES['evacuation'], 'accepted'):
            migration = self.load(row_id)

            self.assertEqual(MOVED, migration.report_legacy_status('done'))

            self.assertEqual('failed', migration.state)
            self.assertEqual('failed', migration.get_legacy_status())
            self.assert_fresh(migration)

    def test_lost_race_that_is_late(self):
        """A report that lost to what it is late for is absorbed."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            self.load(row_id).process_event('cancel', 'the user asked')
            self.assertEqual(ABSORBED, migration.process_event('fail'))
            self.assertEqual('cancelled', migration.state)
            self.assertTrue(
                migration.state_reason.startswith('the user asked; late fail')
            )
            self.assert_fresh(migration)

    def test_late_report_of_a_stale_object(self):
        """A report is refused where its row is no longer absorbing it."""
        machine = MACHINES['resize']
        for row_id in self.fill(machine, 'error'):
            migration = self.load(row_id)
            self.assertIsInstance(machine.decide('error', 'fail'), Absorbed)
            self.load(row_id).process_event('finish_confirm')
            self.assertIsInstance(machine.decide('confirmed', 'fail'), Edge)
            self.assert_refused(
                exception.TransitionConflict, migration, 'fail'
            )

    def test_deleted_row(self):
        """A row that is gone is reported as that, late reports included."""
        for event, state in (('complete', 'running'), ('fail', 'cancelled')):
            for row_id in self.fill(LIVE, state):
                migration = self.load(row_id)
                self.delete(row_id)
                error = self.assert_refused(
                    exception.MigrationNotFound, migration, event
                )
                self.assertEqual(row_id, error.migration_id)

    def test_soft_deleted_row(self):
        """A soft-deleted row moves, as it does in Nova."""
        for row_id in self.fill(LIVE, 'running', deleted=3):
            migration = self.load(row_id)
            self.assertEqual(MOVED, migration.process_event('complete'))
            self.assertTrue(migration.deleted)

    def test_unknown_row(self):
        """A row whose string nobody knows is read, and not moved."""
        for word in (*samples.ODD, None):
            row_id = self.insert(**samples.legacy(LIVE.name, word))
            migration = self.load(row_id)
            self.assertIsNone(migration.status)
            self.assertIsNone(migration.state)
            self.assertEqual(word, migration.get_legacy_status())
            error = self.assert_refused(
                exception.UnknownStatus, migration, 'fail'
            )
            self.assertEqual(word, error.status)

    def test_row_became_unknown(self):
        """A row that somebody wrote nonsense into is a conflict."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            self.write(row_id, state=None, status='goofballs')
            error = self.assert_refused(
                exception.TransitionConflict, migration, 'complete'
            )
            self.assertEqual('goofballs', error.actual)

    def test_not_created(self):
        """An object that has no row yet cannot be moved."""
        migration = objects.Migration(self.context, migration_type='resize')
        self.assertRaises(
            exception.ObjectActionError, migration.process_event, 'migrate'
        )

    def test_one_update(self):
        """A move is one UPDATE, and asks nothing."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            sent = []

            def record(_connection, _cursor, statement, *_rest, sent=sent):
                sent.append(statement.split()[0])

            event = (self.db.engine, 'before_cursor_execute', record)
            sa.event.listen(*event)
            migration.process_event('complete', 'why')
            sa.event.remove(*event)
            self.assertEqual(['UPDATE'], [s for s in sent if s != 'BEGIN'])

    def test_no_machine_of_its_own(self):
        """Objects are loaded and moved by the machines that are there."""

        def refuse(*_arguments, **_named):
            raise AssertionError('a machine was built')

        (row_id, _canonical) = self.fill(LIVE, LIVE.table.start.name)
        with fixtures.MonkeyPatch(
            'automaton.machines.FiniteMachine.__init__', refuse
        ):
            migration = self.load(row_id)
            for event in ('queue', 'prepare', 'run', 'complete'):
                migration.process_event(event)

        self.assertEqual('completed', migration.state)

    def test_migrated_meanwhile(self):
        """A row that migrate turned canonical still moves, and back."""
        legacy, _canonical = self.fill(LIVE, 'queued')
        migration = self.load(legacy)
        list(upgrade.migrate(self.db))
        migration.process_event('prepare')
        list(upgrade.restore(self.db))
        migration.process_event('run')
        self.assertEqual('running', self.row(legacy).status)
        self.assert_fresh(migration)

    def test_unsaved_fields(self):
        """What was assigned and not saved stays so over a move."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            migration.memory_total = 5
            migration.process_event('complete')
            self.assertEqual({'memory_total'}, migration.obj_what_changed())
            self.assertIsNone(self.row(row_id).memory_total)
            migration.save()
            self.assertEqual(5, self.row(row_id).memory_total)
            self.assertEqual('completed', migration.state)

    def test_unsaved_fields_over_a_late_report(self):
        """What was assigned stays so when the move was late."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            self.load(row_id).process_event('cancel')
            migration.memory_total = 5
            self.assertEqual(ABSORBED, migration.process_event('fail'))
            self.assertEqual(5, migration.memory_total)
            self.assertEqual({'memory_total'}, migration.obj_what_changed())

    def test_reasons(self):
        """The object's reasons are those of the row, first cause first."""
        for row_id in self.fill(LIVE, 'queued'):
            migration = self.load(row_id)
            migration.process_event('prepare', 'first')
            migration.process_event('run')
            migration.process_event('fail', 'x' * models.REASON_LENGTH)
            self.assertTrue(migration.state_reason.startswith('first; xxx'))
            self.assert_fresh(migration)

    def test_assigning(self):
        """Only an event changes what an event changes."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.load(row_id)
            for field in (
                'status',
                'state',
                'state_reason',
                'state_changed_at',
                'legacy_status',
            ):
                self.assertRaises(
                    exception.StateAssigned,
                    setattr,
                    migration,
                    field,
                    getattr(migration, field),
                )


@base.on_every_database
class Unexpanded(ObjectTest):
    """A database that has not been expanded."""

    def setUp(self):
        base.DatabaseTest.setUp(self)
        self.create_nova_tables()

    def test_everything(self):
        """Whatever is asked of it, the answer is to expand it."""
        primitive = objects.Migration(
            self.context, id=1, migration_type=LIVE.name
        ).obj_to_primitive()
        data = primitive['nova_object.data']
        data.update(status='running', state='running')
        migration = objects.Migration.obj_from_primitive(
            primitive, self.context
        )
        migration.memory_total = 5
        new = objects.Migration(self.context, migration_type=LIVE.name)
        for call in (
            lambda: migration.process_event('complete'),
            lambda: migration.report_legacy_status('completed'),
            migration.save,
            new.create,
            lambda: objects.Migration.get_by_id(self.context, 1),
            lambda: objects.MigrationList.get_by_filters(self.context, {}),
        ):
            error = self.assertRaises(exception.NotExpanded, call)
            self.assertIn('--expand', str(error))


@base.on_every_database
class Report(ObjectTest):
    """report_legacy_status, as code that was not ported speaks."""

    def test_recorded_lives(self):
        """Every life that Nova gave a row is lived again in both forms."""
        lives = histories()
        self.assertGreater(len(lives), 40)
        kinds = {(kind, cross) for kind, cross, _life in lives}
        self.assertEqual(
            set(MIGRATION_TYPES), {kind for kind, _cross in kinds}
        )
        for kind, cross, (first, *rest) in lives:
            machine = machine_for(kind, cross)
            start = machine.state_of_legacy(first).name
            for row_id in self.fill(machine, start, migration_type=kind):
                self.write(row_id, migration_type=kind)
                self.live(row_id, machine, rest)

    def live(self, row_id, machine, words):
        """Report each string of a life, and look at the row each time."""
        migration = self.load(row_id)
        for word in words:
            here = migration.state
            outcome = migration.report_legacy_status(word)
            self.assert_fresh(migration)
            if outcome == MOVED:
                self.assertEqual(word, migration.get_legacy_status())
            else:
                self.assertEqual(ABSORBED, outcome)
                self.assertEqual(here, migration.state)
                events = {
                    edge.event
                    for edge in machine.table.edges
                    if edge.named == machine.state_of_legacy(word).name
                }
                pairs = {(a.state, a.event) for a in machine.table.absorbed}
                late = here == machine.state_of_legacy(word).name or any(
                    (here, event) in pairs for event in events
                )
                self.assertTrue(late, (here, word))

    def test_unknown_string(self):
        """A string that the type has not is said to be unknown."""
        for row_id in self.fill(LIVE, 'running'):
            before = self.row(row_id)
            self.assertRaises(
                UnknownWord,
                self.load(row_id).report_legacy_status,
                'finished',
            )
            self.assertEqual(before, self.row(row_id))

    def test_illegal(self):
        """A string that the row cannot come to is refused."""
        for row_id in self.fill(LIVE, 'completed'):
            before = self.row(row_id)
            error = self.assertRaises(
                exception.InvalidTransition,
                self.load(row_id).report_legacy_status,
                'running',
            )
            self.assertIn('running', error.event)
            self.assertEqual(before, self.row(row_id))

    def test_twice(self):
        """A string that the row has already is late and no error."""
        for row_id in self.fill(LIVE, 'completed'):
            migration = self.load(row_id)
            self.assertEqual(
                ABSORBED, migration.report_legacy_status('completed')
            )

    def test_twice_by_stale_objects(self):
        """Of two who report the same at once, the second is only late."""
        for row_id in self.fill(LIVE, 'running'):
            first, second = self.load(row_id), self.load(row_id)
            self.assertEqual(MOVED, first.report_legacy_status('completed'))
            self.assertEqual(
                ABSORBED, second.report_legacy_status('completed')
            )
            self.assert_fresh(second)


@base.on_every_database
class Find(ObjectTest):
    """get_* and the list."""

    def setUp(self):
        super().setUp()
        self.ids = {}
        for number, (kind, word, state) in enumerate(samples.pairs()):
            if word == state.legacy:
                for form, row in enumerate(
                    samples.in_both_forms(
                        kind, state, **FIELDS, uuid=f'u{number}'
                    )
                ):
                    row['uuid'] += f'-{form}'
                    row_id = self.insert(**row)
                    self.ids.setdefault((kind, state.name), []).append(row_id)

    def with_flag(self, flag):
        """Return the ids of all rows whose state has a flag."""
        return sorted(
            row_id
            for (kind, name), ids in self.ids.items()
            if flag in MACHINES[kind].states[name].flags
            for row_id in ids
        )

    def found(self, migrations):
        """Return the ids of what was found; each knows its state."""
        self.assertIsInstance(migrations, objects.MigrationList)
        for migration in migrations:
            self.assertIn(
                migration.id,
                self.ids[migration.migration_type, migration.state],
            )
        return sorted(migration.id for migration in migrations)

    def test_both_forms_read_alike(self):
        """Rows of both forms are the same to who reads them."""
        for (kind, name), ids in self.ids.items():
            legacy, canonical = (self.load(row_id) for row_id in ids)
            state = MACHINES[kind].states[name]
            for migration in (legacy, canonical):
                self.assertEqual(
                    (state.status, state.name, state.legacy),
                    (
                        migration.status,
                        migration.state,
                        migration.get_legacy_status(),
                    ),
                )
                self.assertEqual(
                    state.flags,
                    {f for f in MigrationFlag if migration.has_flag(f)},
                )
                self.assertEqual(
                    MACHINES[kind].events_from(name),
                    migration.allowed_events,
                )

    def test_one(self):
        """An object is found by id, by uuid, by instance and by status."""
        for (_kind, _name), ids in self.ids.items():
            for row_id in ids:
                row = self.row(row_id)
                get = objects.Migration
                for migration in (
                    get.get_by_id(self.context, row_id),
                    get.get_by_uuid(self.context, row.uuid),
                    get.get_by_id_and_instance(self.context, row_id, 'i-1'),
                ):
                    self.assertEqual(row_id, migration.id)
                    self.assertEqual(row.uuid, migration.uuid)
        newest = objects.Migration.get_by_instance_and_status(
            self.context, 'i-1', 'done'
        )
        self.assertEqual(max(self.ids['evacuation', 'evacuated']), newest.id)

    def test_none(self):
        """What is not there is reported by what was asked for."""
        get = objects.Migration
        for kind, call, arguments in (
            (exception.MigrationNotFound, get.get_by_id, (9999,)),
            (exception.MigrationNotFound, get.get_by_uuid, ('nobody',)),
            (
                exception.MigrationNotFoundForInstance,
                get.get_by_id_and_instance,
                (min(self.ids['resize', 'error']), 'i-0'),
            ),
            (
                exception.MigrationNotFoundByStatus,
                get.get_by_instance_and_status,
                ('i-1', 'nobody says so'),
            ),
        ):
            error = self.assertRaises(kind, call, self.context, *arguments)
            self.assertIs(kind, type(error))

    def test_untyped(self):
        """A row from before there were types has the type of its flavors."""
        for old, new, kind in ((1, 2, 'resize'), (1, 1, 'migration')):
            for word, state in samples.untyped():
                row_id = self.insert(
                    **samples.legacy(
                        None,
                        word,
                        old_instance_type_id=old,
                        new_instance_type_id=new,
                    )
                )
                migration = self.load(row_id)
                self.assertEqual(
                    (kind, state.name),
                    (migration.migration_type, migration.state),
                )
                for event in migration.allowed_events[:1]:
                    migration.process_event(event)
                self.assertIsNone(self.row(row_id).migration_type)

    def test_lists_by_state(self):
        """Each list has the rows of both forms in the states it is of."""
        get = objects.MigrationList
        self.assertEqual(
            self.with_flag(MigrationFlag.IN_PROGRESS),
            self.found(
                get.get_in_progress_by_host_and_node(
                    self.context, 'alpha', 'alpha'
                )
            ),
        )
        self.assertEqual(
            self.with_flag(MigrationFlag.TRACKED),
            self.found(
                get.get_in_progress_and_error(self.context, 'beta', 'beta')
            ),
        )
        self.assertEqual(
            self.with_flag(MigrationFlag.LISTED),
            self.found(get.get_in_progress_by_instance(self.context, 'i-1')),
        )
        self.assertEqual(
            self.with_flag(MigrationFlag.UNCONFIRMED),
            self.found(
                get.get_unconfirmed_by_dest_compute(
                    self.context, 5, 'beta', use_slave=True
                )
            ),
        )
        for empty in (
            get.get_in_progress_by_host_and_node(self.context, 'x', 'alpha'),
            get.get_in_progress_by_instance(self.context, 'i-0'),
            get.get_unconfirmed_by_dest_compute(self.context, 5, 'alpha'),
        ):
            self.assertEqual([], self.found(empty))

    def test_list_by_type(self):
        """Moves of an instance can be asked for by type."""
        listed = objects.MigrationList.get_in_progress_by_instance(
            self.context, 'i-1', migration_type='resize'
        )
        self.assertEqual({'resize'}, {m.migration_type for m in listed})

    def test_list_by_filters(self):
        """Filters, sorting and paging come through the object."""
        get = objects.MigrationList.get_by_filters
        self.assertEqual(
            sorted(self.ids['evacuation', 'evacuated']),
            self.found(get(self.context, {'status': 'done'})),
        )
        page = get(
            self.context,
            {'migration_type': 'resize'},
            sort_keys=['id'],
            sort_dirs=['asc'],
            limit=3,
        )
        more = get(
            self.context,
            {'migration_type': 'resize'},
            sort_keys=['id'],
            sort_dirs=['asc'],
            limit=300,
            marker=page[-1].uuid,
        )
        everything = sorted(
            row_id
            for (kind, _name), ids in self.ids.items()
            if kind == 'resize'
            for row_id in ids
        )
        self.assertEqual(everything, [m.id for m in (*page, *more)])
        self.assertRaises(
            exception.MarkerNotFound, get, self.context, {}, marker='nobody'
        )

    def test_read_deleted(self):
        """Soft-deleted rows are in a list when the context says so."""
        gone = self.ids['resize', 'error'][0]
        self.write(gone, deleted=gone)
        get = objects.MigrationList.get_by_filters
        total = sum(len(ids) for ids in self.ids.values())
        for read_deleted, count in (
            ('no', total - 1),
            ('yes', total),
            ('only', 1),
        ):
            asking = context.get_admin_context(self.db, read_deleted)
            self.assertEqual(count, len(get(asking, {})))


class Serializer(ovo_base.VersionedObjectSerializer):
    """What a service turns our objects to primitives with."""

    OBJ_BASE_CLASS = objects_base.MigrationObject


class Conductor(ovo_base.VersionedObjectIndirectionAPI):
    """What nova-conductor does for a compute that has no database.

    Every argument and every answer is turned to text and back; errors go the
    way that oslo.messaging sends them.
    """

    ALLOWED = ('nova_migration.exception', 'nova_migration.states.words')

    def __init__(self, admin):
        super().__init__()
        self.admin = admin
        self.calls = []

    def wire(self, value, asking):
        """Send a value over the wire, as whoever asks will have it."""
        serializer = Serializer()
        text = jsonutils.dumps(serializer.serialize_entity(asking, value))
        return serializer.deserialize_entity(asking, jsonutils.loads(text))

    def dispatch(self, function, args, kwargs):
        """Call on the conductor's side; raise what the other side gets."""
        self.calls.append(function.__name__)
        args = [self.wire(value, self.admin) for value in args]
        kwargs = {k: self.wire(v, self.admin) for k, v in kwargs.items()}
        try:
            with mock.patch.object(
                ovo_base.VersionedObject, 'indirection_api', None
            ):
                return function(*args, **kwargs)
        except Exception:  # noqa: BLE001 - an RPC server catches everything
            data = messaging.serialize_remote_exception(sys.exc_info())
        raise messaging.deserialize_remote_exception(data, self.ALLOWED)

    def object_action(self, asking, objinst, objmethod, args, kwargs):
        """Run a method on a copy, and return what it changed."""
        mine = self.wire(objinst, self.admin)
        return self.act(asking, mine, objmethod, args, kwargs)

    def act(self, asking, mine, objmethod, args=(), kwargs=()):
        """Do as ``ConductorManager.object_action`` of Nova 34."""
        before = mine.obj_clone()
        result = self.dispatch(getattr(mine, objmethod), args, dict(kwargs))
        updates = {
            name: field.to_primitive(mine, name, getattr(mine, name))
            for name, field in mine.fields.items()
            if mine.obj_attr_is_set(name)
            and (
                not before.obj_attr_is_set(name)
                or getattr(before, name) != getattr(mine, name)
            )
        }
        updates['obj_what_changed'] = sorted(mine.obj_what_changed())
        return self.wire(updates, asking), self.wire(result, asking)

    def object_class_action_versions(
        self, asking, objname, objmethod, object_versions, args, kwargs
    ):
        """Do as ``ConductorManager.object_class_action_versions``."""
        registered = ovo_base.VersionedObject.obj_class_from_name(
            objname, object_versions[objname]
        )
        result = self.dispatch(
            self.with_context(getattr(registered, objmethod)), args, kwargs
        )
        wanted, has = (
            versionutils.convert_version_to_tuple(version)
            for version in (object_versions[objname], result.VERSION)
        )
        if wanted < has:
            return result.obj_to_primitive(
                target_version=object_versions[objname],
                version_manifest=object_versions,
            )
        return self.wire(result, asking)

    def with_context(self, method):
        """Return a class method that is called in the conductor's context."""

        def call(*args, **kwargs):
            return method(self.admin, *args, **kwargs)

        call.__name__ = method.__name__
        return call

    def object_backport_versions(self, _asking, objinst, object_versions):
        """Do as ``ConductorManager.object_backport_versions``."""
        return objinst.obj_to_primitive(
            target_version=object_versions[objinst.obj_name()],
            version_manifest=object_versions,
        )


@base.on_every_database
class Remote(ObjectTest):
    """A compute that has no database and asks a conductor."""

    def setUp(self):
        super().setUp()
        self.compute = context.RequestContext(user_id='ann', project_id='red')
        self.conductor = Conductor(self.context)
        self.useFixture(
            fixtures.MockPatchObject(
                ovo_base.VersionedObject, 'indirection_api', self.conductor
            )
        )

    def load(self, row_id):
        """Read a row on the conductor's side, for comparisons."""
        with mock.patch.object(
            ovo_base.VersionedObject, 'indirection_api', None
        ):
            return super().load(row_id)

    def ask(self, row_id):
        """Read a row from the compute's side."""
        return objects.Migration.get_by_id(self.compute, row_id)

    def test_create(self):
        """A row is created for a compute, which then has its values."""
        migration = objects.Migration(
            self.compute, migration_type=LIVE.name, **FIELDS
        )
        migration.create()
        self.assertEqual(LIVE.table.start.name, migration.state)
        self.assertEqual(
            LIVE.table.start.legacy, self.row(migration.id).status
        )
        self.assertEqual(set(), migration.obj_what_changed())
        self.assert_fresh(migration)
        self.assertEqual(['create'], self.conductor.calls)

    def test_context_by_name(self):
        """A query takes its context by name, on either side."""
        for row_id in self.fill(LIVE, 'running'):
            here = {'context': self.context, 'migration_id': row_id}
            there = {**here, 'context': self.compute}
            with mock.patch.object(
                ovo_base.VersionedObject, 'indirection_api', None
            ):
                migration = objects.Migration.get_by_id(**here)
            self.assertIs(self.context, migration.obj_context)
            self.assertEqual(
                migration.uuid, objects.Migration.get_by_id(**there).uuid
            )

    def test_process_event(self):
        """A row is moved for a compute, along every edge."""
        for machine in MACHINES.values():
            for edge in machine.table.edges:
                for row_id in self.fill(machine, edge.source):
                    migration = self.ask(row_id)
                    self.assertEqual(
                        MOVED, migration.process_event(edge.event, 'why')
                    )
                    self.assertEqual(edge.target, migration.state)
                    self.assert_fresh(migration)

    def test_absorbed(self):
        """A late report of a compute's is absorbed."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.ask(row_id)
            self.ask(row_id).process_event('cancel')
            self.assertEqual(ABSORBED, migration.process_event('fail'))
            self.assertEqual('cancelled', migration.state)
            self.assert_fresh(migration)

    def test_unsaved_fields(self):
        """What a compute has not saved yet stays to be saved."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.ask(row_id)
            migration.memory_total = 5
            migration.process_event('complete')
            self.assertEqual({'memory_total'}, migration.obj_what_changed())
            migration.save()
            self.assertEqual(5, self.row(row_id).memory_total)
            self.assert_fresh(migration)

    def test_report(self):
        """Nova's string can be reported through a conductor."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.ask(row_id)
            migration.report_legacy_status('completed', reason='why')
            self.assert_fresh(migration)

    def test_refused(self):
        """A refusal arrives as its type, with what it carries."""
        for row_id in self.fill(LIVE, 'queued'):
            migration = self.ask(row_id)
            error = self.assert_refused(
                exception.InvalidTransition, migration, 'complete'
            )
            self.assertEqual('queued', error.state)
            self.ask(row_id).process_event('prepare')
            error = self.assert_refused(
                exception.TransitionConflict, migration, 'cancel'
            )
            self.assertEqual(
                (row_id, 'queued', 'preparing'),
                (error.migration_id, error.expected, error.actual),
            )
            self.delete(row_id)
            self.assert_refused(
                exception.MigrationNotFound, migration, 'prepare', row_id
            )

    def test_unknown_event(self):
        """An event that there is not arrives as the type that says so."""
        for row_id in self.fill(LIVE, 'queued'):
            error = self.assert_refused(
                UnknownWord, self.ask(row_id), 'compleet'
            )
            self.assertIn("'complete'", str(error))

    def test_save(self):
        """A compute that saves counters sees what others did."""
        for row_id in self.fill(LIVE, 'running'):
            migration = self.ask(row_id)
            self.ask(row_id).process_event('complete', 'by another')
            migration.memory_total = 5
            migration.save()
            self.assertEqual('completed', migration.state)
            self.assertEqual('by another', migration.state_reason)
            self.assert_fresh(migration)

    def test_get(self):
        """Every way to find migrations goes through a conductor."""
        one, many = objects.Migration, objects.MigrationList
        for number, row_id in enumerate(self.fill(LIVE, 'running')):
            uuid, mine = self.row(row_id).uuid, f'mine-{number}'
            node = f'node-{number}'
            self.write(row_id, instance_uuid=mine, source_node=node)
            for found in (
                one.get_by_id(self.compute, row_id),
                one.get_by_uuid(self.compute, uuid),
                one.get_by_id_and_instance(self.compute, row_id, mine),
                one.get_by_instance_and_status(
                    self.compute, instance_uuid=mine, status='running'
                ),
                *many.get_by_filters(self.compute, {'uuid': uuid}, limit=1),
                *many.get_in_progress_by_instance(self.compute, mine),
                *many.get_in_progress_and_error(self.compute, 'alpha', node),
                *many.get_in_progress_by_host_and_node(
                    self.compute, host='alpha', node=node
                ),
            ):
                self.assertEqual(row_id, found.id)
                self.assertEqual('running', found.state)
                self.assertIsNone(found._context.db)
        self.assertEqual(16, len(self.conductor.calls))
        self.assertEqual(
            0,
            len(
                objects.MigrationList.get_unconfirmed_by_dest_compute(
                    self.compute, 0, 'beta'
                )
            ),
        )

    def test_with_the_fixture_of_the_library(self):
        """oslo.versionedobjects' own stand-in for a conductor works too."""
        fake = ovo_fixture.FakeIndirectionAPI(serializer=Serializer())
        self.useFixture(ovo_fixture.IndirectionFixture(fake))
        for row_id in self.fill(LIVE, 'running'):
            # Its class methods know no namespace but the library's own.
            migration = self.load(row_id)
            migration.memory_total = 5
            migration.process_event('complete')
            migration.save()
            self.assertEqual(5, self.row(row_id).memory_total)
            self.assertEqual('completed', migration.state)

    def test_a_list_for_an_old_compute(self):
        """A compute of 1.8 gets Nova's strings, in a list too."""
        self.fill(MACHINES['evacuation'], 'evacuated')
        manifest = {'MigrationList': '1.5', 'Migration': '1.8'}
        found = objects.MigrationList.get_by_filters(self.compute, {})
        primitive = self.conductor.object_backport_versions(
            self.compute, found, manifest
        )
        for member in primitive['nova_object.data']['objects']:
            self.assertEqual('1.8', member['nova_object.version'])
            data = member['nova_object.data']
            self.assertEqual('done', data['status'])
            self.assertNotIn('state', data)


@base.on_every_database
class OldService(ObjectTest):
    """A service of Nova 34, whose objects are 1.8 and say strings."""

    def setUp(self):
        super().setUp()
        self.conductor = Conductor(self.context)

    def sent(self, row_id, status=None, **values):
        """Return what an old service sends of a row it has assigned to."""
        primitive = self.load(row_id).obj_to_primitive(target_version='1.8')
        data = primitive['nova_object.data']
        changes = dict(values)
        if status is not None:
            changes['status'] = status
        data.update(changes)
        primitive['nova_object.changes'] = sorted(changes)
        return jsonutils.loads(jsonutils.dumps(primitive))

    def receive(self, primitive):
        """Take in what was sent, as the conductor's RPC layer does."""
        return Serializer().deserialize_entity(self.context, primitive)

    def test_what_it_reads(self):
        """It reads Nova's string, whichever form the row has."""
        for kind in MIGRATION_TYPES:
            for state in MACHINES[kind].states.values():
                for row_id in self.fill(MACHINES[kind], state.name):
                    sent = self.sent(row_id)
                    self.assertEqual('1.8', sent['nova_object.version'])
                    data = sent['nova_object.data']
                    self.assertEqual(state.legacy, data['status'])
                    self.assertNotIn('state', data)
                    self.assertNotIn('legacy_status', data)

    def test_save(self):
        """A status that it saves moves the row."""
        for row_id in self.fill(LIVE, 'running'):
            received = self.receive(
                self.sent(row_id, 'completed', memory_total=5)
            )
            self.conductor.act(self.context, received, 'save')
            self.assertEqual(
                'completed', guard.position(self.db, row_id, LIVE).state
            )
            self.assertEqual(5, self.row(row_id).memory_total)

    def test_every_edge(self):
        """Every move that Nova makes by a string is made."""
        for machine in MACHINES.values():
            for edge in machine.table.edges:
                word = machine.state(edge.target).legacy
                for row_id in self.fill(machine, edge.source):
                    self.receive(self.sent(row_id, word)).save()
                    self.assertEqual(
                        edge.target,
                        guard.position(self.db, row_id, machine).state,
                    )

    def test_save_of_counters(self):
        """Counters that it saves leave the state where others took it."""
        for row_id in self.fill(LIVE, 'running'):
            sent = self.sent(row_id, memory_total=5)
            self.load(row_id).process_event('complete')
            self.receive(sent).save()
            self.assertEqual(
                'completed', guard.position(self.db, row_id, LIVE).state
            )
            self.assertEqual(5, self.row(row_id).memory_total)

    def test_what_it_is_sent_back(self):
        """It is told the status by Nova's string, and not by ours.

        The conductor answers with single fields, which nobody backports.
        """
        machine = MACHINES['evacuation']
        for row_id in self.fill(machine, 'rebuilding'):
            sent = self.sent(row_id, memory_total=5)
            self.load(row_id).process_event('finish')
            updates, _result = self.conductor.act(
                self.context, self.receive(sent), 'save'
            )
            self.assertEqual(
                machine.state('evacuated').legacy, updates['status']
            )

    def test_refused(self):
        """A status that the row cannot come to is refused, and all with it."""
        for row_id in self.fill(LIVE, 'completed'):
            before = self.row(row_id)
            received = self.receive(
                self.sent(row_id, 'running', memory_total=5)
            )
            self.assertRaises(exception.InvalidTransition, received.save)
            self.assertEqual(before, self.row(row_id))

    def test_unknown_status(self):
        """A string that nobody knows is refused."""
        for row_id in self.fill(LIVE, 'running'):
            before = self.row(row_id)
            received = self.receive(self.sent(row_id, 'goofballs'))
            self.assertRaises(UnknownWord, received.save)
            self.assertEqual(before, self.row(row_id))

    def test_late(self):
        """The error that Nova writes behind a roll-back is absorbed."""
        for row_id in self.fill(LIVE, 'cancelled'):
            self.receive(self.sent(row_id, 'error')).save()
            self.assertEqual(
                'cancelled', guard.position(self.db, row_id, LIVE).state
            )
            self.assertIn('late', self.row(row_id).state_reason)

    def test_create(self):
        """A row that it creates begins where it says."""
        for machine in MACHINES.values():
            for word in {machine.table.start.legacy, 'pre-migrating'}:
                if word not in machine.legacy:
                    continue
                new = objects.Migration(
                    self.context, **kind_of(machine), **FIELDS
                ).obj_to_primitive(target_version='1.8')
                new['nova_object.data']['status'] = word
                new['nova_object.changes'].append('status')
                received = self.receive(new)
                received.create()
                self.assertEqual(
                    machine.state_of_legacy(word).legacy,
                    self.row(received.id).status,
                )
                self.assertEqual(
                    machine.state_of_legacy(word).name, received.state
                )

    def test_create_with_an_unknown_status(self):
        """A row is not created with a string that nobody knows."""
        new = objects.Migration(
            self.context, migration_type='resize'
        ).obj_to_primitive(target_version='1.8')
        new['nova_object.data']['status'] = 'goofballs'
        new['nova_object.changes'].append('status')
        self.assertRaises(UnknownWord, self.receive(new).create)
        self.assertEqual([], self.rows())
