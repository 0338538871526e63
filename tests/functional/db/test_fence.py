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

"""The way back, and a writer of states that comes at any moment of it."""

import contextlib
from unittest import mock

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration import context
from nova_migration import exception
from nova_migration import objects
from nova_migration.conf import opts
from nova_migration.db import engine
from nova_migration.db import fence
from nova_migration.db import mapping
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests.functional import base

#: What a writer tells a server, so that it waits for a moment only.
_HURRY = {
    'sqlite': 'PRAGMA busy_timeout = 50',
    'mysql': 'SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1',
    'postgresql': "SET lock_timeout = '100ms'",
}

#: What the statement has that removes the column for the state.
_DROP = 'DROP COLUMN IF EXISTS state,'

#: What only asks a server how the tables look.
_LOOKS = ('SHOW', 'PRAGMA', 'SELECT pg_catalog', 'SELECT @@', 'SELECT cons')

STRINGS = dict(enumerate(MACHINES['resize'].legacy, start=1))
START = MACHINES['resize'].table.start


class FenceTest:
    """What these tests share."""

    def setUp(self):
        super().setUp()
        self.other = self.open(opts.StatusFormat.CANONICAL)
        self.expand()
        self.fill()

    def fill(self):
        """Have legacy rows with every string of a machine in both tables."""
        for table in models.TABLES:
            with self.db.engine.begin() as connection:
                connection.execute(table.delete())
            for row_id, text in STRINGS.items():
                self.insert(
                    table, id=row_id, migration_type='resize', status=text
                )

    def migrate(self):
        """Make all rows canonical in a moment, as who does not wait."""
        with self.other.transaction() as connection:
            connection.exec_driver_sql(_HURRY[self.BACKEND])
            for table in models.TABLES:
                statement = upgrade.to_canonical(
                    table, mapping.meanings_with()
                )
                connection.execute(statement)

    def kill(self):
        """Have a run end just before it drops the columns of a table.

        What it would do about it is not done, as if it had been killed.
        """

        def stop(_connection, _cursor, statement, *_rest):
            if (
                f'DROP COLUMN IF EXISTS {models.STATE_INDEX.columns[0].name}'
                in (statement)
            ):
                raise KeyboardInterrupt

        with (
            mock.patch.object(fence, '_give_up'),
            self.hooked(stop),
            contextlib.suppress(KeyboardInterrupt),
        ):
            schema.revert_expand(self.db)

    @contextlib.contextmanager
    def hooked(self, hook):
        """Call a function before each statement of the test's engine."""
        event = (self.db.engine, 'before_cursor_execute', hook)
        sa.event.listen(*event)
        try:
            yield
        finally:
            sa.event.remove(*event)

    def strings(self):
        """Return what a way back would make of each row, by table and id."""
        nova = models.nova_schema.define(sa.MetaData())
        ours = not engine.needs_expand(self.db.engine)
        with self.db.engine.begin() as connection:
            found = {}
            for table, plain in zip(models.TABLES, nova, strict=True):
                if ours:
                    connection.execute(upgrade.to_legacy(table))
                for row in connection.execute(sa.select(plain)):
                    found[table.name, row.id] = row.status
        return found

    def assert_no_string_lost(self):
        """Every row has its string, or a state that stands for it."""
        wanted = {
            (table.name, row_id): text
            for table in models.TABLES
            for row_id, text in STRINGS.items()
        }
        self.assertEqual(wanted, self.strings())


@base.on_every_database
class GapTest(FenceTest):
    """Whoever comes between the count and the drop."""

    def come_before(self, number):
        """Let somebody write states before a statement of the way back.

        :returns: whether there was such a statement, and what came of both
        """
        count, written = 0, None

        def come(_connection, _cursor, statement, *_rest):
            nonlocal count, written
            count += not statement.startswith(_LOOKS)
            if count != number or written is not None:
                return
            try:
                self.migrate()
                written = True
            except (
                exception.DatabaseError,
                db_exc.DBError,
                sa_exc.DBAPIError,
            ):
                written = False

        try:
            with self.hooked(come):
                schema.revert_expand(self.db)
        except exception.CanonicalRowsRemain:
            return count >= number, written, False
        return count >= number, written, True

    def test_at_any_moment(self):
        """A state is written before the count, or not at all."""
        outcomes, number, there = set(), 0, True
        while there:
            number += 1
            there, written, dropped = self.come_before(number)
            outcomes.add((written, dropped))
            self.assertFalse(schema.is_fenced(self.db))
            self.assert_no_string_lost()
            schema.expand(self.db, create=True)
            self.fill()
        # One came before the count, and one came too late.
        self.assertIn((True, False), outcomes)
        self.assertIn((False, True), outcomes)

    @base.only_on('mysql')
    def test_who_takes_the_fence_down(self):
        """Nothing is dropped behind a fence that is not there any more.

        Elsewhere nobody can alter the tables between the count and the drop.
        """

        def come(_connection, _cursor, statement, *_rest):
            if _DROP in statement and schema.is_fenced(self.other):
                schema.take_back(self.other)
                self.migrate()

        with self.hooked(come):
            error = self.assertRaises(
                exception.AnotherAtWork, schema.revert_expand, self.db
            )
        self.assertNotIsInstance(error, exception.RestoreAtWork)
        self.assert_no_string_lost()
        # The index is gone; who looks finds that.
        self.assertFalse(schema.is_expanded(self.db))
        schema.expand(self.db, create=True)
        self.assertTrue(schema.is_expanded(self.db))


@base.on_every_database
class LeftTest(FenceTest):
    """What a killed run leaves."""

    # SQLite rolls it back.
    backends = ('mysql', 'postgresql')

    def setUp(self):
        super().setUp()
        self.kill()
        self.assertTrue(schema.is_fenced(self.db))

    def test_writers_are_told_the_cause(self):
        """A service and migrate are told who keeps states out."""
        migration = objects.Migration(
            context.get_admin_context(self.other),
            migration_type='resize',
            source_compute='a',
            dest_compute='b',
        )
        for work in (
            migration.create,
            lambda: list(upgrade.migrate(self.db)),
        ):
            error = self.assertRaises(exception.RestoreAtWork, work)
            self.assertIn('restore --drop-columns', str(error))
            self.assertNotIn(':openstack_citest@', str(error))
        self.assert_no_string_lost()

    def test_legacy_writers_go_on(self):
        """Who writes Nova's strings does not notice it."""
        self.insert(id=99, status=START.legacy, migration_type='resize')
        self.assertEqual(START.legacy, self.row(99).status)

    def test_taken_back(self):
        """Expand, and contract in its way, let states be written again."""
        schema.expand(self.db, create=True)
        self.assertFalse(schema.is_fenced(self.db))
        self.assertTrue(schema.is_expanded(self.db))
        self.kill()
        self.assertRaises(exception.LegacyRowsRemain, schema.contract, self.db)
        self.assertFalse(schema.is_fenced(self.db))
        self.kill()
        schema.revert_contract(self.db)
        self.assertFalse(schema.is_fenced(self.db))
        self.migrate()
        self.assert_no_string_lost()

    def test_it_is_a_part_of_the_schema(self):
        """Who compares two looks at the schema sees that it has gone."""
        before = schema.present(self.db)
        schema.take_back(self.db)
        self.assertNotEqual(before, schema.present(self.db))

    def test_gone_on_with(self):
        """The next one removes what was left, in place of its own."""
        for _time in range(2):
            self.kill()
        schema.revert_expand(self.db)
        self.assertFalse(schema.is_begun(self.db))
        self.assertFalse(schema.is_fenced(self.db))
        self.assert_no_string_lost()
        for table in models.TABLES:
            with self.db.engine.connect() as connection:
                self.assertEqual([], fence.standing(connection, table))
