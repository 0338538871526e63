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

"""The upgrade of a Nova cell database, and the way back, row by row."""

import collections
import itertools
import threading

import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import census
from nova_migration.db import mapping
from nova_migration.db import schema
from nova_migration.db import upgrade
from tests.functional import base as functional_base
from tests.nova import base
from tests.nova import rows

_STATUS = base.NOVA_COLUMNS.index('status')


class FilledTest(base.NovaTest):
    """A cell database with rows, before anything was done to it."""

    ROWS = staticmethod(rows.every)

    def setUp(self):
        super().setUp()
        self.create_instances(rows.INSTANCES)
        self.rows_by_id = {row['id']: row for row in self.ROWS()}
        with self.plain.begin() as connection:
            for name in base.TABLES:
                connection.execute(
                    self.reflected(name).insert(),
                    list(self.rows_by_id.values()),
                )
        self.original = self.content(base.NOVA_COLUMNS)
        self.nova_structure = self.structure()

    def migrate(self, *mappings, **options):
        """Run the data migration to its end; return how many rows changed."""
        meanings = mapping.meanings_with(mappings)
        batches = list(upgrade.migrate(self.db, meanings, **options))
        return sum(batch.changed for batch in batches)

    def restore(self, **options):
        """Go back to the end; return how many rows changed."""
        batches = list(upgrade.restore(self.db, **options))
        return sum(batch.changed for batch in batches)

    def meanings(self, table='migrations'):
        """Return status, state and kept string of each row of a table."""
        columns = ('status', 'state', 'legacy_status')
        with self.db.engine.connect() as connection:
            found = connection.execute(
                sa.text(f'SELECT id, {", ".join(columns)} FROM {table}')
            )
            return {row[0]: tuple(row[1:]) for row in found}

    def map_everything(self):
        """Return rules for every string that no machine knows."""
        strings = {
            row['status']
            for row in self.rows_by_id.values()
            if rows.state_of(row) is None and row['status'] is not None
        }
        return [f'{string}=error' for string in sorted(strings)]


class UpgradeTest(FilledTest):
    """Expand, migrate, contract, and back, over every kind of row."""

    def setUp(self):
        super().setUp()
        schema.expand(self.db, create=True)

    def test_the_rows_are_what_they_should_be(self):
        """What releases wrote is known to a machine; accidents are not."""
        for kind, cross_cell_move, status in rows.known():
            row = self.row_of(kind, cross_cell_move, status)
            self.assertIsNotNone(rows.state_of(row), row)
        for kind, cross_cell_move, status in rows.unknown():
            row = self.row_of(kind, cross_cell_move, status)
            self.assertIsNone(rows.state_of(row), row)

    def row_of(self, *move):
        """Return a row of a type, cross_cell_move and status."""
        return next(
            row
            for row in self.rows_by_id.values()
            if (row['migration_type'], row['cross_cell_move'], row['status'])
            == move
        )

    def test_expand_changes_no_row(self):
        """Expand leaves every byte of Nova's, and our columns empty."""
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))
        ours = self.content(base.OUR_COLUMNS)
        for name in base.TABLES:
            self.assertEqual(
                {(None,) * len(base.OUR_COLUMNS)}, set(ours[name].values())
            )

    def test_known_rows_become_canonical(self):
        """Every known row gets the status and state that its machine says."""
        self.migrate()
        expected = {
            row_id: rows.meaning_of(row)
            for row_id, row in self.rows_by_id.items()
        }
        self.assertSameRows(
            dict.fromkeys(base.TABLES, expected),
            {name: self.meanings(name) for name in base.TABLES},
        )

    def test_only_the_status_of_known_rows_changes(self):
        """No other column of Nova's is touched, updated_at included."""
        self.migrate()
        migrated = self.content(base.NOVA_COLUMNS)
        for name in base.TABLES:
            for row_id, before in self.original[name].items():
                after = migrated[name][row_id]
                self.assertEqual(before[:_STATUS], after[:_STATUS])
                self.assertEqual(before[_STATUS + 1 :], after[_STATUS + 1 :])

    def test_unknown_rows_are_untouched(self):
        """A row that nobody can read keeps every byte."""
        unknown = [
            row_id
            for row_id, row in self.rows_by_id.items()
            if rows.state_of(row) is None
        ]
        before = self.content()
        self.migrate()
        after = self.content()
        for name in base.TABLES:
            for row_id in unknown:
                self.assertEqual(before[name][row_id], after[name][row_id])

    def test_census_counts_what_is_unknown(self):
        """The census names each unknown string exactly, with its rows."""
        self.migrate()
        expected = collections.Counter(
            (name, row['migration_type'], row['status'])
            for name in base.TABLES
            for row in self.rows_by_id.values()
            if rows.state_of(row) is None and row['status'] is not None
        )
        self.assertEqual(dict(expected), self.counts(census.Form.UNKNOWN))

    def test_census_counts_every_row_once(self):
        """Legacy rows before, canonical after, empty ones always."""
        known = [r for r in self.rows_by_id.values() if rows.state_of(r)]
        empty = [r for r in self.rows_by_id.values() if r['status'] is None]
        totals = {
            census.Form.LEGACY: 2 * len(known),
            census.Form.NONE: 2 * len(empty),
            census.Form.UNKNOWN: 2
            * (len(self.rows_by_id) - len(known) - len(empty)),
        }
        self.assertEqual(totals, self.totals())
        self.migrate()
        totals[census.Form.CANONICAL] = totals.pop(census.Form.LEGACY)
        self.assertEqual(totals, self.totals())

    def counts(self, form):
        """Return the census' counts of a form."""
        return {
            (count.table, count.migration_type, count.status): count.rows
            for count in census.take(self.db)
            if count.form == form
        }

    def totals(self):
        """Return how many rows the census has of each form."""
        totals = collections.Counter()
        for count in census.take(self.db):
            totals[count.form] += count.rows
        return dict(totals)

    def test_second_migrate_changes_nothing(self):
        """Running the data migration again is safe and does nothing."""
        known = [r for r in self.rows_by_id.values() if rows.state_of(r)]
        self.assertEqual(2 * len(known), self.migrate())
        before = self.content()
        self.assertEqual(0, self.migrate())
        self.assertSameRows(before, self.content())

    def test_contract_refuses_unknown_rows(self):
        """Contract says how many rows are in the way, and changes nothing."""
        self.migrate()
        before = self.structure()
        content = self.content()
        error = self.assertRaises(
            exception.LegacyRowsRemain, schema.contract, self.db
        )
        unknown = [
            row
            for row in self.rows_by_id.values()
            if rows.state_of(row) is None and row['status'] is not None
        ]
        self.assertEqual(len(unknown), error.count)
        self.assertEqual('migrations', error.table)
        self.assertEqual(before, self.structure())
        self.assertSameRows(content, self.content())
        self.assertFalse(schema.is_contracted(self.db))

    def test_mapped_rows_keep_their_string(self):
        """What the operator maps gets that state; the string is kept."""
        self.migrate(*self.map_everything())
        for name in base.TABLES:
            found = self.meanings(name)
            for row_id, row in self.rows_by_id.items():
                expected = rows.meaning_of(row)
                if row['status'] is not None and rows.state_of(row) is None:
                    expected = ('error', 'error', row['status'])
                self.assertEqual(expected, found[row_id])
        self.assertNotIn(census.Form.UNKNOWN, self.totals())

    def test_there_and_back_byte_for_byte(self):
        """Every step forward and every step back gives what was there."""
        expanded = self.structure()
        self.migrate()
        self.migrate(*self.map_everything())
        schema.contract(self.db)
        self.assertTrue(schema.is_contracted(self.db))
        schema.contract(self.db)
        schema.revert_contract(self.db)
        self.assertEqual(expanded, self.structure())
        statuses = [row['status'] for row in self.rows_by_id.values()]
        self.assertEqual(
            2 * (len(statuses) - statuses.count(None)), self.restore()
        )
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))
        before = self.content()
        self.assertEqual(0, self.restore())
        self.assertSameRows(before, self.content())
        schema.revert_expand(self.db)
        self.assertEqual(self.nova_structure, self.structure())
        self.assertSameRows(self.original, self.content())

    def test_restore_without_mapping(self):
        """Unknown rows are in nobody's way when the known ones go back."""
        changed = self.migrate()
        self.assertEqual(changed, self.restore())
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))
        ours = self.content(base.OUR_COLUMNS)
        for name in base.TABLES:
            self.assertEqual(
                {(None,) * len(base.OUR_COLUMNS)}, set(ours[name].values())
            )

    def test_migrating_again_after_restore(self):
        """The second journey ends where the first one did."""
        self.migrate()
        first = self.content()
        self.restore()
        self.migrate()
        self.assertSameRows(first, self.content())


class ContractedTest(FilledTest):
    """After contract the database itself refuses what Nova 34 writes."""

    ROWS = staticmethod(rows.each_once)

    def setUp(self):
        super().setUp()
        schema.expand(self.db, create=True)
        self.migrate(*self.map_everything())
        self.structure_before = self.structure()
        schema.contract(self.db)

    def assert_refused(self, text, **values):
        """Expect the server's own error, which names the check."""
        error = self.assertRaises(
            sa.exc.DBAPIError, self.execute, text, **values
        )
        name = r'migrations_contracted_see_|migrations\.state`'
        self.assertRegex(str(error.orig), name)

    def test_legacy_insert_is_refused(self):
        """No string of Nova's can be inserted without a state."""
        for name in base.TABLES:
            for status in sorted({status for _, _, status in rows.spelled()}):
                self.assert_refused(
                    f'INSERT INTO {name} (id, status) VALUES (:id, :status)',
                    id=9000000,
                    status=status,
                )

    def test_legacy_update_is_refused(self):
        """A status alone cannot be written over another state's."""
        for name in base.TABLES:
            self.assert_refused(
                f'UPDATE {name} SET status = :status WHERE state = :state',
                status='done',
                state='evacuated',
            )
            self.assert_refused(
                f'UPDATE {name} SET state = NULL WHERE state = :state',
                state='evacuated',
            )
            self.assert_refused(
                f'UPDATE {name} SET status = :status WHERE state = :state',
                status='Completed',
                state='evacuated',
            )

    def test_canonical_writes_are_taken(self):
        """Rows in canonical form, and rows without status, are written."""
        for name in base.TABLES:
            self.execute(
                f'INSERT INTO {name} (id, migration_type, status, state)'
                " VALUES (9000001, 'evacuation', :status, :state)",
                status='running',
                state='rebuilding',
            )
            self.execute(f'INSERT INTO {name} (id) VALUES (9000002)')
            self.execute(
                f'UPDATE {name} SET status = :status, state = :state'
                ' WHERE id = 9000001',
                status='completed',
                state='evacuated',
            )

    def test_rows_survive(self):
        """Contract and its way back change no byte of any row."""
        contracted = self.content()
        schema.revert_contract(self.db)
        self.assertEqual(self.structure_before, self.structure())
        self.assertSameRows(contracted, self.content())
        self.restore()
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))

    def test_foreign_key_survives(self):
        """The key to instances is there, whatever contract has done."""
        for step in (lambda _db: None, schema.revert_contract):
            step(self.db)
            (key,) = sa.inspect(self.plain).get_foreign_keys('migrations')
            self.assertEqual(['instance_uuid'], key['constrained_columns'])
            self.assertEqual('instances', key['referred_table'])
            self.assertEqual(['uuid'], key['referred_columns'])


class BatchTest(FilledTest):
    """Batches: small ones, interrupted ones, and beside a writer."""

    ROWS = staticmethod(rows.each_once)

    def setUp(self):
        super().setUp()
        schema.expand(self.db, create=True)

    def canonical_ids(self, name='migrations'):
        """Return the rows that have a state."""
        found = self.execute(f'SELECT id FROM {name} WHERE state IS NOT NULL')
        return {row[0] for row in found}

    def known_ids(self):
        """Return the rows that a machine knows, in order."""
        return sorted(
            row_id
            for row_id, row in self.rows_by_id.items()
            if rows.state_of(row) is not None
        )

    def test_small_batches_give_the_same(self):
        """Seven rows at a time or all at once: the rows are the same."""
        whole = self.migrate()
        expected = self.content()
        self.restore()
        self.assertEqual(whole, self.migrate(batch_size=7))
        self.assertSameRows(expected, self.content())
        self.assertEqual(whole, self.restore(batch_size=7))
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))

    def test_batches_say_what_they_did(self):
        """Each batch looks at rows of one table, in order, at most so many."""
        batches = list(upgrade.migrate(self.db, batch_size=7))
        with_status = [r for r in self.rows_by_id.values() if r['status']]
        empty = [r for r in self.rows_by_id.values() if r['status'] == '']
        for name in base.TABLES:
            own = [batch for batch in batches if batch.table == name]
            self.assertEqual(
                len(with_status) + len(empty), sum(b.seen for b in own)
            )
            self.assertEqual(
                len(self.known_ids()), sum(b.changed for b in own)
            )
            self.assertTrue(all(b.changed <= b.seen <= 7 for b in own))
            last = [batch.last_id for batch in own]
            self.assertEqual(sorted(set(last)), last)

    def test_stopped_and_run_again(self):
        """A run that was stopped between batches is taken up by the next."""
        self.migrate()
        expected = self.content()
        self.restore()
        run = upgrade.migrate(self.db, batch_size=7)
        done = list(itertools.islice(run, 5))
        run.close()
        self.assertEqual(
            {key for key in self.known_ids() if key <= done[-1].last_id},
            self.canonical_ids(),
        )
        self.assertEqual(set(), self.canonical_ids('shadow_migrations'))
        self.migrate(batch_size=7)
        self.assertSameRows(expected, self.content())

    def test_stopped_restore_is_taken_up(self):
        """Going back can be stopped and taken up as well."""
        self.migrate()
        run = upgrade.restore(self.db, batch_size=7)
        list(itertools.islice(run, 5))
        run.close()
        self.restore(batch_size=7)
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))

    def test_turned_around_half_way(self):
        """Half a migration can be taken back at once."""
        run = upgrade.migrate(self.db, batch_size=7)
        list(itertools.islice(run, 5))
        run.close()
        self.restore()
        self.assertSameRows(self.original, self.content(base.NOVA_COLUMNS))

    def test_writer_between_batches_wins(self):
        """What somebody writes between two batches is what is migrated."""
        running = self.last_with('live-migration', 'running')
        run = upgrade.migrate(self.db, batch_size=7)
        self.assertLess(next(run).last_id, running)
        self.write(running, 'completed')
        list(run)
        self.assertEqual(
            rows.meaning_of(
                {**self.rows_by_id[running], 'status': 'completed'}
            ),
            self.meanings()[running],
        )

    def test_unknown_string_between_batches_wins(self):
        """A row that becomes unknown between two batches stays as it is."""
        running = self.last_with('live-migration', 'running')
        run = upgrade.migrate(self.db, batch_size=7)
        self.assertLess(next(run).last_id, running)
        self.write(running, 'goofballs')
        list(run)
        self.assertEqual(('goofballs', None, None), self.meanings()[running])

    @functional_base.only_on('mysql', 'postgresql')
    def test_writer_within_a_batch_wins(self):
        """A write that a batch has to wait for is not overwritten.

        SQLite locks the database and not a row.
        """
        running = self.last_with('live-migration', 'running')
        migrating = threading.Thread(target=self.migrate)
        with self.plain.begin() as connection:
            connection.execute(_WRITE, {'id': running, 'status': 'completed'})
            migrating.start()
            self.addCleanup(migrating.join)
            self.wait_for_lock()
        migrating.join()
        self.assertEqual(
            rows.meaning_of(
                {**self.rows_by_id[running], 'status': 'completed'}
            ),
            self.meanings()[running],
        )
        self.assertEqual(set(self.known_ids()), self.canonical_ids())

    def last_with(self, kind, status):
        """Return the last row of a type that has a status."""
        return max(
            row_id
            for row_id, row in self.rows_by_id.items()
            if (row['migration_type'], row['status']) == (kind, status)
        )

    def write(self, row_id, status):
        """Write a status as Nova does: whatever is there."""
        with self.plain.begin() as connection:
            connection.execute(_WRITE, {'id': row_id, 'status': status})


_WRITE = sa.text('UPDATE migrations SET status = :status WHERE id = :id')


for _mixin in (UpgradeTest, ContractedTest, BatchTest):
    functional_base.on_every_database(_mixin)
