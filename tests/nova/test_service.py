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

"""Nova's own code on a database that has our columns and version table."""

from nova import objects as nova_objects
from nova.db.main import api as nova_db_api
from nova.db.main import models as nova_models

from nova_migration.db import schema
from nova_migration.db import upgrade
from tests.functional import base as functional_base
from tests.nova import base
from tests.nova import rows

INSTANCE = rows.INSTANCES[0]


class ServiceTest(base.NovaTest):
    """A Nova that knows nothing of us works on an expanded database."""

    def setUp(self):
        super().setUp()
        nova_objects.register_all()
        self.create_instances([INSTANCE])
        schema.expand(self.db, create=True)

    def create_migration(self, **values):
        """Create a row through Nova's object."""
        migration = nova_objects.Migration(
            self.nova_context,
            instance_uuid=INSTANCE,
            migration_type='live-migration',
            status='accepted',
            source_compute='host1',
            source_node='node1',
            dest_compute='host2',
            dest_node='node2',
            dest_compute_id=2,
            **values,
        )
        migration.create()
        return migration

    def archive(self):
        """Run what `nova-manage db archive_deleted_rows` runs on a cell."""
        archived, _uuids, _total = nova_db_api.archive_deleted_rows(
            context=self.nova_context, max_rows=1000
        )
        return archived

    def test_create_and_save(self):
        """Nova creates, changes and reads migrations as it always did."""
        migration = self.create_migration()
        migration.status = 'running'
        migration.save()
        for found in (
            nova_objects.Migration.get_by_id(self.nova_context, migration.id),
            nova_objects.Migration.get_by_uuid(
                self.nova_context, migration.uuid
            ),
        ):
            self.assertEqual('running', found.status)
            self.assertEqual(INSTANCE, found.instance_uuid)
        columns = ('status', *base.OUR_COLUMNS)
        (row,) = self.execute(f'SELECT {", ".join(columns)} FROM migrations')
        self.assertEqual(('running', *[None] * 4), tuple(row))

    def test_lists(self):
        """Nova's queries find rows that are still in Nova's form."""
        migration = self.create_migration()
        get = nova_objects.MigrationList.get_in_progress_by_host_and_node
        found = get(self.nova_context, 'host2', 'node2')
        self.assertEqual([migration.id], [each.id for each in found])
        found = nova_objects.MigrationList.get_by_filters(
            self.nova_context, {'status': 'accepted'}
        )
        self.assertEqual([migration.id], [each.id for each in found])

    def test_works_after_the_way_back(self):
        """Contract and every step back leave a table that Nova works on."""
        first = self.create_migration()
        list(upgrade.migrate(self.db))
        schema.contract(self.db)
        schema.revert_contract(self.db)
        list(upgrade.restore(self.db))
        schema.revert_expand(self.db)
        second = self.create_migration()
        self.assertGreater(second.id, first.id)
        found = nova_objects.MigrationList.get_by_filters(
            self.nova_context, {'status': 'accepted'}
        )
        self.assertCountEqual(
            [first.uuid, second.uuid], [each.uuid for each in found]
        )
        self.execute('UPDATE migrations SET deleted = id')
        self.assertEqual({'migrations': 2}, self.archive())

    def test_archiving_fails_on_the_version_table(self):
        """Nova cannot archive where it does not know each table's name."""
        error = self.assertRaises(KeyError, self.archive)
        self.assertEqual((schema.VERSION_TABLE,), error.args)

    def test_archiving_works_when_told_the_name(self):
        """A table that Nova takes for a removed one of its own is skipped."""
        nova_models.REMOVED_TABLES.add(schema.VERSION_TABLE)
        self.addCleanup(
            nova_models.REMOVED_TABLES.discard, schema.VERSION_TABLE
        )
        migration = self.create_migration()
        self.execute('UPDATE migrations SET deleted = id')
        self.assertEqual({'migrations': 1}, self.archive())
        self.assertEqual({}, self.content()['migrations'])
        self.assertEqual(
            {migration.id}, self.content()['shadow_migrations'].keys()
        )


functional_base.on_every_database(ServiceTest)
