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

"""The statements of expand and contract, and what they do beside others."""

import contextlib
import threading
import time
from unittest import mock

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import ddl
from nova_migration.db import engine
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.states import MACHINES
from tests.functional import base

START = MACHINES['resize'].table.start
AWAITING = MACHINES['resize'].legacy['finished']


class DdlTest:
    """What these tests share."""

    @contextlib.contextmanager
    def statements(self):
        """Record every statement that the test's engine is sent."""
        sent = []

        def record(_connection, _cursor, statement, *_rest):
            sent.append(' '.join(statement.split()))

        event = (self.db.engine, 'before_cursor_execute', record)
        sa.event.listen(*event)
        try:
            yield sent
        finally:
            sa.event.remove(*event)

    @contextlib.contextmanager
    def holding(self, table):
        """Have another connection in the middle of using a table."""
        other = self.open()
        with (
            other.engine.connect() as connection,
            connection.begin() as transaction,
        ):
            connection.exec_driver_sql(
                {
                    'sqlite': f"UPDATE {table.name} SET dest_host = 'x'",
                    'mysql': f'SELECT count(*) FROM {table.name}',
                    'postgresql': f'LOCK TABLE {table.name} IN ROW EXCLUSIVE'
                    ' MODE',
                }[self.BACKEND]
            )
            yield
            transaction.rollback()

    def checks(self):
        """Return on which tables contract's check is."""
        with self.db.engine.connect() as connection:
            return [
                table.name
                for table in models.TABLES
                if ddl.has_check(connection, table)
            ]

    def run_soon(self, command):
        """Run a command that has to give up on a lock, and soon."""
        begun = time.monotonic()
        with mock.patch.object(ddl, 'LOCK_TIMEOUT', 1):
            error = self.assertRaises(exception.LockTimeout, command, self.db)
        self.assertLess(time.monotonic() - begun, 8)
        self.assertEqual(1, error.seconds)
        self.assertIn(models.MIGRATIONS.name, error.table)


@base.on_every_database
class Statements(DdlTest):
    """Each server is sent what it does without copying a table."""

    def altering(self, sent):
        """Return the statements that change one of the two tables."""
        names = [table.name for table in models.TABLES]
        return [
            statement
            for statement in sent
            if statement.startswith(
                ('ALTER TABLE', 'CREATE INDEX', 'CREATE U')
            )
            and any(f' {name} ' in statement for name in names)
        ]

    def test_expand(self):
        """Columns are added at once, and the index beside writers."""
        self.create_nova_tables()
        with self.statements() as sent:
            schema.expand(self.db, create=True)
        changes = self.altering(sent)
        adding = [text for text in changes if 'ADD COLUMN' in text]
        (index,) = [text for text in changes if 'INDEX' in text]
        self.assertCountEqual([*adding, index], changes)
        if self.BACKEND == 'mysql':
            self.assertEqual(len(models.TABLES), len(adding))
            for text in adding:
                self.assertIn('ALGORITHM=INSTANT', text)
            self.assertIn('ALGORITHM=INPLACE', index)
            self.assertIn('LOCK=NONE', index)
            return
        wanted = len(models.TABLES) * len(models.added_columns())
        self.assertEqual(wanted, len(adding))
        for text in adding:
            self.assertNotIn('NOT NULL', text)
            self.assertNotIn('DEFAULT', text)
        self.assertEqual(self.BACKEND == 'postgresql', 'CONCURRENTLY' in index)

    def test_contract(self):
        """The check is added without a look at the rows that are there."""
        schema.expand(self.db, create=True)
        with self.statements() as sent:
            schema.contract(self.db)
        if self.BACKEND == 'mysql':
            changes = self.altering(sent)
            self.assertEqual(len(models.TABLES), len(changes))
            for text in changes:
                self.assertIn('CHECK (', text)
                self.assertIn('ALGORITHM=INSTANT', text)
        elif self.BACKEND == 'postgresql':
            changes = self.altering(sent)
            adding, validating = changes[:2], changes[2:]
            self.assertEqual(len(models.TABLES), len(validating))
            for text in adding:
                self.assertIn('ADD CONSTRAINT', text)
                self.assertTrue(text.endswith('NOT VALID'), text)
            for text in validating:
                self.assertIn('VALIDATE CONSTRAINT', text)
        self.assertEqual([t.name for t in models.TABLES], self.checks())

    def test_contract_keeps_rows_and_indexes(self):
        """What the tables hold is there after contract and after its undo.

        SQLite has to copy a table for a check.
        """
        schema.expand(self.db, create=True)
        self.insert(
            id=4,
            uuid='u4',
            status=AWAITING.status,
            state=AWAITING.name,
            migration_type='resize',
            hidden=True,
        )
        before = self.row(4)
        indexes = self.indexes()
        schema.contract(self.db)
        self.assertEqual(before, self.row(4))
        self.assertEqual(indexes, self.indexes())
        schema.revert_contract(self.db)
        self.assertEqual(before, self.row(4))
        self.assertEqual(indexes, self.indexes())

    def indexes(self):
        """Return the indexes of the main table."""
        found = sa.inspect(self.db.engine).get_indexes('migrations')
        return sorted(
            (row['name'], tuple(row['column_names']), bool(row['unique']))
            for row in found
        )


@base.on_every_database
class Locks(DdlTest):
    """A table that somebody holds is not waited for."""

    def test_expand(self):
        """Expand gives up, and a second run finishes what it has begun."""
        tables = self.create_nova_tables()
        self.insert(tables[0], id=1, status=START.legacy)
        self.insert(tables[1], id=1, status=START.legacy)
        for table in tables:
            with self.holding(table):
                self.run_soon(schema.expand)
            self.assertFalse(schema.is_expanded(self.db))
        schema.expand(self.db, create=True)
        self.assertTrue(schema.is_expanded(self.db))
        self.assertFalse(engine.needs_expand(self.db.engine))
        self.assertEqual(START.legacy, self.row(1).status)

    def test_writers_go_on(self):
        """Who wants the table behind a refused expand gets it."""
        (nova, _shadow) = self.create_nova_tables()
        self.insert(nova, id=1, status=START.legacy)
        with self.holding(nova):
            self.run_soon(schema.expand)
        with self.db.engine.begin() as connection:
            changed = connection.execute(
                nova.update().values(status=AWAITING.legacy)
            )
        self.assertEqual(1, changed.rowcount)

    def test_index_beside_a_transaction(self):
        """The index waits as little for a transaction as the columns do."""
        schema.expand(self.db, create=True)
        models.STATE_INDEX.drop(self.db.engine)
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql(f'DELETE FROM {schema.VERSION_TABLE}')
        self.insert(id=1, status=START.legacy)
        with self.holding(models.MIGRATIONS):
            self.run_soon(schema.expand)
        schema.expand(self.db, create=True)
        found = sa.inspect(self.db.engine).get_indexes('migrations')
        self.assertIn(models.INDEX, {row['name'] for row in found})
        with self.db.engine.connect() as connection:
            if self.BACKEND == 'postgresql':
                invalid = connection.scalar(
                    sa.text(
                        'SELECT count(*) FROM pg_index WHERE NOT indisvalid'
                    )
                )
                self.assertEqual(0, invalid)

    @base.only_on('postgresql')
    def test_killed_index(self):
        """The invalid index of a build that was killed is built again."""
        schema.expand(self.db, create=True)
        models.STATE_INDEX.drop(self.db.engine)
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql(f'DELETE FROM {schema.VERSION_TABLE}')
        builder = self.open()
        failed = []

        def build():
            try:
                schema.expand(builder, create=True)
            except (db_exc.DBError, exception.DatabaseError) as error:
                failed.append(error)

        thread = threading.Thread(target=build)
        with self.holding(models.MIGRATIONS):
            thread.start()
            self.terminate('CREATE INDEX CONCURRENTLY%')
            thread.join()
        self.assertEqual(1, len(failed))
        self.assertEqual([False], self.validity())
        schema.expand(self.db, create=True)
        self.assertEqual([True], self.validity())

    def terminate(self, like):
        """End the connection that waits with a statement, once it does."""
        query = sa.text(
            'SELECT pg_terminate_backend(pid) FROM pg_stat_activity'
            ' WHERE datname = current_database() AND query LIKE :like'
            " AND wait_event_type = 'Lock'"
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with self.db.engine.connect() as connection:
                if connection.execute(query, {'like': like}).first():
                    return
            time.sleep(0.05)
        self.fail(f'nobody waited with {like}')

    def validity(self):
        """Return whether each index of ours is valid."""
        query = sa.text(
            'SELECT indisvalid FROM pg_index'
            ' WHERE indexrelid = to_regclass(:name)'
        )
        with self.db.engine.connect() as connection:
            name = {'name': models.INDEX}
            return list(connection.scalars(query, name))

    def test_contract(self):
        """Contract gives up too, and a second run finishes it."""
        schema.expand(self.db, create=True)
        values = {'status': START.status, 'state': START.name}
        for table in models.TABLES:
            self.insert(table, id=1, **values)
        for table in models.TABLES:
            with self.holding(table):
                self.run_soon(schema.contract)
            self.assertFalse(schema.is_contracted(self.db))
        schema.contract(self.db)
        self.assertEqual([t.name for t in models.TABLES], self.checks())

    def test_busy_writer(self):
        """A writer that hardly rests is waited for, in every step."""
        self.create_nova_tables()
        self.insert(id=1, status=None)
        steps = (
            schema.expand,
            schema.contract,
            schema.revert_contract,
            schema.revert_expand,
        )
        with self.writing() as written:
            for step in steps * 3:
                step(self.db)
        self.assertGreater(len(written), 0)

    @contextlib.contextmanager
    def writing(self):
        """Have somebody update a row again and again."""
        other = self.open()
        over = threading.Event()
        written = []

        def write():
            while not over.wait(0.001):
                with contextlib.suppress(db_exc.DBError):
                    with other.engine.begin() as connection:
                        connection.exec_driver_sql(
                            "UPDATE migrations SET dest_host = 'x'"
                        )
                    written.append(time.monotonic())

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield written
        finally:
            over.set()
            thread.join()


@base.on_every_database
class LegacyRows(DdlTest):
    """Contract and rows that are not canonical."""

    def setUp(self):
        super().setUp()
        schema.expand(self.db, create=True)

    def refuse(self, table, count, *examples):
        """Contract must refuse, and leave no check behind."""
        error = self.assertRaises(
            exception.LegacyRowsRemain, schema.contract, self.db
        )
        self.assertEqual(table.name, error.table)
        self.assertEqual(count, error.count)
        self.assertIn(f'{table.name}: {count} (', str(error))
        for example in examples:
            self.assertIn(example, error.examples)
        self.assertEqual([], self.checks())
        self.assertFalse(schema.is_contracted(self.db))
        for each in models.TABLES:
            row_id = self.insert(
                each, status=START.legacy, migration_type='resize'
            )
            with self.db.engine.begin() as connection:
                connection.execute(each.delete().where(each.c.id == row_id))

    def test_legacy_rows(self):
        """The count and examples of what is left are in the message."""
        for table in models.TABLES:
            for _ in range(3):
                self.insert(
                    table, status=START.legacy, migration_type='resize'
                )
            self.insert(table, status='goofballs', migration_type='migration')
            self.insert(
                table,
                status=START.status,
                state=START.name,
                migration_type='resize',
            )
            self.refuse(
                table,
                4,
                f"resize '{START.legacy}'",
                "migration 'goofballs'",
            )
            with self.db.engine.begin() as connection:
                connection.execute(table.delete())

    def test_rows_without_status(self):
        """A row that has no status at all is in nobody's way."""
        for table in models.TABLES:
            self.insert(table, status=None, migration_type='resize')
            self.insert(table, status=None)
        schema.contract(self.db)
        self.assertTrue(schema.is_contracted(self.db))

    def test_row_without_type(self):
        """A legacy row from before there were types is found too."""
        self.insert(status=AWAITING.legacy)
        self.refuse(models.MIGRATIONS, 1, repr(AWAITING.legacy))

    def test_soft_deleted_rows(self):
        """A soft-deleted row is a row, of which Nova archives a copy."""
        self.insert(id=9, status=AWAITING.legacy, deleted=9)
        self.refuse(models.MIGRATIONS, 1)

    def test_status_written_over(self):
        """A status that is not the state's own is found."""
        self.insert(
            status=AWAITING.legacy,
            state=AWAITING.name,
            migration_type='resize',
        )
        self.refuse(models.MIGRATIONS, 1, repr(AWAITING.legacy))

    def test_status_in_other_letters(self):
        """A status that only MariaDB takes for the right one is found."""
        status = AWAITING.status.upper()
        self.insert(
            status=status, state=AWAITING.name, migration_type='resize'
        )
        self.refuse(models.MIGRATIONS, 1, repr(status))

    def test_state_without_status(self):
        """A state whose status somebody took away is found."""
        self.insert(state=AWAITING.name, migration_type='resize')
        self.refuse(models.MIGRATIONS, 1)

    def test_unknown_state(self):
        """A state that no machine has is found."""
        self.insert(
            state='goofballs', status=AWAITING.status, migration_type='resize'
        )
        self.refuse(models.MIGRATIONS, 1)

    def slip_in(self, table):
        """Have a writer insert a legacy row just before the first check."""
        other = self.open()
        slipped = []

        def insert(_connection, _cursor, statement, *_rest):
            text = ' '.join(statement.split())
            if 'ALTER TABLE' not in text or 'CHECK (' not in text or slipped:
                return
            slipped.append(text)
            with other.engine.begin() as connection:
                connection.execute(
                    table.insert().values(
                        id=77, status=START.legacy, migration_type='resize'
                    )
                )

        sa.event.listen(self.db.engine, 'before_cursor_execute', insert)
        self.addCleanup(
            sa.event.remove, self.db.engine, 'before_cursor_execute', insert
        )
        return slipped

    @base.only_on('mysql', 'postgresql')
    def test_row_between_look_and_check(self):
        """A row that comes in between is found, and the checks removed."""
        for table in models.TABLES:
            slipped = self.slip_in(table)
            error = self.assertRaises(
                exception.LegacyRowsRemain, schema.contract, self.db
            )
            self.assertTrue(slipped)
            self.assertEqual((table.name, 1), (error.table, error.count))
            self.assertEqual(START.legacy, self.row(77, table).status)
            self.assertEqual([], self.checks())
            self.assertFalse(schema.is_contracted(self.db))
            with self.db.engine.begin() as connection:
                connection.execute(table.delete())
            schema.contract(self.db)
            self.assertTrue(schema.is_contracted(self.db))
            schema.revert_contract(self.db)
