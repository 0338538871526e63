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

"""The way back on one node, and a migration on another."""

import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import nova_schema
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests.galera import base


class FenceTest(base.GaleraTest):
    """No lock reaches the other node."""

    STRING = MACHINES['resize'].legacy['finished'].legacy

    def setUp(self):
        super().setUp()
        metadata = sa.MetaData()
        nova_schema.define(metadata)
        metadata.create_all(self.dbs[0].engine)
        schema.expand(self.dbs[0], create=True)
        self.insert({'migration_type': 'resize', 'status': self.STRING})

    def test_migrate_on_another_node(self):
        """Between the count and the drop no state is written anywhere."""
        refused = []

        def come(_connection, _cursor, statement, *_rest):
            if 'DROP COLUMN IF EXISTS state,' in statement and not refused:
                error = self.assertRaises(
                    exception.RestoreAtWork,
                    lambda: list(upgrade.migrate(self.dbs[1])),
                )
                refused.append(error)

        sa.event.listen(self.dbs[0].engine, 'before_cursor_execute', come)
        schema.revert_expand(self.dbs[0])
        self.assertEqual(1, len(refused))
        with self.reading(2) as connection:
            query = sa.text('SELECT status FROM migrations')
            self.assertEqual([self.STRING], list(connection.scalars(query)))
        self.assertFalse(schema.is_begun(self.dbs[2]))
