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

"""The data migration and the way back, on rows that we wrote ourselves."""

import datetime
import itertools

import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import guard
from nova_migration.db import mapping
from nova_migration.db import models
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from tests.functional import base
from tests.functional.db import samples
from tests.functional.db import worker

#: What migrate may change; nothing else, updated_at least of all.
CHANGED = {'state', 'status', 'legacy_status'}

LIVE = MACHINES['live-migration']


class UpgradeTest(samples.Expanded):
    """What these tests share."""

    def setUp(self):
        super().setUp()
        self.expand()

    def migrate(self, *, rules=(), **options):
        """Migrate to the end and return the batches."""
        meanings = mapping.meanings_with(rules)
        return list(upgrade.migrate(self.db, meanings, **options))

    def restore(self, **options):
        """Restore to the end and return the batches."""
        return list(upgrade.restore(self.db, **options))

    def everything(self):
        """Return every row of both tables."""
        return [self.rows(table) for table in models.TABLES]

    def fill(self, *rows, table=models.MIGRATIONS):
        """Insert rows and return their ids."""
        return [self.insert(table, **row) for row in rows]

    def fill_with_all_sorts(self):
        """Insert rows of every kind into both tables."""
        rows = [samples.legacy(*pair[:2]) for pair in samples.pairs()]
        rows += [samples.legacy(None, w) for w, _ in samples.untyped()]
        for word in (*samples.ODD, None):
            for kind in (*MIGRATION_TYPES, None):
                rows.append(samples.legacy(kind, word))
        rows += [
            {
                **row,
                'deleted': 1,
                'deleted_at': samples.THEN,
                'updated_at': None,
                'hidden': True,
            }
            for row in rows
        ]
        for table in models.TABLES:
            self.fill(*rows, table=table)
        return len(rows)

    def assert_only_changed(self, before, after):
        """Nothing but what migrate may change differs between two rows."""
        kept = [
            {k: v for k, v in row._mapping.items() if k not in CHANGED}
            for row in (before, after)
        ]
        self.assertEqual(*kept)


@base.on_every_database
class Migrate(UpgradeTest):
    """What becomes of each kind of row."""

    def test_every_known_pair(self):
        """Each string of each type becomes its state, and nothing else."""
        pairs = samples.pairs() + [
            (None, word, state) for word, state in samples.untyped()
        ]
        for table in models.TABLES:
            self.fill(
                *(samples.legacy(kind, word) for kind, word, _ in pairs),
                table=table,
            )
        before = self.everything()
        self.migrate()
        for olds, news in zip(before, self.everything(), strict=True):
            for old, new, (kind, word, state) in zip(
                olds, news, pairs, strict=True
            ):
                kept = word if word != state.legacy else None
                self.assertEqual(
                    (state.status, state.name, kept),
                    (new.status, new.state, new.legacy_status),
                    (kind, word),
                )
                self.assert_only_changed(old, new)

    def test_some_pairs_are_odd(self):
        """There are strings that the state alone would not give back."""
        odd = [p for p in samples.pairs() if p[1] != p[2].legacy]
        self.assertTrue(odd)
        for kind, word, _state in odd:
            self.fill(samples.legacy(kind, word))
        self.migrate()
        self.assertEqual(
            [word for _kind, word, _state in odd],
            [row.legacy_status for row in self.rows()],
        )

    def test_unknown_strings_stay(self):
        """What no machine knows is left as it is, to the last blank."""
        for kind in (*MIGRATION_TYPES, None):
            self.fill(*(samples.legacy(kind, w) for w in samples.ODD))
        before = self.rows()
        (batch,) = self.migrate()
        self.assertEqual(before, self.rows())
        self.assertEqual((len(before), 0), (batch.seen, batch.changed))

    def test_strings_of_other_types_stay(self):
        """A string that only another type's machine knows is left."""
        foreign = [
            samples.legacy(kind, word)
            for kind in MIGRATION_TYPES
            for word in samples.strings()
            if word not in MACHINES[kind].legacy
        ]
        self.fill(*foreign)
        before = self.rows()
        self.migrate()
        self.assertEqual(before, self.rows())

    def test_rows_without_status_stay(self):
        """A row without status is in neither form, and left."""
        self.fill(*(samples.legacy(k, None) for k in (*MIGRATION_TYPES, None)))
        before = self.rows()
        self.assertEqual([], self.migrate())
        self.assertEqual(before, self.rows())

    def test_there_and_back(self):
        """Restore gives every row of both tables back as it was."""
        count = self.fill_with_all_sorts()
        before = self.everything()
        self.migrate()
        self.assertNotEqual(before, self.everything())
        self.restore()
        self.assertEqual(before, self.everything())
        self.assertEqual([count, count], [len(rows) for rows in before])

    def test_again_changes_nothing(self):
        """Migrating, or restoring, what is done changes nothing."""
        self.fill_with_all_sorts()
        for once in (self.migrate, self.restore):
            once()
            after = self.everything()
            self.assertEqual(0, sum(b.changed for b in once()))
            self.assertEqual(after, self.everything())

    def test_canonical_rows_are_left(self):
        """A row that was created canonical is not touched by migrate."""
        for kind in MIGRATION_TYPES:
            states = MACHINES[kind].states.values()
            self.fill(*(samples.canonical(kind, state) for state in states))
        before = self.rows()
        self.assertEqual([], self.migrate())
        self.assertEqual(before, self.rows())
        self.restore()
        for old, new in zip(before, self.rows(), strict=True):
            state = MACHINES[old.migration_type].states[old.state]
            self.assertEqual((state.legacy, None), (new.status, new.state))

    def test_status_written_over(self):
        """What somebody wrote over a canonical status is what is restored."""
        machine = MACHINES['resize']
        state = machine.legacy['finished']
        for word in ('confirming', 'finished', 'goofballs', 'COMPLETED'):
            row_id = self.insert(**samples.canonical(machine.name, state))
            with self.db.engine.begin() as connection:
                connection.execute(
                    models.MIGRATIONS.update()
                    .where(models.MIGRATIONS.c.id == row_id)
                    .values(status=word)
                )
            self.restore()
            row = self.row(row_id)
            self.assertEqual((word, None), (row.status, row.state))

    def test_foreign_states_lose_no_status(self):
        """A state that the row's machine has not leaves the status there."""
        for name in ('goofballs', *MACHINES['evacuation'].states):
            if name in MACHINES['resize'].states:
                continue
            state = MACHINES['evacuation'].states.get(name)
            word = state.status if state else 'completed'
            (row_id,) = self.fill(samples.legacy('resize', word, state=name))
            self.restore()
            self.assertEqual(word, self.row(row_id).status)

    def test_settle(self):
        """A contradiction is ended by what the operator believes."""
        state = MACHINES['resize'].legacy['finished']
        for believed, status, name in (
            (upgrade.Believed.STATUS, 'confirming', None),
            (upgrade.Believed.STATE, state.status, state.name),
        ):
            sound = self.insert(**samples.canonical('resize', state))
            row_id = self.insert(
                **samples.legacy('resize', 'confirming', state=state.name)
            )
            before = self.row(sound)
            (batch,) = upgrade.settle(self.db, believed)
            self.assertEqual(1, batch.changed)
            row = self.row(row_id)
            self.assertEqual((status, name), (row.status, row.state))
            self.assertEqual(samples.THEN, row.updated_at)
            self.assertEqual(before, self.row(sound))

    def test_reasons_stay(self):
        """Reasons and times of the state survive both ways."""
        machine = MACHINES['resize']
        (row_id,) = self.fill(
            samples.legacy(
                'resize',
                machine.table.start.legacy,
                state_reason='why',
                state_changed_at=samples.THEN,
            )
        )
        before = self.row(row_id)
        self.migrate()
        self.assertEqual('why', self.row(row_id).state_reason)
        self.restore()
        self.assertEqual(before, self.row(row_id))

    def test_count(self):
        """Counting says how many rows of both tables are left to do."""
        self.fill_with_all_sorts()
        everything = [row for rows in self.everything() for row in rows]
        pending = sum(row.status is not None for row in everything)
        self.assertEqual(pending, upgrade.count(self.db, upgrade.is_legacy))
        self.migrate()
        everything = [row for rows in self.everything() for row in rows]
        done = sum(row.state is not None for row in everything)
        self.assertEqual(done, upgrade.count(self.db, upgrade.is_canonical))
        self.assertEqual(
            pending - done, upgrade.count(self.db, upgrade.is_legacy)
        )


@base.on_every_database
class Map(UpgradeTest):
    """What an operator says of strings that nobody knows."""

    def test_rule(self):
        """A rule holds for the types that have the state, and is undone."""
        kinds = [k for k in MIGRATION_TYPES if 'error' in MACHINES[k].states]
        self.assertEqual(list(MIGRATION_TYPES), kinds)
        self.fill(
            *(samples.legacy(kind, 'goofballs') for kind in (*kinds, None)),
            samples.legacy(kinds[0], 'Goofballs'),
        )
        before = self.rows()
        self.migrate(rules=['goofballs=error'])
        *mapped, other = self.rows()
        for row in mapped:
            self.assertEqual(
                ('error', 'error', 'goofballs'),
                (row.status, row.state, row.legacy_status),
            )
        self.assertEqual(before[-1], other)
        self.restore()
        self.assertEqual(before, self.rows())

    def test_rule_of_one_type(self):
        """A rule that names a type holds for no other."""
        self.fill(
            *(samples.legacy(kind, 'goofballs') for kind in MIGRATION_TYPES)
        )
        self.migrate(rules=['evacuation:goofballs=evacuated'])
        state = MACHINES['evacuation'].states['evacuated']
        for row in self.rows():
            named = row.migration_type == 'evacuation'
            self.assertEqual(state.name if named else None, row.state)
            self.assertEqual(
                state.status if named else 'goofballs', row.status
            )

    def test_rule_for_some_types(self):
        """Other types keep the string that the rule's state is not of."""
        only = [k for k in MIGRATION_TYPES if 'queued' in MACHINES[k].states]
        self.assertEqual([LIVE.name], only)
        self.fill(
            *(samples.legacy(kind, 'waiting') for kind in MIGRATION_TYPES)
        )
        self.migrate(rules=['waiting=queued'])
        self.assertEqual(
            [k if k in only else None for k in MIGRATION_TYPES],
            [row.migration_type if row.state else None for row in self.rows()],
        )

    def test_exact(self):
        """A rule is for the string to the last blank, on any database."""
        self.fill(
            *(samples.legacy('resize', word) for word in samples.ODD),
        )
        self.migrate(rules=['done =confirmed', '=error', 'ERROR=error'])
        mapped = {'done ': 'confirmed', '': 'error', 'ERROR': 'error'}
        self.assertEqual(
            [mapped.get(word) for word in samples.ODD],
            [row.state for row in self.rows()],
        )

    def test_a_move_forgets_the_odd_string(self):
        """A mapped row that was moved is restored to its new state."""
        (row_id,) = self.fill(samples.legacy(LIVE.name, 'waiting'))
        self.migrate(rules=['waiting=queued'])
        edge = LIVE.decide('queued', 'prepare')
        guard.move(self.db, row_id, LIVE, edge)
        self.restore()
        target = LIVE.state(edge.target)
        self.assertEqual(target.legacy, self.row(row_id).status)

    def test_untyped_row_follows_its_flavors(self):
        """A rule for resizes reaches a row that must have been one."""
        ids = self.fill(
            samples.legacy(
                None,
                'goofballs',
                old_instance_type_id=1,
                new_instance_type_id=2,
            ),
        )
        self.migrate(rules=['resize:goofballs=error'])
        self.assertEqual('error', self.row(ids[0]).state)

    def test_wrong_rules(self):
        """A rule that makes no sense is refused before anything is done."""
        for rule in (
            'goofballs',
            'goofballs=',
            'goofballs=goofballs',
            'resize:goofballs=queued',
            'resize:finished=error',
            'error=failed',
        ):
            self.assertRaises(
                exception.InvalidMapping, mapping.meanings_with, [rule]
            )


@base.on_every_database
class Batches(UpgradeTest):
    """Short transactions, between any two of which it may be stopped."""

    def fill_queue(self, count):
        """Insert rows that wait, and return their ids."""
        return self.fill(
            *(samples.legacy(LIVE.name, 'queued') for _ in range(count))
        )

    def states(self):
        """Return the state of every row."""
        return [row.state for row in self.rows()]

    def test_sizes(self):
        """A batch has as many rows as asked for, and the last the rest."""
        self.fill_queue(7)
        self.fill(
            *(samples.legacy('resize', 'error') for _ in range(4)),
            table=models.SHADOW_MIGRATIONS,
        )
        batches = self.migrate(batch_size=3)
        self.assertEqual(
            [
                (table.name, n, n)
                for table, sizes in zip(
                    models.TABLES, ((3, 3, 1), (3, 1)), strict=True
                )
                for n in sizes
            ],
            [(b.table, b.seen, b.changed) for b in batches],
        )

    def test_each_batch_is_committed(self):
        """What a batch did is there for others when it is reported."""
        ids = self.fill_queue(5)
        for batch in upgrade.migrate(self.db, batch_size=2):
            done = [s is not None for s in self.states()]
            self.assertEqual([i <= batch.last_id for i in ids], done)

    def test_unknown_rows_are_passed(self):
        """Rows that stay as they are do not stop what lies behind them."""
        for word in ('goofballs', 'goofballs', 'goofballs', 'queued'):
            self.fill(samples.legacy(LIVE.name, word))
        batches = self.migrate(batch_size=1)
        self.assertEqual([0, 0, 0, 1], [b.changed for b in batches])
        self.assertEqual('queued', self.states()[-1])

    def test_stopped_and_run_again(self):
        """A second run finishes what the first one left."""
        self.fill_queue(7)
        before = self.rows()
        for run, rest in ((upgrade.migrate, 3), (upgrade.restore, 3)):
            stopped = run(self.db, batch_size=2)
            list(itertools.islice(stopped, 2))
            stopped.close()
            changed = sum(b.changed for b in run(self.db, batch_size=2))
            self.assertEqual(rest, changed)
        self.assertEqual(before, self.rows())

    def test_ids_with_gaps(self):
        """Ids may have gaps of any width, and begin at zero."""
        ids = [1, 2, 1000, 2**31 - 1]
        for row_id in ids:
            self.insert(id=row_id, **samples.legacy('resize', 'error'))
        batches = self.migrate(batch_size=2)
        self.assertEqual([2, 2**31 - 1], [b.last_id for b in batches])
        self.assertNotIn(None, self.states())

    def test_changed_between_batches(self):
        """A row becomes what it says when its batch comes."""
        ids = self.fill_queue(4)
        batches = upgrade.migrate(self.db, batch_size=2)
        next(batches)
        with self.db.engine.begin() as connection:
            for row_id, values in (
                (ids[0], {'dest_host': 'x'}),
                (ids[2], {'status': 'running'}),
                (ids[3], {'status': 'goofballs'}),
            ):
                connection.execute(
                    models.MIGRATIONS.update()
                    .where(models.MIGRATIONS.c.id == row_id)
                    .values(values)
                )
        list(batches)
        self.assertEqual(['queued', 'queued', 'running', None], self.states())
        self.assertEqual('goofballs', self.row(ids[3]).status)

    def test_inserted_and_deleted_between_batches(self):
        """Rows that come or go meanwhile are no trouble."""
        ids = self.fill_queue(4)
        batches = upgrade.migrate(self.db, batch_size=2)
        next(batches)
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.delete().where(
                    models.MIGRATIONS.c.id.in_([ids[0], ids[3]])
                )
            )
        self.fill(samples.legacy('evacuation', 'done'))
        list(batches)
        self.assertEqual(['queued', 'queued', 'evacuated'], self.states())

    @base.only_on('mysql', 'postgresql')
    def test_changed_within_a_batch(self):
        """A row that changes between look and write is not overwritten."""
        ids = self.fill_queue(3)
        other = self.open()
        done = []

        def interfere(_connection, _cursor, statement, *_rest):
            if done or not statement.startswith('UPDATE migrations'):
                return
            done.append(statement)
            with other.engine.begin() as connection:
                for row_id, word in zip(
                    ids, ('preparing', 'goofballs', None), strict=True
                ):
                    connection.execute(
                        models.MIGRATIONS.update()
                        .where(models.MIGRATIONS.c.id == row_id)
                        .values(status=word)
                    )

        sa.event.listen(self.db.engine, 'before_cursor_execute', interfere)
        self.migrate()
        self.assertTrue(done)
        self.assertEqual(
            [('preparing', 'preparing'), ('goofballs', None), (None, None)],
            [(row.status, row.state) for row in self.rows()],
        )

    def test_clock(self):
        """No batch touches updated_at, whatever a table's default does."""
        ids = self.fill_queue(3)
        self.migrate(batch_size=1)
        self.restore(batch_size=1)
        for row_id in ids:
            self.assertEqual(samples.THEN, self.row(row_id).updated_at)


@base.on_every_database
class LiveWriter(UpgradeTest):
    """Somebody moves rows while they are migrated, and back."""

    def test_no_move_is_lost(self):
        """Every move that a live writer was told of is in the table."""
        machines = {
            kind: machine
            for kind, machine in MACHINES.items()
            if kind in MIGRATION_TYPES
        }
        rows = {}
        for _ in range(12):
            for kind, machine in machines.items():
                (row_id,) = self.fill(
                    samples.legacy(kind, machine.table.start.legacy)
                )
                rows[row_id] = kind
        workers = self.useFixture(worker.Workers(2, self.url))
        for position in range(workers.count):
            # A writer of its own for each row knows the row's whole history.
            mine = {
                row: kind
                for row, kind in rows.items()
                if row % workers.count == position
            }
            workers.send(
                position, do='walk', rows=mine, steps=250, seed=position
            )
        deadline = datetime.datetime.now() + datetime.timedelta(seconds=3)
        runs = 0
        while runs < 2 or datetime.datetime.now() < deadline:
            for run in (upgrade.migrate, upgrade.restore):
                for _batch in run(self.db, batch_size=3):
                    pass
            runs += 1
        self.migrate(batch_size=3)
        expected = {
            row: machines[kind].table.start.name for row, kind in rows.items()
        }
        moves = 0
        for position in range(workers.count):
            answer = workers.receive(position)
            self.assertEqual(0, answer['refused'])
            for row, source, _event, target in answer['history']:
                self.assertEqual(expected[row], source)
                expected[row] = target
                moves += 1
        self.assertGreater(moves, len(rows))
        self.migrate()
        found = {row.id: row.state for row in self.rows()}
        self.assertEqual(expected, found)
        for row in self.rows():
            state = machines[row.migration_type].states[row.state]
            self.assertEqual(state.status, row.status)


_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            'migration_type': st.sampled_from((*MIGRATION_TYPES, None)),
            'status': st.none()
            | st.sampled_from((*samples.strings(), *samples.ODD))
            | st.text(
                st.characters(
                    min_codepoint=1,
                    max_codepoint=0xFFFF,
                    categories=('L', 'N', 'P', 'Zs'),
                ),
                max_size=40,
            ),
            'deleted': st.integers(0, 1),
            'updated_at': st.none() | st.just(samples.THEN),
            'cross_cell_move': st.none() | st.booleans(),
            'old_instance_type_id': st.none() | st.integers(0, 2),
            'new_instance_type_id': st.none() | st.integers(0, 2),
        }
    ),
    max_size=12,
)


@base.on_every_database
class AnyRows(UpgradeTest):
    """Whatever the tables hold."""

    def test_there_and_back(self):
        """Migrating and restoring gives the same rows, byte for byte."""

        @hypothesis.settings(
            max_examples=150 if self.BACKEND == 'sqlite' else 40,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[*hypothesis.HealthCheck],
        )
        @hypothesis.given(_ROWS, _ROWS, st.integers(1, 5))
        def there_and_back(rows, shadow_rows, batch_size):
            with self.db.engine.begin() as connection:
                for table, values in zip(
                    models.TABLES, (rows, shadow_rows), strict=True
                ):
                    connection.execute(table.delete())
                    if values:
                        connection.execute(table.insert(), values)
            before = self.everything()
            self.migrate(batch_size=batch_size)
            for rows_now, rows_then in zip(
                self.everything(), before, strict=True
            ):
                for now, then in zip(rows_now, rows_then, strict=True):
                    self.assert_means(now, then)
            self.restore(batch_size=batch_size)
            self.assertEqual(before, self.everything())

        there_and_back()

    def assert_means(self, now, then):
        """A migrated row is what its machine says, or as it was."""
        kind = then.migration_type or MIGRATION_TYPES[0]
        state = MACHINES[kind].legacy.get(then.status)
        if state is None:
            self.assertEqual(then, now)
        else:
            self.assertEqual(
                (state.status, state.name), (now.status, now.state)
            )
            self.assert_only_changed(then, now)
