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

"""Batches beside others: conflicts, lost connections, limits, plans."""

import tracemalloc

import fixtures
from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import batches
from nova_migration.db import engine
from nova_migration.db import load
from nova_migration.db import models
from nova_migration.db import pace
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests.functional import base
from tests.functional.db import samples

LIVE = MACHINES['live-migration']

_LIMITS = 'nova_migration.db.batches.limits_for'
_GAUGES = 'nova_migration.db.load.gauges'
_ATTEMPTS = 'nova_migration.db.batches.ATTEMPTS'

#: How each server is asked what it would do.
EXPLAIN = {
    'sqlite': 'EXPLAIN QUERY PLAN ',
    'mysql': 'EXPLAIN ',
    'postgresql': 'EXPLAIN ',
}


class BatchesTest(samples.Expanded):
    """What these tests share."""

    def setUp(self):
        super().setUp()
        self.expand()

    def fill(self, count, word='queued', first=1):
        """Insert legacy rows."""
        rows = [
            samples.legacy(LIVE.name, word, id=row_id)
            for row_id in range(first, first + count)
        ]
        with self.db.engine.begin() as connection:
            connection.execute(models.MIGRATIONS.insert(), rows)

    def use_limits(self, *values):
        """Have batches of other sizes than suit the server."""
        limits = pace.Limits(*values)
        self.useFixture(fixtures.MonkeyPatch(_LIMITS, lambda *_rest: limits))

    def migrate(self, **manner):
        """Begin to migrate."""
        return upgrade.migrate(self.db, manner=batches.Manner(**manner))

    def left(self):
        """Return how many rows are left to migrate."""
        return upgrade.count(self.db, upgrade.is_legacy)


@base.on_every_database
class Conflicts(BatchesTest):
    """A batch that others are in the way of gets smaller, and through."""

    backends = ('mysql', 'postgresql')

    def hold(self, row_id):
        """Have another transaction change a row; return how to end it."""
        connection = self.open().engine.connect()
        self.addCleanup(connection.close)
        transaction = connection.begin()
        connection.execute(
            models.MIGRATIONS.update()
            .where(models.MIGRATIONS.c.id == row_id)
            .values(dest_host='x')
        )
        return transaction.rollback

    def test_locked_row(self):
        """One that is locked is done last; batches after it are smaller."""
        self.use_limits(1, 40, 40, 1e9)
        self.fill(60)
        release = self.hold(30)
        sizes = []

        def wait(_seconds):
            if len(sizes) == 6:
                release()
            return True

        work = self.migrate(wait=wait)
        tries = [sizes.append(batch.seen) or batch.tries for batch in work]
        self.assertEqual([10, 10, 9, 10, 10, 10, 1], sizes)
        self.assertEqual([2, 1, 1, 1, 1, 1, 1], tries)
        self.assertEqual(0, self.left())
        self.assertIsNone(self.row(30).dest_host)

    def test_stopped_between_two_tries(self):
        """Whoever says stop need not wait for a row that is locked."""
        self.fill(2)
        release = self.hold(1)
        waits = []
        work = self.migrate(wait=waits.append)
        self.assertEqual([], list(work))
        release()
        self.assertEqual((1, 2), (len(waits), self.left()))

    def test_server_that_stays_away(self):
        """It gives up in the end, and says that the connection was lost."""
        self.useFixture(fixtures.MonkeyPatch(_ATTEMPTS, 3))
        self.fill(4)
        tried = []

        dialect = self.db.engine.dialect

        def refuse(*_arguments, **_options):
            tried.append(dialect)
            raise dialect.loaded_dbapi.OperationalError('nobody is there')

        def heard(connection, _cursor, statement, *_rest):
            if statement.startswith('UPDATE'):
                self.patch(dialect, 'connect', refuse)
                self.kill(self.own_id(connection))

        self.listen('before_cursor_execute', heard)
        work = self.migrate(batch_size=2)
        self.assertRaises(exception.ConnectionLost, list, work)
        self.assertEqual(2, len(tried))

    def own_id(self, connection):
        """Return the number of a connection, as its server counts."""
        return connection.exec_driver_sql(
            {
                'mysql': 'SELECT connection_id()',
                'postgresql': 'SELECT pg_backend_pid()',
            }[self.BACKEND]
        ).scalar()

    def kill(self, number):
        """End a connection from another one."""
        with self.open().engine.connect() as connection:
            connection.exec_driver_sql(
                {
                    'mysql': f'KILL {number}',
                    'postgresql': f'SELECT pg_terminate_backend({number})',
                }[self.BACKEND]
            )

    def test_lost_connection(self):
        """A batch whose connection was cut is done on another one."""
        self.fill(8)
        cut = []

        def heard(connection, _cursor, statement, *_rest):
            if statement.startswith('UPDATE') and len(cut) < 2:
                cut.append(statement)
                self.kill(self.own_id(connection))

        self.listen('before_cursor_execute', heard)
        work = list(self.migrate(batch_size=3))
        self.assertEqual(2, len(cut))
        self.assertEqual([3, 1, 1], [batch.tries for batch in work])
        self.assertEqual(8, sum(batch.changed for batch in work))
        self.assertEqual(0, self.left())

    def test_connection_lost_in_a_look(self):
        """A connection that is cut while others are looked at is no end."""
        self.fill(4)
        cut = []

        class Cutting:
            def read(_self, connection):
                if not cut:
                    cut.append(self.own_id(connection))
                    self.kill(*cut)
                self.own_id(connection)

        self.useFixture(
            fixtures.MonkeyPatch(_GAUGES, lambda *_rest: [Cutting()])
        )
        list(self.migrate())
        self.assertEqual((1, 0), (len(cut), self.left()))
        self.assertNotIn('cannot be read', self.log.output)

    def test_other_errors(self):
        """What a second try would not mend is not tried again."""
        self.fill(2)
        broken = batches.Job(
            models.MIGRATIONS,
            upgrade.is_legacy(models.MIGRATIONS),
            sa.update(models.MIGRATIONS).values(status='x' * 300),
        )
        sent = []

        def heard(_connection, _cursor, statement, *_rest):
            sent.append(statement.split()[0])

        with batches.walking(self.db, batches.Manner()) as walk:
            self.listen('before_cursor_execute', heard)
            self.assertRaises(db_exc.DBError, list, walk.over(broken))
        self.assertEqual(1, sent.count('UPDATE'))

    def test_settings_are_taken_back(self):
        """Whoever gets the connection next finds it as it was."""
        asked = {
            'mysql': 'SELECT @@SESSION.innodb_lock_wait_timeout',
            'postgresql': "SELECT current_setting('lock_timeout')"
            " || current_setting('enable_sort')"
            " || current_setting('enable_seqscan')"
            " || current_setting('enable_bitmapscan')"
            " || current_setting('jit')",
        }[self.BACKEND]

        database = engine.from_url(self.url, max_pool_size=1, max_overflow=0)
        self.addCleanup(database.engine.dispose)

        def ask():
            with database.engine.connect() as connection:
                return self.own_id(connection), connection.exec_driver_sql(
                    asked
                ).scalar()

        during = []

        def heard(_connection, cursor, statement, *_rest):
            if statement.startswith('UPDATE'):
                cursor.execute(asked)
                during.append(cursor.fetchone()[0])

        self.fill(4)
        before = ask()
        sa.event.listen(database.engine, 'before_cursor_execute', heard)
        work = upgrade.migrate(database, batch_size=1)
        next(work)
        work.close()
        self.assertNotEqual([before[1]], during)
        self.assertEqual(before, ask())


@base.on_every_database
class Bounds(BatchesTest):
    """How a batch is found, and how large it is."""

    def test_plan(self):
        """A server that was never told to look finds a batch by its key."""
        self.fill(400)
        plans = []

        def heard(_connection, cursor, statement, parameters, *_rest):
            if statement.startswith(('SELECT max', 'UPDATE migrations')):
                cursor.execute(EXPLAIN[self.BACKEND] + statement, parameters)
                plan = ' '.join(str(row) for row in cursor.fetchall())
                plans.append(plan)

        self.listen('before_cursor_execute', heard)
        for run in (upgrade.migrate, upgrade.restore):
            for batch in run(self.db, batch_size=20):
                self.assertLessEqual(batch.seen, 20)
        self.assertGreater(len(plans), 80)
        key, worse = {
            'sqlite': ('INTEGER PRIMARY KEY', 'TEMP B-TREE|USING INDEX'),
            'mysql': ("'range', 'PRIMARY'", 'filesort'),
            'postgresql': ('using migrations_pkey', f'Sort|{models.INDEX}'),
        }[self.BACKEND]
        for plan in plans:
            if 'shadow_migrations' in plan:
                continue
            self.assertIn(key, plan)
            self.assertNotRegex(plan, worse)

    def test_max_count(self):
        """Exactly as many rows are changed as were asked for."""
        self.fill(4, 'goofballs')
        self.fill(7, first=10)
        work = list(self.migrate(batch_size=2, max_count=5))
        self.assertEqual(5, sum(batch.changed for batch in work))
        self.assertEqual(1, work[-1].seen)
        self.assertEqual(11 - 5, self.left())
        work = list(self.migrate(max_count=5))
        self.assertEqual(2, sum(batch.changed for batch in work))

    def test_max_count_among_unknown_rows(self):
        """Rows that stay as they are have no batches of their own."""
        self.fill(400, 'goofballs')
        self.fill(3, first=500)
        work = list(self.migrate(max_count=2))
        self.assertEqual([2], [batch.changed for batch in work])

    def test_first_size(self):
        """The first batch has the size that suits the server."""
        suits = pace.FILE if self.BACKEND == 'sqlite' else pace.SERVER
        with self.db.engine.connect() as connection:
            self.assertEqual(suits, batches.limits_for(connection, None))
            self.assertEqual(
                pace.fixed(7, suits.rest), batches.limits_for(connection, 7)
            )

    def test_grows_and_shrinks(self):
        """Quick batches grow, and slow ones shrink."""
        self.fill(60)
        for limits, sizes in (
            ((1, 4, 8, 1e9), [4, 8, 8, 8, 8, 8, 8, 8]),
            ((2, 16, 16, 1e-9), [16, 8, 4, *[2] * 16]),
        ):
            self.use_limits(*limits)
            work = list(self.migrate())
            self.assertEqual(sizes, [batch.seen for batch in work])
            list(upgrade.restore(self.db))

    def test_memory(self):
        """Ten times the rows do not need more memory."""

        def peak():
            tracemalloc.start()
            try:
                for _batch in upgrade.migrate(self.db, batch_size=50):
                    pass
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        self.fill(200)
        # What is made once, such as compiled statements, is made by now.
        peak()
        list(upgrade.restore(self.db))
        few = peak()
        self.fill(2000, first=1000)
        self.assertEqual(2000, self.left())
        self.assertLess(peak(), few * 1.5)


class Gauge:
    """A gauge that says what a test wants."""

    def __init__(self, *said):
        self.said = list(said)

    def read(self, _connection):
        """Return the next thing to say."""
        said = self.said.pop(0) if self.said else None
        if isinstance(said, Exception):
            raise said
        return said


@base.on_every_database
class Manners(BatchesTest):
    """Pauses: as asked for, and as other servers need them."""

    def setUp(self):
        super().setUp()
        self.waits = []

    def wait(self, seconds):
        """Only remember that somebody wanted to wait."""
        self.waits.append(seconds)
        return True

    def use_gauge(self, gauge):
        """Have another server say how it is."""
        self.useFixture(fixtures.MonkeyPatch(_GAUGES, lambda *_rest: [gauge]))

    def test_throttle(self):
        """For each second of work so many are idle as the share says."""
        self.fill(6)
        work = list(self.migrate(batch_size=2, idle=0.75, wait=self.wait))
        self.assertEqual([3 * batch.seconds for batch in work], self.waits)

    def test_rest(self):
        """Where writers need a rest to get in, they have one."""
        limits = pace.Limits(2, 2, 2, 1e9, rest=0.25)
        for name, value in (
            (_LIMITS, lambda *_rest: limits),
            (f'{batches.__name__}._WITHOUT_REST', 0.0),
        ):
            self.useFixture(fixtures.MonkeyPatch(name, value))
        self.fill(6)
        list(self.migrate(wait=self.wait))
        self.assertEqual([0.25] * 3, self.waits)

    def test_no_throttle(self):
        """Nobody waits who was not asked to."""
        self.fill(6)
        list(self.migrate(batch_size=2, wait=self.wait))
        self.assertEqual([], self.waits)

    def test_stopped_in_a_pause(self):
        """A wait that says stop is the end, at a boundary."""
        self.fill(6)
        shadow = samples.legacy(LIVE.name, 'queued', id=1)
        with self.db.engine.begin() as connection:
            connection.execute(models.SHADOW_MIGRATIONS.insert(), shadow)
        work = list(
            self.migrate(batch_size=2, idle=0.5, wait=lambda _seconds: False)
        )
        self.assertEqual([2], [batch.seen for batch in work])
        self.assertEqual(4 + 1, self.left())

    def test_pressure(self):
        """Who is asked to hold back waits, says so once, and does less."""
        self.use_limits(1, 40, 40, 1e9)
        self.fill(60)
        self.use_gauge(Gauge('a is late', 'a is late', 'a is later'))
        work = list(self.migrate(wait=self.wait))
        self.assertEqual(3, len(self.waits))
        self.assertEqual(10, work[0].seen)
        self.assertEqual(1, self.log.output.count('Holding back: a is late'))
        self.assertNotIn('later', self.log.output)
        self.assertEqual(0, self.left())

    def test_pressure_without_end(self):
        """A server that never catches up does not stop the work for good."""
        self.useFixture(
            fixtures.MonkeyPatch('nova_migration.db.batches.HOLD', 0.0)
        )
        self.fill(4)
        self.use_gauge(Gauge(*['a is late'] * 10))
        list(self.migrate(batch_size=1, wait=self.wait))
        self.assertEqual(0, self.left())
        self.assertIn('does not catch up', self.log.output)

    def test_stopped_while_holding_back(self):
        """It can be stopped while it holds back, too."""
        self.fill(4)
        self.use_gauge(Gauge('a is late', 'a is late'))
        work = list(self.migrate(wait=lambda _seconds: False))
        self.assertEqual(([], 4), (work, self.left()))

    def test_unreadable(self):
        """What can't be read is said once, and is no reason to wait."""
        self.fill(4)
        error = db_exc.DBError('Access denied')
        self.use_gauge(Gauge(error, 'a is late'))
        list(self.migrate(batch_size=1, wait=self.wait))
        self.assertEqual(([], 0), (self.waits, self.left()))
        self.assertEqual(1, self.log.output.count('Access denied'))

    def test_nothing_to_read(self):
        """A server with nobody behind it never asks to hold back."""
        with self.db.engine.connect() as connection:
            found = load.gauges(connection, 1.0)
            self.assertEqual(self.BACKEND == 'postgresql', bool(found))
            watch = load.Watch(found)
            connection.rollback()
            self.assertIsNone(watch.pressure(connection, at_once=True))
            self.assertEqual([], load.gauges(connection, 0))
        self.assertEqual('', self.log.output)
