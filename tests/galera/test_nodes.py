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


"""DDL under total order isolation, and nodes that take no statement."""

import contextlib

import fixtures
import pymysql
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import ddl
from nova_migration.db import guard
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade
from tests.functional.cmd import base as cmd_base
from tests.galera import base
from tests.servers import server


class NodesTest(cmd_base.CommandTest, base.GaleraTest):
    """What these tests share."""

    def setUp(self):
        super().setUp()
        self.url = self.urls[0]
        self.db = self.dbs[0]
        metadata = sa.MetaData()
        models.nova_schema.define(metadata)
        metadata.create_all(self.db.engine)
        self.settle()
        self.useFixture(
            fixtures.MonkeyPatch(f'{ddl.__name__}.LOCK_TIMEOUT', 1)
        )

    @contextlib.contextmanager
    def session(self, node, *statements):
        """Open a session of somebody else's, and run statements in it.

        :returns: what runs a further one
        """
        connection = self.nodes[node].connect()
        connection.autocommit(False)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(f'USE {self.name}')
            for statement in statements:
                cursor.execute(statement)
            yield cursor.execute

    def columns(self, node):
        """Return the columns that a node has."""
        with self.reading(node) as connection:
            return ddl.column_names(connection, models.MIGRATIONS)

    def assert_expanded(self, expanded=True):
        """Every node has our columns, or none."""
        for node in range(3):
            self.assertEqual(expanded, 'state' in self.columns(node))


class Locks(NodesTest):
    """Somebody uses the table that DDL is to change."""

    def test_transaction_on_this_node(self):
        """Who has used the table is not killed; the command gives up."""
        with self.session(0, 'SELECT * FROM migrations') as reader:
            result = self.manage('db', 'upgrade', '--expand', '--create')
            self.assert_one_line(result, 255, 'could not be locked')
            reader('SELECT * FROM migrations')
        self.assert_expanded(False)
        self.work('db', 'upgrade', '--expand', '--create')
        self.assert_expanded()

    def test_lock_tables_on_this_node(self):
        """A lock that DDL would wait for without end is not waited for.

        Writers on other nodes go on meanwhile.
        """
        with self.session(0, 'LOCK TABLES migrations READ') as holder:
            result = self.manage('db', 'upgrade', '--expand', '--create')
            self.assert_one_line(result, 255, 'could not be locked')
            self.nodes[1].ask(
                f'INSERT INTO {self.name}.migrations (status) VALUES (NULL)'
            )
            holder('UNLOCK TABLES')
        self.work('db', 'upgrade', '--expand', '--create')
        self.assert_expanded()

    def test_transaction_on_another_node(self):
        """Total order isolation kills it: error 1213, to be tried again."""
        self.insert_plain()
        with self.session(1, 'UPDATE migrations SET hidden = 1') as writer:
            self.work('db', 'upgrade', '--expand', '--create')
            error = self.assertRaises(
                pymysql.err.OperationalError, writer, 'SELECT 1'
            )
        self.assertEqual(1213, error.args[0])
        self.assert_expanded()

    def insert_plain(self):
        """Insert a row as Nova does."""
        self.nodes[0].ask(
            f'INSERT INTO {self.name}.migrations (status) VALUES (NULL)'
        )
        self.settle()

    def test_backup_on_this_node(self):
        """A node that stands still for a backup says so at once."""
        for statements in (
            ('FLUSH TABLES WITH READ LOCK',),
            ('BACKUP STAGE START', 'BACKUP STAGE BLOCK_DDL'),
        ):
            with self.session(0, *statements):
                result = self.manage('db', 'upgrade', '--expand', '--create')
                self.assert_one_line(result, 255, 'Galera', '1047', 'backup')
        self.work('db', 'upgrade', '--expand', '--create')
        self.assert_expanded()

    def test_behind_ddl_of_another_node(self):
        """What another node has just expanded is not taken for missing."""
        schema.expand(self.dbs[0], create=True)
        self.assertEqual([], list(upgrade.migrate(self.dbs[1])))
        schema.contract(self.dbs[1])
        self.assertTrue(schema.is_contracted(self.dbs[2]))


class Apart(NodesTest):
    """A node that has lost the rest of its cluster."""

    COMMANDS = (
        ('db', 'upgrade', '--expand', '--create'),
        ('db', 'upgrade', '--migrate'),
        ('db', 'census'),
        ('db', 'check'),
        ('db', 'restore'),
    )

    def isolate(self, node, apart):
        """Cut a node off from the others, or let it come back."""
        node.ask(
            'SET GLOBAL wsrep_provider_options ='
            f" 'gmcast.isolate={int(apart)}'"
        )

    @contextlib.contextmanager
    def apart(self, node):
        """Have a node without its cluster."""
        self.isolate(node, True)
        try:
            for attempt in server.patiently(on=server.NotYet):
                with attempt:
                    if node.status('ready') == 'ON':
                        raise server.NotYet(node.name)
            yield
        finally:
            self.isolate(node, False)
            self.cluster.wait_until_whole()

    def test_commands(self):
        """Every command says what is wrong in one line, and may be rerun."""
        with self.apart(self.nodes[0]):
            for command in self.COMMANDS:
                result = self.manage(*command)
                self.assertEqual('', result.out)
                self.assertIn(result.code, (1, 255))
                self.assert_one_line(
                    result, result.code, 'Galera node', '1047', 'wsrep_ready'
                )
        self.work('db', 'upgrade', '--expand', '--create')

    def test_services(self):
        """A service is told the same, and the row is as it was."""
        schema.expand(self.db, create=True)
        (row_id, _other) = self.put('preparing')
        guard.position(self.db, row_id, base.LIVE)
        with self.apart(self.nodes[0]):
            self.assertRaises(
                exception.NodeNotReady,
                guard.move,
                self.db,
                row_id,
                base.LIVE,
                base.RUN,
            )
            found = guard.position(self.dbs[1], row_id, base.LIVE)
            self.assertEqual('preparing', found.state)
        guard.move(self.db, row_id, base.LIVE, base.RUN)

    def test_desynced(self):
        """A node that may lag as it likes is upgraded as any other."""
        schema.expand(self.db, create=True)
        self.put('preparing', 20)
        self.nodes[0].ask('SET GLOBAL wsrep_desync = ON')
        try:
            self.work('db', 'upgrade', '--migrate')
            self.work('db', 'upgrade', '--contract')
        finally:
            self.nodes[0].ask('SET GLOBAL wsrep_desync = OFF')
        self.assertTrue(schema.is_contracted(self.dbs[1]))
