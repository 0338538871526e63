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


"""Every revision on every database: forth, back, twice, and half applied."""

import os
import pathlib
import py_compile
import shutil
import subprocess
import sys

from alembic import autogenerate
import alembic.command
from alembic.runtime import migration
from alembic.script import ScriptDirectory
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import engine
from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.db import schema
from nova_migration.states import MACHINES
from tests import base as test_base
from tests.functional import base

ADOPT = '3c1f5a0d9e21'
ADD_COLUMNS = '7a64be02c8d5'
REFUSE_LEGACY = 'b2e9d41f6a30'

OURS = [column.name for column in models.added_columns()]

START = MACHINES['resize'].table.start


def scripts():
    """Return the alembic scripts of the checkout."""
    return ScriptDirectory.from_config(schema.config())


class RevisionTest:
    """What the tests of revisions share."""

    def run_alembic(self, command, target, **options):
        """Run a command of alembic as the library does."""
        with self.db.engine.connect() as connection:
            command(schema.config(connection), target, **options)

    def upgrade(self, target):
        """Run revisions up to one."""
        self.run_alembic(alembic.command.upgrade, target)

    def forget(self, *revisions):
        """Say that only these revisions were run, without undoing any."""
        self.run_alembic(
            alembic.command.stamp, revisions or 'base', purge=True
        )

    def drop_everything(self):
        """Make the database empty again, in whatever state it is."""
        metadata = sa.MetaData()
        nova_schema.define(metadata)
        sa.Table(schema.VERSION_TABLE, metadata)
        metadata.drop_all(self.db.engine)

    def execute(self, *statements):
        """Run statements, each in a transaction of its own."""
        for statement in statements:
            with self.db.engine.begin() as connection:
                connection.execute(
                    sa.text(statement)
                    if isinstance(statement, str)
                    else statement
                )

    def columns(self, table):
        """Return the columns that a table has in the database."""
        found = sa.inspect(self.db.engine).get_columns(table.name)
        return {column['name']: column for column in found}

    def indexes(self, table):
        """Return the names of the indexes that a table has."""
        found = sa.inspect(self.db.engine).get_indexes(table.name)
        return {index['name'] for index in found}

    def tables(self):
        """Return the names of the tables that the database has."""
        return set(sa.inspect(self.db.engine).get_table_names())

    def everything(self):
        """Return all that the database says of its tables."""
        inspector = sa.inspect(self.db.engine)
        return {
            table: (
                [
                    (c['name'], str(c['type']), c['nullable'])
                    for c in inspector.get_columns(table)
                ],
                sorted(
                    (i['name'], tuple(i['column_names']), bool(i['unique']))
                    for i in inspector.get_indexes(table)
                ),
                sorted(
                    str(c['name'])
                    for c in inspector.get_check_constraints(table)
                ),
            )
            for table in inspector.get_table_names()
        }

    def takes(self, table, **values):
        """Return whether a table takes a row."""
        try:
            row_id = self.insert(table, **values)
        except sa.exc.SQLAlchemyError:
            return False
        except exception.NovaMigrationError:
            return False
        except Exception as error:
            if type(error).__module__.startswith('oslo_db'):
                return False
            raise
        self.execute(table.delete().where(table.c.id == row_id))
        return True

    def assert_adopted(self):
        """The two tables have every column of Nova's."""
        metadata = sa.MetaData()
        for table in nova_schema.define(metadata):
            self.assertLessEqual(
                set(table.columns.keys()), self.columns(table).keys()
            )

    def assert_expanded(self):
        """Both tables have our columns, and the index is there and whole."""
        for table in models.TABLES:
            found = self.columns(table)
            for name in OURS:
                self.assertIn(name, found)
                self.assertTrue(found[name]['nullable'])
        self.assertIn(models.INDEX, self.indexes(models.MIGRATIONS))
        if self.BACKEND == 'postgresql':
            self.assertTrue(self.pg_index_flag())
        self.assertEqual([], self.drift())

    def pg_index_flag(self):
        """Return whether PostgreSQL takes our index for whole."""
        with self.db.engine.connect() as connection:
            return connection.scalar(
                sa.text(
                    'SELECT indisvalid FROM pg_index WHERE indexrelid ='
                    f" to_regclass('{models.INDEX}')"
                )
            )

    def assert_not_expanded(self):
        """Neither table has anything of ours."""
        for table in models.TABLES:
            self.assertFalse(set(OURS) & self.columns(table).keys())
        self.assertNotIn(models.INDEX, self.indexes(models.MIGRATIONS))

    def assert_contracted(self):
        """Both tables take canonical rows and no others."""
        for table in models.TABLES:
            self.assert_takes(table, legacy=False)
        if self.BACKEND == 'postgresql':
            self.assertEqual([True, True], self.pg_checks())

    def pg_checks(self):
        """Return whether each of our checks on PostgreSQL is validated."""
        names = ', '.join(
            f"'{models.constraint_name(table)}'" for table in models.TABLES
        )
        with self.db.engine.connect() as connection:
            return (
                connection.execute(
                    sa.text(
                        'SELECT convalidated FROM pg_constraint'
                        f' WHERE conname IN ({names})'
                    )
                )
                .scalars()
                .all()
            )

    def assert_not_contracted(self):
        """Both tables take rows of both forms."""
        for table in models.TABLES:
            self.assert_takes(table, legacy=True)

    def assert_takes(self, table, *, legacy):
        """A table takes canonical rows, and legacy ones if it should."""
        kind = {'migration_type': 'resize'}
        canonical = {'status': START.status, 'state': START.name}
        self.assertTrue(self.takes(table, **kind, **canonical))
        self.assertTrue(self.takes(table, **kind))
        half = {'state': START.name}
        other = {'status': START.legacy, 'state': START.name}
        for row in ({'status': START.legacy}, half, other):
            self.assertIs(legacy, self.takes(table, **kind, **row), row)

    def drift(self):
        """Return how the two tables differ from the models."""

        def ours(name, kind, _parents):
            return kind != 'table' or name in models.metadata.tables

        with self.db.engine.connect() as connection:
            context = migration.MigrationContext.configure(
                connection,
                opts={
                    'compare_type': True,
                    'compare_server_default': True,
                    'include_name': ours,
                },
            )
            return autogenerate.compare_metadata(context, models.metadata)


@base.on_every_database
class Walk(RevisionTest):
    """Revision by revision, with a check of its own for each."""

    def _check_3c1f5a0d9e21(self):
        self.assert_adopted()
        self.assert_not_expanded()

    def _check_7a64be02c8d5(self):
        self.assert_expanded()
        self.assert_not_contracted()

    def _check_b2e9d41f6a30(self):
        self.assert_expanded()
        self.assert_contracted()

    #: Where a downgrade of each revision ends.
    _below = {
        ADOPT: 'base',
        ADD_COLUMNS: f'expand@{ADOPT}',
        REFUSE_LEGACY: f'contract@{ADOPT}',
    }

    def revisions(self):
        """Return the revisions, each behind those that it needs."""
        return [
            script.revision
            for script in reversed(list(scripts().walk_revisions()))
        ]

    def check(self, revision):
        """Run the check that a revision has."""
        getattr(self, f'_check_{revision}')()

    def test_each_revision_has_a_check(self):
        """A revision without a check of its own fails this test."""
        wanted = {f'_check_{revision}' for revision in self.revisions()}
        present = {name for name in dir(self) if name.startswith('_check_')}
        self.assertEqual(wanted, present)

    def test_forth_and_back(self):
        """Each revision can be run, undone, and run again."""
        revisions = self.revisions()
        self.assertEqual(ADOPT, revisions[0])
        for revision in revisions:
            self.upgrade(revision)
            self.check(revision)
        self.assertTrue(schema.is_contracted(self.db))
        for done, below in reversed(
            list(zip(revisions[1:], revisions, strict=False))
        ):
            self.run_alembic(alembic.command.downgrade, self._below[done])
            self.check(below)
        self.run_alembic(alembic.command.downgrade, 'base')
        self.assert_adopted()
        self.assertEqual((), schema.current(self.db))
        self.upgrade('heads')
        self.check(revisions[-1])

    def test_twice_is_harmless(self):
        """A revision that is run again, with its stamp lost, does nothing."""
        done = []
        for revision in self.revisions():
            self.upgrade(revision)
            before = self.everything()
            if not done:
                self.execute(
                    'INSERT INTO migrations (id, dest_host)'
                    " VALUES (7000, 'kept')"
                )
            self.forget(*done[-1:])
            self.upgrade(revision)
            self.check(revision)
            self.assertEqual(before, self.everything())
            done.append(revision)
        self.assertEqual('kept', self.row(7000).dest_host)

    def test_undone_twice_is_harmless(self):
        """A downgrade that is run again, with its stamp there, does nothing.

        MariaDB commits each statement, so one that was killed leaves that.
        """
        self.upgrade('heads')
        for revision in reversed(self.revisions()):
            stamped = schema.current(self.db)
            self.run_alembic(alembic.command.downgrade, self._below[revision])
            before = self.everything()
            self.forget(*stamped)
            self.run_alembic(alembic.command.downgrade, self._below[revision])
            after = self.everything()
            self.assertEqual(before, after)
        self.assert_not_expanded()

    def test_through_the_library(self):
        """expand, contract and their reversals end where they should."""
        schema.expand(self.db, create=True)
        self.assertTrue(schema.is_expanded(self.db))
        self.assertFalse(schema.is_contracted(self.db))
        self.check(ADD_COLUMNS)
        schema.expand(self.db, create=True)
        schema.contract(self.db)
        schema.contract(self.db)
        self.assertTrue(schema.is_contracted(self.db))
        self.check(REFUSE_LEGACY)
        schema.revert_contract(self.db)
        schema.revert_contract(self.db)
        self.assertTrue(schema.is_expanded(self.db))
        self.assertFalse(schema.is_contracted(self.db))
        self.check(ADD_COLUMNS)
        schema.revert_expand(self.db)
        self.check(ADOPT)
        self.assertEqual({t.name for t in models.TABLES}, self.tables())
        schema.expand(self.db, create=True)
        self.check(ADD_COLUMNS)

    def test_contract_alone(self):
        """Contracting what was not expanded is refused, and does nothing."""
        self.assertRaises(exception.EmptyDatabase, schema.contract, self.db)
        self.assertEqual(set(), self.tables())
        self.create_nova_tables()
        before = self.everything()
        self.assertRaises(exception.NotExpanded, schema.contract, self.db)
        self.assertEqual(before, self.everything())

    # A file of SQLite is opened anew each time.
    @base.only_on('mysql', 'postgresql')
    def test_expand_leaves_its_connection_as_it_was(self):
        """What expand sets on its connection is gone when it is used again.

        Else a batch of the data migration, in the same process, would not
        wait for a row as long as the operator's server says.
        """
        asked = {
            'mysql': 'SELECT connection_id(), @@SESSION.lock_wait_timeout',
            'postgresql': 'SELECT pg_backend_pid(),'
            " current_setting('lock_timeout')",
        }[self.BACKEND]
        database = engine.from_url(self.url, max_pool_size=1, max_overflow=0)
        self.addCleanup(database.engine.dispose)

        def ask():
            with database.engine.connect() as connection:
                return connection.exec_driver_sql(asked).one()

        during = []

        def heard(_connection, cursor, statement, *_rest):
            if statement.startswith('ALTER TABLE'):
                cursor.execute(asked)
                during.append(cursor.fetchone())

        before = ask()
        sa.event.listen(database.engine, 'before_cursor_execute', heard)
        schema.expand(database, create=True)
        self.assertEqual({before[0]}, {number for number, _ in during})
        self.assertNotIn(before[1], [setting for _, setting in during])
        self.assertEqual(before, ask())


@base.on_every_database
class HalfApplied(RevisionTest):
    """A revision finishes what a killed run of it has begun."""

    def half(self, columns_of_main, columns_of_shadow, index=False):
        """Apply a part of the revision that adds columns, by hand."""
        self.drop_everything()
        self.create_nova_tables()
        for table, names in zip(
            models.TABLES, (columns_of_main, columns_of_shadow), strict=True
        ):
            for column in models.added_columns():
                if column.name in names:
                    kind = column.type.compile(self.db.engine.dialect)
                    self.execute(
                        f'ALTER TABLE {table.name} ADD COLUMN'
                        f' {column.name} {kind}'
                    )
        if index:
            models.STATE_INDEX.create(self.db.engine)
        self.forget(ADOPT)

    def test_columns(self):
        """Any part of the columns may be there, on either table."""
        parts = [(OURS[:n], []) for n in range(1, len(OURS) + 1)]
        parts += [(OURS[2:], OURS[:1]), ([], OURS[1:3]), (OURS, OURS[:3])]
        for main, shadow in parts:
            self.half(main, shadow)
            schema.expand(self.db, create=True)
            self.assert_expanded()

    def test_all_but_the_stamp(self):
        """Everything may be there, and only the stamp be missing."""
        self.half(OURS, OURS, index=True)
        schema.expand(self.db, create=True)
        self.assert_expanded()
        self.assertTrue(schema.is_expanded(self.db))

    def test_index_before_the_shadow_table(self):
        """The index may be there before the last column."""
        self.half(OURS, OURS[:2], index=True)
        schema.expand(self.db, create=True)
        self.assert_expanded()

    @base.only_on('postgresql')
    def test_invalid_index(self):
        """An index that a killed build left invalid is built again."""
        self.half(OURS, OURS, index=True)
        self.execute(
            'UPDATE pg_index SET indisvalid = false WHERE indexrelid ='
            f" '{models.INDEX}'::regclass"
        )
        self.assertFalse(self.pg_index_flag())
        schema.expand(self.db, create=True)
        self.assertTrue(self.pg_index_flag())
        self.assert_expanded()

    def test_rows_stay(self):
        """What was written to half of the columns stays."""
        self.half(OURS[:1], [])
        row_id = 5
        self.execute(
            'INSERT INTO migrations (id, status, state) VALUES'
            f" ({row_id}, '{START.status}', '{START.name}')"
        )
        schema.expand(self.db, create=True)
        self.assertEqual(START.name, self.row(row_id).state)

    def test_check_on_one_table(self):
        """Contract may have got as far as either table's check."""
        for table in models.TABLES:
            self.drop_everything()
            schema.expand(self.db, create=True)
            schema.contract(self.db)
            self.forget(ADD_COLUMNS)
            self.drop_check(table)
            self.assert_takes(table, legacy=True)
            schema.contract(self.db)
            self.assert_contracted()
            self.assertTrue(schema.is_contracted(self.db))

    def test_back_from_half_a_check(self):
        """What a killed contract has added is removed on the way back."""
        for table in models.TABLES:
            self.drop_everything()
            schema.expand(self.db, create=True)
            schema.contract(self.db)
            self.forget(ADD_COLUMNS)
            self.drop_check(table)
            schema.revert_contract(self.db)
            for each in models.TABLES:
                self.assert_takes(each, legacy=True)
            self.assertTrue(schema.is_expanded(self.db))
            schema.revert_contract(self.db)
            self.assertTrue(schema.is_expanded(self.db))

    def test_back_from_half_of_the_columns(self):
        """What a killed expand has added is removed on the way back."""
        for main, shadow, index in (
            (OURS[:2], [], False),
            (OURS, OURS[1:], True),
            (OURS, OURS, True),
        ):
            self.half(main, shadow, index)
            self.assertTrue(schema.is_begun(self.db))
            schema.revert_expand(self.db)
            self.assert_not_expanded()
            self.assertFalse(schema.is_begun(self.db))

    def test_back_with_states_left(self):
        """Columns are not removed while a row has what would be lost."""
        schema.expand(self.db, create=True)
        self.execute(
            'INSERT INTO migrations (status, state, migration_type)'
            " VALUES ('completed', 'awaiting-confirmation', 'resize')"
        )
        self.execute(f'ALTER TABLE shadow_migrations DROP COLUMN {OURS[1]}')
        for _time in range(2):
            error = self.assertRaises(
                exception.CanonicalRowsRemain, schema.revert_expand, self.db
            )
            self.assertEqual(
                (models.MIGRATIONS.name, 1), (error.table, error.count)
            )
            schema.expand(self.db, create=True)
        with self.db.engine.connect() as connection:
            found = connection.scalars(sa.select(models.MIGRATIONS.c.state))
            self.assertEqual(['awaiting-confirmation'], list(found))

    def drop_check(self, table):
        """Take the check off one table, as if it had not been reached."""
        name = models.constraint_name(table)
        if self.BACKEND == 'mysql':
            length = models.added_columns()[0].type.length
            self.execute(
                f'ALTER TABLE {table.name} MODIFY state VARCHAR({length})'
            )
        elif self.BACKEND == 'postgresql':
            self.execute(f'ALTER TABLE {table.name} DROP CONSTRAINT {name}')
        else:
            self.execute(table.delete())
            with self.db.engine.begin() as connection:
                made = connection.execute(
                    sa.text(
                        'SELECT sql FROM sqlite_master WHERE tbl_name ='
                        f" '{table.name}' AND sql IS NOT NULL"
                    )
                ).scalars()
                create, *indexes = made.all()
                before, _constraint, after = create.partition(
                    f'CONSTRAINT {name} CHECK'
                )
                depth = 0
                for position, letter in enumerate(after):
                    depth += (letter == '(') - (letter == ')')
                    if letter == ')' and not depth:
                        after = after[position + 1 :]
                        break
                before = before.rstrip().rstrip(',')
                connection.execute(sa.text(f'DROP TABLE {table.name}'))
                connection.exec_driver_sql(before + after)
                for index in indexes:
                    connection.exec_driver_sql(index)

    @base.only_on('postgresql')
    def test_check_not_validated(self):
        """A check that was added and not validated is validated."""
        schema.expand(self.db, create=True)
        schema.contract(self.db)
        self.execute(
            'UPDATE pg_constraint SET convalidated = false WHERE conname ='
            f" '{models.constraint_name(models.MIGRATIONS)}'"
        )
        self.forget(ADD_COLUMNS)
        schema.contract(self.db)
        self.assertEqual([True, True], self.pg_checks())

    def test_downgrade(self):
        """Undoing goes on where a killed run of it has stopped."""
        schema.expand(self.db, create=True)
        self.execute(
            f'ALTER TABLE migrations DROP COLUMN {OURS[1]}',
            f'ALTER TABLE shadow_migrations DROP COLUMN {OURS[0]}',
        )
        schema.revert_expand(self.db)
        self.assert_adopted()
        self.assert_not_expanded()

    @base.only_on('postgresql')
    def test_lost_while_it_is_given_back(self):
        """SQLAlchemy lets out what the driver raises when it resets one."""
        schema.expand(self.db, create=True)
        seen = []

        def heard(connection, options):
            seen.append(options['isolation_level'])
            if seen.count('AUTOCOMMIT') == 2:
                info = connection.connection.dbapi_connection.info
                with self.open().engine.connect() as other:
                    other.exec_driver_sql(
                        f'SELECT pg_terminate_backend({info.backend_pid})'
                    )

        self.listen('set_connection_execution_options', heard)
        self.assertRaises(exception.ConnectionLost, schema.contract, self.db)


class RevisionTree(test_base.TestCase):
    """The tree of revisions, without a database."""

    def test_one_base(self):
        """All branches begin at the one revision that adopts."""
        self.assertEqual([ADOPT], scripts().get_bases())

    def test_heads_are_expand_and_contract(self):
        """There are two heads, which carry the names of the two branches."""
        heads = schema.heads()
        self.assertEqual({schema.EXPAND, schema.CONTRACT}, heads.keys())
        self.assertEqual(set(heads.values()), set(scripts().get_heads()))
        for label, revision in heads.items():
            labels = scripts().get_revision(revision).branch_labels
            self.assertEqual({label}, labels)

    def test_contract_needs_expand(self):
        """No order of commands contracts what was not expanded."""
        needed = scripts().iterate_revisions(
            schema.heads()[schema.CONTRACT], 'base'
        )
        self.assertIn(
            schema.heads()[schema.EXPAND], {r.revision for r in needed}
        )


@base.on_every_database
class Adopt(RevisionTest):
    """What expand makes of tables that are there already."""

    def refused(self, table, *words):
        """Expand must refuse, say why, and leave everything as it was."""
        before = self.everything()
        error = self.assertRaises(
            exception.UnknownSchema, schema.expand, self.db
        )
        self.assertEqual(table.name, error.table)
        self.assertIn(f"'{table.name}'", str(error))
        for word in words:
            self.assertIn(word, str(error))
        self.assertEqual(before, self.everything())

    def test_empty_database(self):
        """An empty database gets both tables, as the models have them."""
        schema.expand(self.db, create=True)
        self.assert_expanded()
        self.assertEqual(
            {t.name for t in models.TABLES} | {schema.VERSION_TABLE},
            self.tables(),
        )

    def test_nova_tables(self):
        """Nova's tables are taken over, with the rows that they hold."""
        nova, shadow = self.create_nova_tables()
        self.insert(nova, id=3, status='finished', migration_type='resize')
        self.insert(shadow, id=2, status='goofballs')
        schema.expand(self.db, create=True)
        self.assert_expanded()
        self.assertEqual('finished', self.row(3).status)
        self.assertIsNone(self.row(3).state)
        self.assertEqual(
            'goofballs', self.row(2, models.SHADOW_MIGRATIONS).status
        )

    def test_what_operators_add(self):
        """Columns, indexes, keys and tables of somebody else may be there."""
        self.create_nova_tables()
        self.execute(
            'CREATE TABLE instances (uuid VARCHAR(36) NOT NULL PRIMARY KEY)',
            'CREATE TABLE alembic_version (version_num VARCHAR(32))',
            "INSERT INTO alembic_version VALUES ('ab450ba04102')",
            'ALTER TABLE migrations ADD COLUMN site_note VARCHAR(20)',
            'CREATE INDEX site_idx ON migrations (site_note)',
            'DROP INDEX migrations_updated_at_idx'
            + (' ON migrations' if self.BACKEND == 'mysql' else ''),
        )
        if self.BACKEND == 'mysql':
            self.execute(
                'ALTER TABLE instances CONVERT TO CHARACTER SET utf8mb3'
            )
        if self.BACKEND != 'sqlite':
            self.execute(
                'ALTER TABLE migrations ADD CONSTRAINT'
                ' fk_migrations_instance_uuid FOREIGN KEY (instance_uuid)'
                ' REFERENCES instances (uuid)'
            )
        schema.expand(self.db, create=True)
        for table in models.TABLES:
            self.assertLessEqual(set(OURS), self.columns(table).keys())
        self.assertIn('site_note', self.columns(models.MIGRATIONS))
        self.assertIn('site_idx', self.indexes(models.MIGRATIONS))
        self.assertIn('instances', self.tables())
        self.assertEqual(
            'ab450ba04102', self.scalar('SELECT * FROM alembic_version')
        )

    def scalar(self, query):
        """Return the one value of a query."""
        with self.db.engine.connect() as connection:
            return connection.exec_driver_sql(query).scalar()

    def test_missing_column(self):
        """A column that is missing, from either table, is named."""
        for position, column in ((0, 'dest_compute_id'), (1, 'uuid')):
            self.drop_everything()
            table = self.create_nova_tables()[position]
            if column == 'dest_compute_id' and self.BACKEND == 'sqlite':
                self.execute(
                    'DROP INDEX migrations_dest_compute_id_deleted_idx'
                )
            if column == 'dest_compute_id' and self.BACKEND == 'mysql':
                self.execute(
                    'DROP INDEX migrations_dest_compute_id_deleted_idx'
                    ' ON migrations'
                )
            self.execute(f'ALTER TABLE {table.name} DROP COLUMN {column}')
            self.refused(table, f"'{column}'", 'missing')

    def test_missing_table(self):
        """A table that is missing beside the other is named."""
        for position in (0, 1):
            self.drop_everything()
            table = self.create_nova_tables()[position]
            self.execute(f'DROP TABLE {table.name}')
            self.refused(table, 'missing')

    def test_other_type(self):
        """A column of another type is named, with both types."""
        for position, column, kind in (
            (0, 'dest_host', sa.Integer()),
            (1, 'memory_total', sa.String(20)),
            (0, 'created_at', sa.String(20)),
            (0, 'migration_type', sa.String(20)),
        ):
            table = self.create_with(position, column, type_=kind)
            self.refused(table, f"'{column}'", 'not')

    def test_other_length(self):
        """A status column that is shorter than Nova's is named."""
        table = self.create_with(0, 'status', type_=sa.String(20))
        self.refused(table, "'status'", '20', '255')

    @base.only_on('mysql', 'postgresql')
    def test_other_enumeration(self):
        """A migration_type that enumerates other words is named."""
        names = [*nova_schema.MIGRATION_TYPES[:-1], 'evacuate']
        kind = sa.Enum(*names, name='migration_type')
        table = self.create_with(0, 'migration_type', type_=kind)
        self.refused(table, "'migration_type'")

    def test_not_null(self):
        """A column that may not be NULL, where Nova's may, is named."""
        table = self.create_with(0, 'dest_host', nullable=False)
        self.refused(table, "'dest_host'", 'NOT NULL')

    def create_with(self, position, column, type_=None, nullable=True):
        """Create Nova's tables with one column that is different."""
        self.drop_everything()
        metadata = sa.MetaData()
        tables = nova_schema.define(metadata)
        changed = tables[position].c[column]
        changed.nullable = nullable
        if type_ is not None:
            changed.type = type_
            if isinstance(type_, sa.Enum) and self.BACKEND == 'postgresql':
                other = tables[1 - position].c[column]
                other.type = type_
                type_.create(self.db.engine, checkfirst=True)
        metadata.create_all(self.db.engine)
        return tables[position]

    def test_foreign_state_column(self):
        """A column that has the name of ours and another type is named."""
        for position, column, kind in (
            (0, 'state', 'INTEGER'),
            (1, 'state', 'INTEGER'),
            (0, 'state_changed_at', 'VARCHAR(20)'),
            (0, 'state', 'VARCHAR(7)'),
        ):
            self.drop_everything()
            table = self.create_nova_tables()[position]
            self.execute(f'ALTER TABLE {table.name} ADD {column} {kind}')
            self.refused(table, f"'{column}'")

    def test_refusal_is_not_remembered(self):
        """What was refused is accepted once the operator has repaired it."""
        table = self.create_nova_tables()[0]
        self.execute(f'ALTER TABLE {table.name} ADD state INTEGER')
        self.assertRaises(exception.UnknownSchema, schema.expand, self.db)
        self.execute(f'ALTER TABLE {table.name} DROP COLUMN state')
        schema.expand(self.db, create=True)
        self.assert_expanded()


class CommandLine(test_base.TestCase):
    """What a developer does with the alembic library's own command."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.useFixture(base.fixtures.TempDir()).path
        )

    def alembic(self, *arguments, cwd=test_base.ROOT):
        """Run python -m alembic at the top of a checkout."""
        return self.python('-m', 'alembic', *arguments, cwd=cwd)

    def python(self, *arguments, cwd):
        """Run python in a folder and return what it prints."""
        url = f'sqlite:///{self.folder / "developer.db"}'
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env={
                **os.environ,
                'NOVA_MIGRATION_URL': url,
                'PYTHONPATH': str(cwd),
                'PYTHONDONTWRITEBYTECODE': '1',
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def copy(self, name):
        """Copy what alembic needs of the checkout to another folder."""
        folder = self.folder / name
        unwanted = shutil.ignore_patterns('__pycache__')
        for part in ('alembic', 'nova_migration'):
            shutil.copytree(
                test_base.ROOT / part, folder / part, ignore=unwanted
            )
        shutil.copy(test_base.ROOT / 'alembic.ini', folder)
        return folder

    def test_history(self):
        """The library's command lists every revision from the checkout."""
        printed = self.alembic('history')
        for script in scripts().walk_revisions():
            self.assertIn(script.revision, printed)

    def test_heads(self):
        """The library's command names both heads with their labels."""
        lines = self.alembic('heads').splitlines()
        self.assertEqual(2, len(lines))
        for label, revision in schema.heads().items():
            self.assertTrue(
                any(revision in line and label in line for line in lines)
            )

    def test_upgrade_of_a_named_database(self):
        """The library's command upgrades what NOVA_MIGRATION_URL names."""
        self.alembic('upgrade', 'heads')
        self.assertIn(schema.heads()['contract'], self.alembic('current'))

    def test_new_revision(self):
        """A new revision of a branch compiles and becomes its head."""
        folder = self.copy('copy')
        self.alembic(
            'revision', '--head', 'expand@head', '-m', 'x', cwd=folder
        )
        before = {
            path.name
            for path in (test_base.ROOT / 'alembic/versions').glob('*.py')
        }
        (made,) = (
            path
            for path in (folder / 'alembic/versions').glob('*.py')
            if path.name not in before
        )
        py_compile.compile(made, doraise=True, cfile=str(self.folder / 'c'))
        self.assertIn(schema.heads()['expand'], made.read_text())
        lines = self.alembic('heads', cwd=folder).splitlines()
        self.assertEqual(2, len(lines))
        self.assertTrue(
            any(made.name[:12] in x and 'expand' in x for x in lines)
        )

    def test_percent_in_a_folder(self):
        """A folder with a percent sign in its name holds working scripts."""
        folder = self.copy('100%(here)s%d')
        printed = self.python(
            '-c',
            'import os, nova_migration\n'
            'from nova_migration.db import engine, schema\n'
            'print(nova_migration.__file__)\n'
            'database = engine.from_url(os.environ["NOVA_MIGRATION_URL"])\n'
            'schema.expand(database, create=True)\n'
            'print(schema.is_expanded(database))\n',
            cwd=folder,
        )
        where, expanded = printed.splitlines()
        self.assertIn('%(here)s', where)
        self.assertEqual('True', expanded)
