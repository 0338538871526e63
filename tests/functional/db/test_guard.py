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

"""The guarded write, alone and against others who want the same row."""

import concurrent.futures
import contextlib
import random

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import errors
from nova_migration.db import guard
from nova_migration.db import mapping
from nova_migration.db import models
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests import trail
from tests.functional import base
from tests.functional.db import samples
from tests.functional.db import worker

LIVE = MACHINES['live-migration']
RUN = LIVE.decide('preparing', 'run')
COMPLETE = LIVE.decide('running', 'complete')
CANCEL = LIVE.decide('running', 'cancel')
LATE = LIVE.decide('cancelled', 'fail')


class GuardTest(samples.Expanded):
    """What these tests share."""

    def setUp(self):
        super().setUp()
        self.expand()

    def fill(self, machine, state, **values):
        """Insert a row of each form in a state; return their ids."""
        kind = machine.name if machine.name in MIGRATION_TYPES else 'resize'
        cross = machine.name not in MIGRATION_TYPES
        return [
            self.insert(**row)
            for row in samples.in_both_forms(
                kind, machine.state(state), cross_cell_move=cross, **values
            )
        ]

    @contextlib.contextmanager
    def statements(self, database=None):
        """Record the first word of every statement that is sent."""
        sent = []
        where = (database or self.db).engine

        def record(_connection, _cursor, statement, *_rest):
            sent.append(statement.split()[0])

        sa.event.listen(where, 'before_cursor_execute', record)
        try:
            yield sent
        finally:
            sa.event.remove(where, 'before_cursor_execute', record)

    def write(self, row_id, **values):
        """Write over a row as somebody who asks no guard."""
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.update()
                .where(models.MIGRATIONS.c.id == row_id)
                .values(**values)
            )

    def conflict(self, row_id, machine=LIVE, edge=RUN, database=None):
        """The move must be refused, and the row be as it was."""
        before = self.row(row_id)
        error = self.assertRaises(
            exception.TransitionConflict,
            guard.move,
            database or self.db,
            row_id,
            machine,
            edge,
            'never kept',
        )
        self.assertEqual(before, self.row(row_id))
        self.assertEqual(
            (row_id, edge.event, edge.source),
            (error.migration_id, error.event, error.expected),
        )
        return error.actual


@base.on_every_database
class Move(GuardTest):
    """One row, one edge."""

    def test_every_edge_in_both_forms(self):
        """Each edge of each machine moves a row, and keeps its form."""
        for machine in MACHINES.values():
            for edge in machine.table.edges:
                target = machine.state(edge.target)
                legacy, canonical = self.fill(machine, edge.source)
                for row_id in (legacy, canonical):
                    now = guard.move(self.db, row_id, machine, edge)
                    updated = now
                    if self.BACKEND == 'mysql':
                        # Nova's columns there keep no fractions.
                        updated = now.replace(microsecond=0)
                    row = self.row(row_id)
                    self.assertEqual(
                        (updated, now, None, None),
                        (
                            row.updated_at,
                            row.state_changed_at,
                            row.legacy_status,
                            row.state_reason,
                        ),
                    )
                    self.assertEqual(samples.THEN, row.created_at)
                self.assertEqual(
                    (target.legacy, None),
                    (self.row(legacy).status, self.row(legacy).state),
                )
                self.assertEqual(
                    (target.status, target.name),
                    (self.row(canonical).status, row.state),
                )

    def test_one_update_and_no_select(self):
        """A move is one UPDATE and nothing else, with or without reason."""
        for reason in (None, 'why'):
            for row_id in self.fill(LIVE, RUN.source):
                with self.statements() as sent:
                    guard.move(self.db, row_id, LIVE, RUN, reason)
                self.assertEqual(
                    ['UPDATE'], [w for w in sent if w not in ('BEGIN', 'SET')]
                )

    def test_only_its_row(self):
        """Other rows in the same state stay where they are."""
        ids = self.fill(LIVE, RUN.source) + self.fill(LIVE, RUN.source)
        others = [self.row(row_id) for row_id in ids[1:]]
        guard.move(self.db, ids[0], LIVE, RUN)
        self.assertEqual(others, [self.row(row_id) for row_id in ids[1:]])

    def test_alias(self):
        """A legacy row with a string of an old release moves too."""
        for kind, word, state in samples.pairs():
            machine = MACHINES[kind]
            events = machine.events_from(state.name)
            if word == state.legacy or not events:
                continue
            edge = machine.decide(state.name, events[0])
            row_id = self.insert(**samples.legacy(kind, word))
            guard.move(self.db, row_id, machine, edge)
            self.assertEqual(
                machine.state(edge.target).legacy, self.row(row_id).status
            )

    def test_soft_deleted_row(self):
        """A soft-deleted row moves, as it does in Nova."""
        for row_id in self.fill(LIVE, RUN.source, deleted=5):
            guard.move(self.db, row_id, LIVE, RUN)
            self.assertEqual(
                RUN.target, guard.position(self.db, row_id, LIVE).state
            )
            self.assertEqual(5, self.row(row_id).deleted)

    def test_migrated_meanwhile(self):
        """A row that became canonical after it was read still moves."""
        legacy, _canonical = self.fill(LIVE, RUN.source)
        list(upgrade.migrate(self.db))
        guard.move(self.db, legacy, LIVE, RUN)
        self.assertEqual(RUN.target, self.row(legacy).state)

    def test_restored_meanwhile(self):
        """A row that became legacy again after it was read still moves."""
        _legacy, canonical = self.fill(LIVE, RUN.source)
        list(upgrade.restore(self.db))
        guard.move(self.db, canonical, LIVE, RUN)
        row = self.row(canonical)
        self.assertEqual(
            (LIVE.state(RUN.target).legacy, None), (row.status, row.state)
        )

    def test_mapped_row(self):
        """The odd string of a mapped row is not kept beyond a move."""
        row_id = self.insert(**samples.legacy(LIVE.name, 'getting ready'))
        meanings = mapping.meanings_with(['getting ready=preparing'])
        list(upgrade.migrate(self.db, meanings))
        self.assertEqual('getting ready', self.row(row_id).legacy_status)
        guard.move(self.db, row_id, LIVE, RUN)
        self.assertIsNone(self.row(row_id).legacy_status)


@base.on_every_database
class Refused(GuardTest):
    """What the guard refuses, and what it says."""

    def test_conflict(self):
        """Wherever else the row is, the error says so, in either form."""
        for name in LIVE.states:
            if name != RUN.source:
                for row_id in self.fill(LIVE, name):
                    self.assertEqual(name, self.conflict(row_id))

    def test_strings_alike(self):
        """What MariaDB takes for the same string is not the same state."""
        word = LIVE.state(RUN.source).legacy
        for odd in (word.upper(), word + ' ', word.capitalize()):
            row_id = self.insert(**samples.legacy(LIVE.name, odd))
            self.assertEqual(odd, self.conflict(row_id))

    def test_unknown_string(self):
        """The error carries a string that the machine does not know."""
        row_id = self.insert(**samples.legacy(LIVE.name, 'goofballs'))
        self.assertEqual('goofballs', self.conflict(row_id))

    def test_no_status(self):
        """A row without status is in no state."""
        row_id = self.insert(**samples.legacy(LIVE.name, None))
        self.assertIsNone(self.conflict(row_id))

    def test_string_of_the_state_in_a_legacy_row(self):
        """The name of a state in a legacy row's status is not that state."""
        renamed = [
            s for s in LIVE.states.values() if s.name not in LIVE.legacy
        ]
        self.assertTrue(renamed)
        for state in renamed:
            edge = LIVE.decide(state.name, LIVE.events_from(state.name)[0])
            row_id = self.insert(**samples.legacy(LIVE.name, state.name))
            self.conflict(row_id, edge=edge)

    def test_status_of_a_canonical_row(self):
        """A canonical row is where its state is, whatever its status says."""
        row_id = self.insert(
            **samples.legacy(
                LIVE.name, LIVE.state(RUN.source).legacy, state=RUN.target
            )
        )
        self.assertEqual(RUN.target, self.conflict(row_id))

    def test_no_such_row(self):
        """A row that is gone, or never was, is another error."""
        for row_id in self.fill(LIVE, RUN.source):
            with self.db.engine.begin() as connection:
                connection.execute(
                    models.MIGRATIONS.delete().where(
                        models.MIGRATIONS.c.id == row_id
                    )
                )
            error = self.assertRaises(
                exception.MigrationNotFound,
                guard.move,
                self.db,
                row_id,
                LIVE,
                RUN,
            )
            self.assertEqual(row_id, error.migration_id)
        self.assertRaises(
            exception.MigrationNotFound, guard.position, self.db, 4711, LIVE
        )

    def test_not_expanded(self):
        """A database without our columns is reported as that."""
        with self.db.engine.begin() as connection:
            models.STATE_INDEX.drop(connection)
            for column in models.added_columns():
                connection.exec_driver_sql(
                    f'ALTER TABLE migrations DROP COLUMN {column.name}'
                )
        self.assertRaises(
            exception.NotExpanded, guard.move, self.db, 1, LIVE, RUN
        )


@base.on_every_database
class Reasons(GuardTest):
    """Why a row is where it is."""

    def follow(self, row_id, *steps):
        """Move a row along events with reasons, from its state."""
        for event, reason in steps:
            here = guard.position(self.db, row_id, LIVE).state
            guard.move(self.db, row_id, LIVE, LIVE.decide(here, event), reason)
        return self.row(row_id).state_reason

    def test_first_stays_first(self):
        """Reasons are kept in their order, and none hides another."""
        for row_id in self.fill(LIVE, 'queued'):
            kept = self.follow(
                row_id,
                ('prepare', None),
                ('run', 'it is time'),
                ('fail', 'no more pages'),
                ('roll_back', None),
            )
            self.assertEqual('it is time; no more pages', kept)

    def test_bounded(self):
        """Reasons are cut at a length, and the first ones are kept."""
        for row_id in self.fill(LIVE, 'queued'):
            kept = self.follow(
                row_id,
                ('prepare', 'first'),
                ('run', 'x' * (models.REASON_LENGTH + 10)),
                ('complete', 'last'),
            )
            self.assertEqual(models.REASON_LENGTH, len(kept))
            self.assertTrue(kept.startswith('first; x'))

    def test_first_is_bounded(self):
        """Even the first reason alone is cut at the length."""
        for row_id in self.fill(LIVE, 'queued'):
            kept = self.follow(
                row_id, ('prepare', 'é' * (models.REASON_LENGTH + 1))
            )
            self.assertEqual('é' * models.REASON_LENGTH, kept)

    def test_any_text(self):
        """A reason is text, not SQL, whatever is in it."""
        odd = 'it\'s 100% "odd"; \\ {} :x %s _ | ünï 無'
        if self.BACKEND == 'mysql':
            # Nova creates its tables with utf8, which has no more planes.
            self.assertLess(max(map(ord, odd)), 0x10000)
        for row_id in self.fill(LIVE, 'queued'):
            kept = self.follow(row_id, ('prepare', odd), ('run', odd))
            self.assertEqual(f'{odd}; {odd}', kept)

    def test_absorbed(self):
        """A late report leaves its reason and nothing else."""
        for row_id in self.fill(LIVE, LATE.state, state_reason='aborted'):
            before = self.row(row_id)
            guard.absorb(self.db, row_id, LIVE, LATE, 'raised again')
            self.assertEqual(
                before._asdict() | {'state_reason': 'aborted; raised again'},
                self.row(row_id)._asdict(),
            )

    def test_absorbed_once(self):
        """The same late report, any number of times, is kept once."""
        for text in ('again', '100% _sure_ | not', 'a|%b', '\\', "o'clock"):
            for row_id in self.fill(LIVE, LATE.state):
                for _ in range(3):
                    guard.absorb(self.db, row_id, LIVE, LATE, text)
                self.assertEqual(text, self.row(row_id).state_reason)

    def test_absorbed_is_compared_as_text(self):
        """Special letters of a pattern stand for themselves alone."""
        for kept, said in (
            ('50 percent', '50%'),
            ('a-b', 'a_b'),
            ('x', '|x'),
            ('c d', '%'),
        ):
            for row_id in self.fill(LIVE, LATE.state, state_reason=kept):
                guard.absorb(self.db, row_id, LIVE, LATE, said)
                self.assertEqual(
                    f'{kept}; {said}', self.row(row_id).state_reason
                )

    def test_absorbed_elsewhere(self):
        """A report is late only where the table says so, and else refused."""
        for row_id in self.fill(LIVE, 'running'):
            before = self.row(row_id)
            error = self.assertRaises(
                exception.TransitionConflict,
                guard.absorb,
                self.db,
                row_id,
                LIVE,
                LATE,
                'late',
            )
            self.assertEqual(
                (LATE.state, 'running'), (error.expected, error.actual)
            )
            self.assertEqual(before, self.row(row_id))

    def test_absorbed_by_nobody(self):
        """A report for a row that is gone is not taken for a late one."""
        self.assertRaises(
            exception.MigrationNotFound,
            guard.absorb,
            self.db,
            4711,
            LIVE,
            LATE,
            'late',
        )

    def test_absorbed_is_one_update(self):
        """Absorbing a report asks nothing either."""
        for row_id in self.fill(LIVE, LATE.state):
            with self.statements() as sent:
                guard.absorb(self.db, row_id, LIVE, LATE, 'late')
            self.assertEqual(
                ['UPDATE'], [w for w in sent if w not in ('BEGIN', 'SET')]
            )


#: What a live migration may do, written down by hand from Nova's code and
#: not taken from the library, to check what the library has recorded.
LIVE_MODEL = {
    'accepted': {'queued', 'completed', 'failed', 'error'},
    'queued': {'preparing', 'cancelled', 'error'},
    'preparing': {'running', 'cancelled', 'error'},
    'running': {'postcopy', 'completed', 'cancelled', 'failed', 'error'},
    'postcopy': {'completed', 'cancelled', 'failed', 'error'},
    'error': {
        'queued',
        'preparing',
        'running',
        'postcopy',
        'completed',
        'cancelled',
        'failed',
    },
    'completed': set(),
    'cancelled': set(),
    'failed': set(),
}


def path_of(moves, start):
    """Return the states that moves lead through, or say what is wrong."""
    for here, there in moves:
        if there not in LIVE_MODEL[here]:
            raise AssertionError(f'{here} does not lead to {there}')
    return trail.of(moves, start)


@base.on_every_database
class Races(GuardTest):
    """Four processes that want the same rows."""

    PROCESSES = 4
    ROUNDS = 40

    def setUp(self):
        super().setUp()
        self.workers = self.useFixture(
            worker.Workers(self.PROCESSES, self.url)
        )

    def test_one_winner(self):
        """Each round has one winner; the losers are told where the row is."""
        chance = random.Random(4)
        rows = {
            row_id: (LIVE.table.start.name, [])
            for _ in range(4)
            for row_id in self.fill(LIVE, LIVE.table.start.name)
        }
        start = LIVE.table.start.name
        for _round in range(self.ROUNDS):
            alive = [r for r in rows if LIVE.events_from(rows[r][0])]
            if not alive:
                break
            row_id = chance.choice(alive)
            here, moves = rows[row_id]
            events = LIVE.events_from(here)
            answers = self.workers.ask_each(
                {
                    'do': 'move',
                    'row': row_id,
                    'machine': LIVE.name,
                    'source': here,
                    'event': chance.choice(events),
                    'reason': f'process {position}',
                }
                for position in range(self.PROCESSES)
            )
            (winner,) = [a for a in answers if a['outcome'] == 'moved']
            losers = [a for a in answers if a is not winner]
            for loser in losers:
                self.assertEqual(
                    {
                        'outcome': 'conflict',
                        'expected': here,
                        'actual': winner['target'],
                    },
                    loser,
                )
            moves.append((here, winner['target']))
            rows[row_id] = (winner['target'], moves)
        for row_id, (last, moves) in rows.items():
            self.assertEqual(last, path_of(moves, start)[-1])
            found = guard.position(self.db, row_id, LIVE)
            self.assertEqual(last, found.state)
            reasons = self.row(row_id).state_reason
            self.assertEqual(
                len(moves), len(reasons.split('; ')) if reasons else 0
            )

    def test_objects(self):
        """Objects that lose are refused, or late where the table says so."""
        outcomes = set()
        absorbed = {(a.state, a.event) for a in LIVE.table.absorbed}
        events = LIVE.events_from('running')
        chance = random.Random(5)
        for row_id in [
            r for _ in range(12) for r in self.fill(LIVE, 'running')
        ]:
            self.workers.ask_all({'do': 'load', 'row': row_id})
            chosen = chance.sample(events, self.PROCESSES)
            answers = self.workers.ask_each(
                {'do': 'process', 'row': row_id, 'event': event}
                for event in chosen
            )
            (winner,) = [a for a in answers if a['outcome'] == 'moved']
            there = winner['state']
            self.assertIn(there, LIVE_MODEL['running'])
            for answer, event in zip(answers, chosen, strict=True):
                if answer is winner:
                    continue
                if (there, event) in absorbed:
                    self.assertEqual(
                        {'outcome': 'absorbed', 'state': there}, answer
                    )
                else:
                    self.assertEqual(
                        {
                            'outcome': 'conflict',
                            'expected': 'running',
                            'actual': there,
                            'state': 'running',
                        },
                        answer,
                    )
                outcomes.add(answer['outcome'])
            row = self.row(row_id)
            self.assertEqual(
                there, guard.position(self.db, row_id, LIVE).state
            )
            late_ones = [
                event
                for answer, event in zip(answers, chosen, strict=True)
                if answer['outcome'] == 'absorbed'
            ]
            self.assertEqual(
                len(late_ones), (row.state_reason or '').count('late ')
            )
        self.assertEqual({'absorbed', 'conflict'}, outcomes)

    def test_free_for_all(self):
        """What random walkers were told is a path of the machine, no more."""
        start = LIVE.table.start.name
        ids = [r for _ in range(10) for r in self.fill(LIVE, start)]
        answers = self.workers.ask_each(
            {
                'do': 'walk',
                'rows': dict.fromkeys(ids, LIVE.name),
                'steps': 60,
                'seed': position,
            }
            for position in range(self.PROCESSES)
        )
        for row_id in ids:
            moves = [
                (source, target)
                for answer in answers
                for row, source, _event, target in answer['history']
                if row == row_id
            ]
            path = path_of(moves, start)
            found = guard.position(self.db, row_id, LIVE)
            self.assertEqual(path[-1], found.state)


#: What makes a server answer a lost race with an error. A waiting PostgreSQL
#: looks for a deadlock once, after a time that a slow machine may need.
_STRICT = {
    'mysql': ('SET SESSION innodb_snapshot_isolation = ON',),
    'postgresql': (
        'SET SESSION CHARACTERISTICS AS TRANSACTION'
        ' ISOLATION LEVEL REPEATABLE READ',
        "SET deadlock_timeout = '4s'",
    ),
}


@base.on_every_database
class Isolation(GuardTest):
    """Servers that answer a lost race with an error of their own."""

    # SQLite has one writer at a time.
    backends = ('mysql', 'postgresql')

    def setUp(self):
        super().setUp()
        self.strict = self.open()
        sa.event.listen(self.strict.engine, 'connect', self._be_strict)
        self.strict.engine.dispose()

    def _be_strict(self, connection, _record):
        with connection.cursor() as cursor:
            for statement in _STRICT[self.BACKEND]:
                cursor.execute(statement)
        connection.commit()

    @contextlib.contextmanager
    def looking_first(self, query, times=1):
        """Have transactions begin with a query, as a service's might."""
        left = [times]

        def look(connection):
            if left[0]:
                left[0] -= 1
                connection.exec_driver_sql(query)

        sa.event.listen(self.strict.engine, 'begin', look)
        try:
            yield left
        finally:
            sa.event.remove(self.strict.engine, 'begin', look)

    @contextlib.contextmanager
    def rival(self, row_id, **values):
        """Have somebody else be about to commit a change of a row."""
        with (
            concurrent.futures.ThreadPoolExecutor(1) as pool,
            self.db.engine.connect() as connection,
            connection.begin() as transaction,
        ):
            connection.execute(
                models.MIGRATIONS.update()
                .where(models.MIGRATIONS.c.id == row_id)
                .values(**values)
            )
            yield pool, transaction

    def test_lost_race(self):
        """The loser is run again, and ends in a conflict that is true."""
        query = 'SELECT count(*) FROM migrations'
        for row_id in self.fill(LIVE, COMPLETE.source):
            canonical = self.row(row_id).state is not None
            target = LIVE.state(CANCEL.target)
            values = (
                {'state': target.name, 'status': target.status}
                if canonical
                else {'status': target.legacy}
            )
            with (
                self.looking_first(query) as left,
                self.statements(self.strict) as sent,
                self.rival(row_id, **values) as (pool, transaction),
            ):
                future = pool.submit(
                    guard.move, self.strict, row_id, LIVE, COMPLETE
                )
                self.wait_for_lock()
                transaction.commit()
                error = self.assertRaises(
                    exception.TransitionConflict, future.result, 30
                )
            self.assertEqual(0, left[0])
            self.assertEqual(
                (COMPLETE.source, CANCEL.target),
                (error.expected, error.actual),
            )
            self.assertEqual(2, sent.count('UPDATE'))

    def test_other_change(self):
        """A rival who wrote something else costs a second try, no more."""
        query = 'SELECT count(*) FROM migrations'
        for row_id in self.fill(LIVE, COMPLETE.source):
            with (
                self.looking_first(query),
                self.rival(row_id, memory_total=5) as (pool, transaction),
            ):
                future = pool.submit(
                    guard.move, self.strict, row_id, LIVE, COMPLETE
                )
                self.wait_for_lock()
                transaction.commit()
                future.result(30)
            self.assertEqual(
                COMPLETE.target, guard.position(self.db, row_id, LIVE).state
            )
            self.assertEqual(5, self.row(row_id).memory_total)

    def test_deadlock(self):
        """The victim of a deadlock is run again, and moves."""
        wanted, other = self.fill(LIVE, COMPLETE.source)
        query = f'SELECT id FROM migrations WHERE id = {other} FOR UPDATE'
        with (
            self.looking_first(query) as left,
            self.statements(self.strict) as sent,
            self.rival(wanted, memory_total=5) as (pool, transaction),
        ):
            future = pool.submit(
                guard.move, self.strict, wanted, LIVE, COMPLETE
            )
            self.wait_for_lock()
            if self.BACKEND == 'postgresql':
                # Whoever looks for a deadlock first is its victim.
                transaction.connection.exec_driver_sql(
                    "SET deadlock_timeout = '60s'"
                )
            transaction.connection.execute(
                models.MIGRATIONS.update()
                .where(models.MIGRATIONS.c.id == other)
                .values(memory_total=6)
            )
            transaction.commit()
            future.result(30)
        self.assertEqual(0, left[0])
        self.assertEqual(2, sent.count('UPDATE'))
        self.assertEqual(
            COMPLETE.target, guard.position(self.db, wanted, LIVE).state
        )
        self.assertEqual([5, 6], [r.memory_total for r in self.rows()])

    def test_stale_read_is_not_believed(self):
        """What the row is now is asked in a transaction that can see it."""
        (row_id, _other) = self.fill(LIVE, COMPLETE.source)
        query = f'SELECT status FROM migrations WHERE id = {row_id}'
        with self.looking_first(query, times=2):
            self.write(row_id, status='cancelled')
            self.assertEqual(
                'cancelled',
                self.conflict(row_id, edge=COMPLETE, database=self.strict),
            )

    def test_other_errors_are_not_tried_again(self):
        """An error that no second try can get past is raised at once."""
        taken = {'uuid': 'taken'}
        self.insert(**taken)
        with self.statements(self.strict) as sent:
            error = self.assertRaises(
                db_exc.DBDuplicateEntry,
                self.strict.run,
                lambda connection: connection.execute(
                    models.MIGRATIONS.insert().values(taken)
                ),
            )
        self.assertFalse(errors.may_run_again(error))
        self.assertEqual(1, sent.count('INSERT'))
