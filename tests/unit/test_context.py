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

"""What a request carries."""

from oslo_context import context as oslo_context
import sqlalchemy as sa

from nova_migration import context
from nova_migration.db import engine
from tests import base


class RequestContextTest(base.TestCase):
    """The context of a request, with or without a database."""

    def setUp(self):
        super().setUp()
        self.database = engine.Database(sa.create_engine('sqlite://'))

    def test_is_oslos(self):
        """Whatever takes oslo.context's takes ours."""
        self.assertIsInstance(
            context.RequestContext(), oslo_context.RequestContext
        )

    def test_without_a_database(self):
        """Without a database, and without deleted rows, is the default."""
        made = context.RequestContext()

        self.assertIsNone(made.db)
        self.assertEqual('no', made.read_deleted)

    def test_carries_what_it_was_given(self):
        """Database, reading of deleted rows and oslo's own are kept."""
        made = context.RequestContext(
            db=self.database, read_deleted='yes', user_id='alice'
        )

        self.assertIs(self.database, made.db)
        self.assertEqual('yes', made.read_deleted)
        self.assertEqual('alice', made.user_id)

    def test_database_is_not_sent(self):
        """On the message bus a context has no engine in it."""
        made = context.RequestContext(db=self.database, user_id='alice')

        received = context.RequestContext.from_dict(made.to_dict())

        self.assertIsNone(received.db)
        self.assertEqual('alice', received.user_id)

    def test_admin_context(self):
        """A command's context is an administrator's."""
        made = context.get_admin_context(self.database, read_deleted='only')

        self.assertTrue(made.is_admin)
        self.assertIs(self.database, made.db)
        self.assertEqual('only', made.read_deleted)
        self.assertEqual(
            'no', context.get_admin_context(self.database).read_deleted
        )
