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

"""The schema that Nova's migrations make, and what ours make of it."""

from alembic import autogenerate
from alembic.operations import Operations
from alembic.runtime import migration
from nova.db.main import models as nova_models
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import adopt
from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.db import schema
from tests.functional import base as functional_base
from tests.nova import base

FOREIGN_KEY = ('remove_fk', ('instance_uuid',))


def compared(connection, metadata):
    """Return what alembic would change in our two tables, briefly."""
    context = migration.MigrationContext.configure(
        connection,
        opts={
            'compare_type': True,
            'compare_server_default': True,
            'include_name': lambda name, kind, _parents: (
                kind != 'table' or name in metadata.tables
            ),
            'target_metadata': metadata,
        },
    )
    return [
        _brief(step)
        for step in autogenerate.compare_metadata(context, metadata)
    ]


def _brief(step):
    if step[0] == 'remove_fk':
        return step[0], tuple(column.name for column in step[1].columns)
    return step


class NovaSchemaTest(base.NovaTest):
    """What is written down of Nova's schema is what Nova makes."""

    def defined(self):
        """Return an engine of a database made from our definition."""
        metadata = sa.MetaData()
        nova_schema.define(metadata)
        fixture = base.DefinedDatabase(self.BACKEND, metadata)
        return self.useFixture(fixture).engine

    def test_columns(self):
        """Both tables have Nova's columns, in its order, type by type."""
        defined = self.defined()
        for name in base.TABLES:
            ours = base.structure_of(defined, name)
            theirs = base.structure_of(self.plain, name)
            self.assertEqual(theirs['columns'], ours['columns'])
            self.assertEqual(theirs['key'], ours['key'])
            self.assertEqual(theirs['options'], ours['options'])
            self.assertEqual(theirs['checks'], ours['checks'])

    def test_indexes(self):
        """Both tables have Nova's indexes: names, columns, uniqueness.

        Only the index that MariaDB makes by itself for the foreign key is
        not there, as the key is not.
        """
        defined = self.defined()
        for name in base.TABLES:
            ours = base.structure_of(defined, name)
            theirs = base.structure_of(self.plain, name)
            kept = [
                index
                for index in theirs['indexes']
                if 'fk_migrations_instance_uuid' not in index
            ]
            self.assertEqual(kept, ours['indexes'])
            self.assertEqual(theirs['unique'], ours['unique'])

    def test_alembic_finds_the_foreign_key_only(self):
        """Of all that alembic compares, the key to instances differs.

        It is left out because a database that holds only migrations has no
        table of instances that a key could refer to.
        """
        metadata = sa.MetaData()
        nova_schema.define(metadata)
        with self.plain.connect() as connection:
            found = compared(connection, metadata)
        self.assertEqual([FOREIGN_KEY], found)

    def test_nothing_of_the_schema_is_unknown(self):
        """What adoption compares does not differ."""
        metadata = sa.MetaData()
        nova_schema.define(metadata)
        with self.plain.connect() as connection:
            self.assertEqual([], list(adopt.differences(connection, metadata)))

    def test_nova_model_has_the_columns(self):
        """Nova's model has the same columns, in an order of its own."""

        def described(table):
            return {
                column.name: (
                    column.type.compile(self.plain.dialect),
                    getattr(column.type, 'enums', None),
                    column.nullable,
                )
                for column in table.c
            }

        main, _shadow = nova_schema.define(sa.MetaData())
        model = nova_models.Migration.__table__
        self.assertEqual(described(model), described(main))
        self.assertEqual(
            sorted((index.name, bool(index.unique)) for index in main.indexes),
            sorted(
                (index.name, bool(index.unique)) for index in model.indexes
            ),
        )


class ExpandTest(base.NovaTest):
    """What expand makes of a cell database."""

    def test_equals_the_models(self):
        """After expand, alembic finds only the foreign key to differ."""
        schema.expand(self.db, create=True)
        with self.plain.connect() as connection:
            found = compared(connection, models.metadata)
        self.assertEqual([FOREIGN_KEY], found)

    def test_adds_and_changes_nothing_else(self):
        """Expand appends columns, one index and the version table."""
        before = self.structure()
        schema.expand(self.db, create=True)
        after = self.structure()
        self.assertEqual(
            {schema.VERSION_TABLE},
            set(after['tables']) - set(before['tables']),
        )
        for name in base.TABLES:
            count = len(base.NOVA_COLUMNS)
            self.assertEqual(
                before[name]['columns'], after[name]['columns'][:count]
            )
            self.assertEqual(
                base.OUR_COLUMNS,
                tuple(row[0] for row in after[name]['columns'][count:]),
            )
            for part in ('key', 'foreign keys', 'unique', 'checks'):
                self.assertEqual(before[name][part], after[name][part])
        new = set(after[nova_schema.MAIN]['indexes']) - set(
            before[nova_schema.MAIN]['indexes']
        )
        self.assertEqual(1, len(new))
        self.assertIn(models.INDEX, new.pop())
        self.assertEqual([], after[nova_schema.SHADOW]['indexes'])

    def test_revert_leaves_what_nova_made(self):
        """Expanding and going back leaves no trace."""
        before = self.structure()
        schema.expand(self.db, create=True)
        schema.revert_expand(self.db)
        self.assertEqual(before, self.structure())

    def test_contract_and_back_leaves_what_nova_made(self):
        """The whole way there and back leaves no trace."""
        before = self.structure()
        schema.expand(self.db, create=True)
        schema.contract(self.db)
        schema.revert_contract(self.db)
        schema.revert_expand(self.db)
        self.assertEqual(before, self.structure())

    def test_contract_adds_a_check_and_nothing_else(self):
        """Contract leaves columns, keys and indexes as they were."""
        schema.expand(self.db, create=True)
        before = self.structure()
        schema.contract(self.db)
        after = self.structure()
        self.assertEqual(before['tables'], after['tables'])
        for name in base.TABLES:
            self.assertEqual(0, self.checks_of(before, name))
            self.assertEqual(1, self.checks_of(after, name))
            for part in before[name].keys() - {'checks'}:
                self.assertEqual(before[name][part], after[name][part])

    def checks_of(self, structure, name):
        """Count checks; SQLAlchemy does not see MariaDB's on a column."""
        if self.BACKEND == 'mysql':
            return str(structure[f'{name} native']).count(' CHECK (')
        return len(structure[name]['checks'])

    def test_nova_can_sync_again(self):
        """Nova's db sync finds its own version and changes nothing."""
        schema.expand(self.db, create=True)
        schema.contract(self.db)
        before = self.structure()
        self.sync()
        self.assertEqual(before, self.structure())


class OlderNovaTest(base.NovaTest):
    """A database of Nova 33, which two indexes of 34 are missing from."""

    NOVA_REVISION = '2903cd72dc14'

    def test_nova_upgrades_after_us(self):
        """Expand, then Nova's next migration: as if the other way round."""
        before = len(self.structure()[nova_schema.MAIN]['indexes'])
        schema.expand(self.db, create=True)
        self.sync()
        self.assertEqual(
            before + 3, len(self.structure()[nova_schema.MAIN]['indexes'])
        )
        with self.plain.connect() as connection:
            found = compared(connection, models.metadata)
        self.assertEqual(
            [], [step for step in found if 'instance_uuid' not in step[1]]
        )


class AdoptTest(base.NovaTest):
    """A database is adopted when it is Nova 34's, and left alone if not."""

    def damage(self, name, change):
        """Change a table with alembic's operations."""
        with self.plain.begin() as connection:
            context = migration.MigrationContext.configure(connection)
            with Operations(context).batch_alter_table(name) as batch:
                change(batch)

    def assert_refused(self, table, *words):
        """Expect an error that names the fault, and no change at all."""
        before = self.structure_found()
        error = self.assertRaises(
            exception.UnknownSchema, schema.expand, self.db
        )
        self.assertEqual(table, error.table)
        for word in (table, *words):
            self.assertIn(word, str(error))
        self.assertEqual((), schema.current(self.db))
        self.assertEqual(before, self.structure_found())

    def structure_found(self):
        """Return the schema of the tables that are there."""
        inspector = sa.inspect(self.plain)
        return {
            'tables': sorted(inspector.get_table_names()),
            **{
                table: base.structure_of(self.plain, table)
                for table in base.TABLES
                if inspector.has_table(table)
            },
        }

    def test_untouched_database_is_adopted(self):
        """A database that Nova made and nobody changed is expanded."""
        schema.expand(self.db, create=True)
        self.assertTrue(schema.is_expanded(self.db))
        self.assertFalse(schema.is_contracted(self.db))

    def test_missing_column_is_refused(self):
        """A table that lacks a column is older than Nova 34's."""
        self.damage(
            nova_schema.MAIN, lambda batch: batch.drop_column('disk_total')
        )
        self.assert_refused(nova_schema.MAIN, "'disk_total'", 'missing')

    def test_missing_column_of_the_shadow_table_is_refused(self):
        """The shadow table is looked at as the table itself is."""
        self.damage(
            nova_schema.SHADOW, lambda batch: batch.drop_column('dest_host')
        )
        self.assert_refused(nova_schema.SHADOW, "'dest_host'", 'missing')

    def test_shorter_column_is_refused(self):
        """A status of 100 characters could not hold what Nova's holds."""
        for name in base.TABLES:
            self.damage(
                name,
                lambda batch: batch.alter_column(
                    'status', type_=sa.String(100)
                ),
            )
            self.assert_refused(name, "'status'", '100', '255')
            self.damage(
                name,
                lambda batch: batch.alter_column(
                    'status', type_=sa.String(255)
                ),
            )
        schema.expand(self.db, create=True)

    def test_other_type_is_refused(self):
        """A number where Nova has a string is somebody else's column."""
        self.damage(
            nova_schema.SHADOW,
            lambda batch: batch.drop_column('project_id'),
        )
        self.damage(
            nova_schema.SHADOW,
            lambda batch: batch.add_column(
                sa.Column('project_id', sa.Integer)
            ),
        )
        self.assert_refused(nova_schema.SHADOW, "'project_id'", 'INT')

    def test_not_null_is_refused(self):
        """A column that must be set is not the one that Nova leaves empty."""
        for name in base.TABLES:
            self.damage(
                name,
                lambda batch: batch.alter_column(
                    'status', existing_type=sa.String(255), nullable=False
                ),
            )
            self.assert_refused(name, "'status'", 'NOT NULL')
            self.damage(
                name,
                lambda batch: batch.alter_column(
                    'status', existing_type=sa.String(255), nullable=True
                ),
            )
        schema.expand(self.db, create=True)

    def test_missing_shadow_table_is_refused(self):
        """Without its shadow table this is no cell database."""
        self.execute(f'DROP TABLE {nova_schema.SHADOW}')
        self.assert_refused(nova_schema.SHADOW, 'missing')

    def test_column_of_another_maker_is_refused(self):
        """A column of ours by name, but not by type, is not taken over."""
        self.damage(
            nova_schema.MAIN,
            lambda batch: batch.add_column(sa.Column('state', sa.Integer)),
        )
        self.assert_refused(nova_schema.MAIN, "'state'", 'INT')

    def test_further_column_is_none_of_our_business(self):
        """A column that an operator added stays."""
        self.damage(
            nova_schema.MAIN,
            lambda batch: batch.add_column(sa.Column('note', sa.Text)),
        )
        schema.expand(self.db, create=True)
        names = [column.name for column in self.reflected('migrations').c]
        self.assertIn('note', names)


for _mixin in (NovaSchemaTest, ExpandTest, OlderNovaTest, AdoptTest):
    functional_base.on_every_database(_mixin)
