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

"""Archiving and purging, with the word in the URL, at each stage."""

import datetime

from nova.db.main import api as nova_db_api

from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.integration import dropin
from tests.dropin import base
from tests.functional import base as functional_base
from tests.nova import base as nova_base
from tests.nova import test_upgrade


class ArchiveTest(test_upgrade.FilledTest):
    """What `nova-manage db archive_deleted_rows` and `purge` run."""

    def setUp(self):
        super().setUp()
        dropin.register()
        self.execute('DELETE FROM shadow_migrations')

    def connection(self):
        """Return the URL of the cell, with the word in it."""
        return base.with_word(self.url)

    def look(self):
        """Restart: see what was done to the database."""
        manager = self.nova_context.db_connection
        for mode in (manager.writer, manager.reader):
            dropin.look_again(mode.get_engine())

    def archive(self):
        """Archive everything that is soft-deleted."""
        archived, _uuids, _total = nova_db_api.archive_deleted_rows(
            context=self.nova_context, max_rows=100000
        )
        return archived

    def check(self, columns=None):
        """Expect each soft-deleted row in the shadows, as it was."""
        before = self.content(columns)['migrations']
        gone = {
            row_id for row_id, row in self.rows_by_id.items() if row['deleted']
        }
        self.assertEqual({'migrations': len(gone)}, self.archive())
        after = self.content(columns)
        self.assertEqual(
            {key: before[key] for key in gone}, after['shadow_migrations']
        )
        self.assertEqual(before.keys() - gone, after['migrations'].keys())
        self.assertEqual({}, self.archive())

    def test_not_expanded(self):
        """The word alone changes nothing."""
        self.check()

    def test_legacy_rows(self):
        """The version table is no obstacle, and reasons are kept."""
        schema.expand(self.db, create=True)
        self.execute("UPDATE migrations SET state_reason = 'Ümlaut'")
        self.look()
        self.check()

    def test_canonical_rows(self):
        """State, kept string, reason and time are kept."""
        schema.expand(self.db, create=True)
        self.migrate(*self.map_everything())
        self.execute("UPDATE migrations SET state_reason = 'because'")
        self.look()
        self.check()
        restored = sum(b.changed for b in upgrade.restore(self.db))
        self.assertNotEqual(0, restored)
        self.assertEqual(
            {
                key: row
                for key, row in self.original['migrations'].items()
                if self.rows_by_id[key]['deleted']
            },
            self.content(nova_base.NOVA_COLUMNS)['shadow_migrations'],
        )

    def test_contracted(self):
        """Rows that have to be canonical are archived as such."""
        schema.expand(self.db, create=True)
        self.migrate(*self.map_everything())
        schema.contract(self.db)
        self.look()
        self.check()

    @functional_base.only_on('sqlite', 'mysql')
    def test_rows_of_a_deleted_instance(self):
        """Rows that follow their instance take our columns along.

        Nova cannot archive instances on PostgreSQL, where locked_by has
        another type in the shadow table.
        """
        schema.expand(self.db, create=True)
        self.migrate()
        self.look()
        self.execute(
            'UPDATE instances SET deleted = id, deleted_at = :now',
            now=datetime.datetime(2026, 1, 1),
        )
        before = self.content()['migrations']
        self.archive()
        after = self.content()
        followed = {
            row_id
            for row_id, row in self.rows_by_id.items()
            if row['instance_uuid'] or row['deleted']
        }
        self.assertEqual(followed, set(after['shadow_migrations']))
        self.assertEqual(
            {key: before[key] for key in followed}, after['shadow_migrations']
        )

    def test_purge(self):
        """Purging removes shadows, and no table of ours."""
        schema.expand(self.db, create=True)
        self.migrate()
        self.look()
        archived = self.archive()['migrations']
        purged = nova_db_api.purge_shadow_tables(self.nova_context, None)
        self.assertEqual(archived, purged)
        self.assertEqual({}, self.content()['shadow_migrations'])
        self.assertTrue(schema.is_expanded(self.db))


functional_base.on_every_database(ArchiveTest)
