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


"""The guarded write on a node that lags behind another one's commit."""

import contextlib

from oslo_db import exception as db_exc
import pymysql
import sqlalchemy as sa

from nova_migration import exception
from nova_migration import objects
from nova_migration.db import errors
from nova_migration.db import galera
from nova_migration.db import guard
from nova_migration.db import models
from tests.galera import base

#: How often each race is run.
TRIES = 40 * base.SCALE

_T = models.MIGRATIONS


class Lagging(base.GaleraTest):
    """Node 2 is asked right after node 1 has committed the expected state.

    By itself a node lags once in a while. Here it does each time: what node 1
    commits begins with a row of a table that is locked on node 2.
    """

    def setUp(self):
        super().setUp()
        self.create_tables()
        self.nodes[0].ask(f'CREATE TABLE {self.name}.first (n INT KEY)')
        self.nodes[0].ask(f'INSERT INTO {self.name}.first VALUES (0)')
        (self.row_id, _other) = self.put('preparing')
        holding = self.open(self.urls[1])
        self.holder = self.enterContext(holding.engine.connect())
        self.sent = []
        sa.event.listen(
            self.dbs[1].engine, 'before_cursor_execute', self._before
        )

    def let_go_at_commit(self):
        """Let node 2 go on when it commits, for what matches there.

        A commit waits for what is before it, and then fails.
        """
        sa.event.listen(
            self.dbs[1].engine, 'commit', lambda _connection: self.release()
        )

    def _before(self, _connection, _cursor, statement, *_rest):
        """Let node 2 go on when it is asked to wait, or asked again."""
        word = statement.split()[0]
        if 'wsrep_sync_wait' in statement or word in self.sent:
            self.release()
        self.sent.append(word)

    def commit(self, state, **values):
        """Write a state on node 1, past any guard."""
        row = base.LIVE.state(state)
        update = _T.update().where(_T.c.id == self.row_id)

        def write(connection):
            connection.exec_driver_sql('UPDATE first SET n = n + 1')
            connection.execute(
                update.values(status=row.status, state=row.name, **values)
            )

        # The node may have to apply a write of another one first.
        self.dbs[0].run(write)

    def begin(self, state, **values):
        """Write a state that node 2 has before the test goes on."""
        self.commit(state, **values)
        self.catch_up(1)

    def commit_unseen(self, state):
        """Write a state that node 2 does not have yet."""
        self.holder.exec_driver_sql('LOCK TABLES first READ')
        self.commit(state)
        self.sent.clear()

    def release(self):
        """Let node 2 have what node 1 has committed."""
        self.holder.exec_driver_sql('UNLOCK TABLES')

    def test_unguarded(self):
        """An UPDATE on the state alone matches nothing, without any race."""
        statement = (
            _T.update()
            .where(_T.c.id == self.row_id, _T.c.state == 'running')
            .values(state='completed', status='completed')
        )
        for _number in range(TRIES):
            self.begin('preparing')
            self.commit_unseen('running')
            with self.dbs[1].engine.begin() as connection:
                self.assertEqual(0, connection.execute(statement).rowcount)
            self.release()
            self.assertEqual('running', self.row(self.row_id, 1).state)

    def test_move(self):
        """A move of a state that is really there is never refused."""
        for _number in range(TRIES):
            self.begin('preparing')
            self.commit_unseen('running')
            guard.move(self.dbs[1], self.row_id, base.LIVE, base.COMPLETE)
            self.assertEqual(2, self.sent.count('UPDATE'))
            self.assertEqual('completed', self.row(self.row_id).state)

    def test_absorb(self):
        """The reason of a late report is kept, and once."""
        for number in range(TRIES):
            self.begin('running', state_reason=None)
            self.commit_unseen('cancelled')
            said = f'late {number}'
            guard.absorb(self.dbs[1], self.row_id, base.LIVE, base.LATE, said)
            self.assertEqual(2, self.sent.count('UPDATE'))
            self.assertEqual(said, self.row(self.row_id).state_reason)

    def test_object(self):
        """An object that another node's service sent on can be moved."""
        for _number in range(TRIES):
            self.begin('preparing')
            self.commit_unseen('running')
            migration = objects.Migration.get_by_id(
                self.context(0), self.row_id
            )
            migration._context = self.context(1)
            self.assertEqual('moved', migration.process_event('complete'))
            self.assertEqual(2, self.sent.count('UPDATE'))
            self.assertEqual('completed', migration.state)

    def test_loser(self):
        """Who loses to another node is told the true state."""
        self.let_go_at_commit()
        for _number in range(TRIES):
            self.begin('running')
            loser = objects.Migration.get_by_id(self.context(1), self.row_id)
            self.commit_unseen('completed')
            error = self.assertRaises(
                exception.TransitionConflict,
                loser.process_event,
                'switch_to_postcopy',
            )
            self.assertEqual(
                ('running', 'completed'), (error.expected, error.actual)
            )

    def test_late_loser(self):
        """A report that another node's commit made late is absorbed.

        The object then says where the row is.
        """
        self.let_go_at_commit()
        for _number in range(TRIES):
            self.begin('running', state_reason=None)
            late = objects.Migration.get_by_id(self.context(1), self.row_id)
            self.commit_unseen('cancelled')
            self.assertEqual('absorbed', late.process_event('fail', 'late'))
            self.assertEqual('cancelled', late.state)
            self.assertIn('late', self.row(self.row_id).state_reason)

    def test_follow(self):
        """An object that takes the row's position takes the newest one."""
        for _number in range(TRIES):
            self.begin('running')
            follower = objects.Migration.get_by_id(
                self.context(1), self.row_id
            )
            self.commit_unseen('completed')
            follower._follow()
            self.assertEqual('completed', follower.state)

    def test_report_of_an_older_service(self):
        """What Nova's string means is asked where the row really is."""
        for _number in range(TRIES):
            self.begin('preparing')
            older = objects.Migration.obj_from_primitive(
                objects.Migration.get_by_id(
                    self.context(1), self.row_id
                ).obj_to_primitive('1.8'),
                self.context(1),
            )
            older._reported_status = base.LIVE.state('completed').legacy
            self.commit_unseen('running')
            older.save()
            self.assertEqual('completed', older.state)


class SyncWait(base.GaleraTest):
    """A connection of the pool is as it was after it has waited."""

    def setUp(self):
        super().setUp()
        self.db = self.open(self.urls[1], max_pool_size=1, max_overflow=0)

    @contextlib.contextmanager
    def connection(self):
        """Open the pool's only connection."""
        with self.db.engine.connect() as connection:
            yield connection

    def waits_before(self, database=None):
        """Return what the next user of the connection finds."""
        with (database or self.db).engine.connect() as connection:
            return connection.exec_driver_sql(
                'SELECT @@SESSION.wsrep_sync_wait'
            ).scalar_one()

    def thread(self):
        """Return the server's number of the pool's connection."""
        with self.connection() as connection:
            return connection.exec_driver_sql(
                'SELECT connection_id()'
            ).scalar_one()

    def test_waits_inside(self):
        """Reads, updates and inserts wait."""
        with self.connection() as connection, galera.caught_up(connection):
            inside = connection.exec_driver_sql(
                'SELECT @@SESSION.wsrep_sync_wait'
            ).scalar_one()
        self.assertEqual((7, 0), (inside, self.waits_before()))

    def test_session_of_oslo_db(self):
        """What [database] mysql_wsrep_sync_wait says is kept."""
        waiting = self.open(self.urls[1], mysql_wsrep_sync_wait=1)
        self.assertEqual(1, self.waits_before(waiting))
        with (
            waiting.engine.connect() as connection,
            galera.caught_up(connection),
        ):
            pass
        self.assertEqual(1, self.waits_before(waiting))

    def test_after_an_error(self):
        """It is set back, and the error is the one that is raised."""
        thread = self.thread()

        def fail():
            with (
                self.connection() as connection,
                galera.caught_up(connection),
            ):
                connection.exec_driver_sql('SELECT * FROM not_there')

        error = self.assertRaises(sa.exc.ProgrammingError, fail)
        self.assertIn('not_there', errors.first_line(error))
        self.assertEqual(0, self.waits_before())
        self.assertEqual(thread, self.thread())

    def test_after_another_error(self):
        """An error that is not the database's is no different."""

        def fail():
            with (
                self.connection() as connection,
                galera.caught_up(connection),
            ):
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual(0, self.waits_before())

    def test_killed_connection(self):
        """Who loses the connection is told so; the next one is a new one."""
        thread = self.thread()

        def fail():
            with (
                self.connection() as connection,
                galera.caught_up(connection),
            ):
                self.nodes[1].ask(f'KILL {thread}')
                connection.exec_driver_sql('SELECT 1')

        error = self.assertRaises(db_exc.DBError, fail)
        cause = error.inner_exception.orig
        self.assertIsInstance(cause, pymysql.err.OperationalError)
        self.assertEqual(0, self.waits_before())
        self.assertNotEqual(thread, self.thread())

    def test_closed_connection(self):
        """Closing inside is no error of its own."""
        with self.connection() as connection, galera.caught_up(connection):
            connection.invalidate()
        self.assertEqual(0, self.waits_before())
