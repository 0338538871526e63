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


"""What the tests of a cluster share."""

import contextlib
import os
import unittest
import uuid

import sqlalchemy as sa
import testresources
from testtools import content
from testtools import content_type

from nova_migration import context
from nova_migration.db import engine
from nova_migration.db import galera as galera_db
from nova_migration.db import models
from nova_migration.states import MACHINES
from tests import base
from tests.functional.db import samples
from tests.servers import galera

#: How many times as long as in CI the tests go on.
SCALE = int(os.environ.get('NOVA_MIGRATION_TEST_GALERA_SCALE', '1'))

LIVE = MACHINES['live-migration']
START = LIVE.table.start.name
RUN = LIVE.decide('preparing', 'run')
COMPLETE = LIVE.decide('running', 'complete')
CANCEL = LIVE.decide('running', 'cancel')
LATE = LIVE.decide('cancelled', 'fail')


class _Clusters(testresources.TestResourceManager):
    def make(self, _dependencies):
        try:
            cluster = galera.Cluster()
        except (unittest.SkipTest, RuntimeError) as error:
            # No test has begun that it could be the outcome of.
            return error
        cluster.setUp()
        return cluster

    def clean(self, cluster):
        if isinstance(cluster, galera.Cluster):
            cluster.cleanUp()


_CLUSTERS = _Clusters()


class GaleraTest(base.TestCase):
    """A test with a database of its own, on every node of the cluster."""

    resources = [('cluster', _CLUSTERS)]

    def setUp(self):
        super().setUp()
        testresources.setUpResources(self, self.resources, None)
        self.addCleanup(
            testresources.tearDownResources, self, self.resources, None
        )
        if isinstance(self.cluster, Exception):
            raise self.cluster
        self.nodes = self.cluster.nodes
        for node in self.nodes:
            self._keep_log(node)
        self.cluster.make_whole()
        self.name = f'galera_{uuid.uuid4().hex[:12]}'
        self.nodes[0].create_database(self.name)
        self.addCleanup(self._drop)
        self.urls = [node.url_of(self.name) for node in self.nodes]
        self.settle()
        self.dbs = [self.open(url) for url in self.urls]

    def _keep_log(self, node):
        self.addDetail(
            node.name,
            content.Content(
                content_type.UTF8_TEXT, lambda: [node.last_words().encode()]
            ),
        )

    def _drop(self):
        self.cluster.make_whole()
        self.nodes[0].ask(f'DROP DATABASE {self.name}')

    def open(self, url, **options):
        """Open the test's database on a node, with an engine of its own."""
        database = engine.from_url(url, **options)
        self.addCleanup(database.engine.dispose)
        return database

    def settle(self):
        """Wait until every node has what any of them has committed."""
        for node in self.nodes:
            node.ask('SET STATEMENT wsrep_sync_wait = 15 FOR SELECT 1')

    def catch_up(self, node):
        """Wait until a node has what any of them has committed."""
        with self.reading(node) as connection:
            connection.exec_driver_sql('SELECT 1')

    def create_tables(self):
        """Make the tables as expand leaves them, on every node."""
        models.metadata.create_all(self.dbs[0].engine)
        self.settle()

    def insert(self, *rows, database=None):
        """Insert rows and return their ids; every node has them then."""
        with (database or self.dbs[0]).engine.begin() as connection:
            ids = [
                connection.execute(
                    models.MIGRATIONS.insert().values(row)
                ).inserted_primary_key[0]
                for row in rows
            ]
        self.settle()
        return ids

    def put(self, state, count=1, machine=LIVE):
        """Insert so many rows of each form in a state; return their ids."""
        pairs = [
            samples.in_both_forms(machine.name, machine.state(state))
            for _ in range(count)
        ]
        return self.insert(*(row for pair in pairs for row in pair))

    @contextlib.contextmanager
    def reading(self, node=0):
        """Open a connection that has caught up with every node."""
        with (
            self.dbs[node].engine.connect() as connection,
            galera_db.caught_up(connection),
        ):
            yield connection

    def row(self, row_id, node=0):
        """Return a raw row."""
        with self.reading(node) as connection:
            return connection.execute(
                sa.select(models.MIGRATIONS).where(
                    models.MIGRATIONS.c.id == row_id
                )
            ).one()

    def rows(self, node=0, table=models.MIGRATIONS):
        """Return every raw row by id, as a node has them."""
        with self.reading(node) as connection:
            return connection.execute(
                sa.select(table).order_by(table.c.id)
            ).all()

    def context(self, node):
        """Return a context whose objects use a node."""
        return context.get_admin_context(self.dbs[node])
