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

"""Rows that somebody else holds: left, come back to, and named."""

import subprocess
import sys

import fixtures
import hypothesis
from hypothesis import strategies as st
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import batches
from nova_migration.db import engine
from nova_migration.db import held
from nova_migration.db import models
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests.functional import base
from tests.functional.db import samples

LIVE = MACHINES['live-migration']
STATE = LIVE.table.start

_RETURNS = 'nova_migration.db.batches.RETURNS'
_ATTEMPTS = 'nova_migration.db.batches.ATTEMPTS'

#: What a process of its own does that holds a row until it is killed.
HOLD = """
import sys
import sqlalchemy as sa
connection = sa.create_engine(sys.argv[1]).connect()
connection.begin()
connection.exec_driver_sql(
    f"UPDATE migrations SET dest_host = 'x' WHERE id = {sys.argv[2]}")
print('held', flush=True)
sys.stdin.read()
"""

#: Each run, and which rows it has still to do.
RUNS = {
    'migrate': (upgrade.migrate, upgrade.is_legacy),
    'restore': (upgrade.restore, upgrade.is_canonical),
    'settle': (
        lambda database, **options: upgrade.settle(
            database, upgrade.Believed.STATUS, **options
        ),
        upgrade.is_inconsistent,
    ),
}


def values(run, row_id):
    """Return a row that a run has to change."""
    if run == 'migrate':
        return samples.legacy(LIVE.name, STATE.legacy, id=row_id)
    row = samples.canonical(LIVE.name, STATE, id=row_id)
    return row if run == 'restore' else {**row, 'status': 'x'}


class HeldTest(samples.Expanded):
    """What these tests share."""

    backends = ('mysql', 'postgresql')

    def setUp(self):
        super().setUp()
        self.expand()
        self.holders = self.open().engine
        self.come_back(0.0)

    def come_back(self, *seconds):
        """Have other waits before each return to rows that were held."""
        self.useFixture(fixtures.MonkeyPatch(_RETURNS, seconds))

    def do_not_ask(self):
        """Spare the time that it takes to find out who holds rows."""
        self.patch(held, 'with_holders', lambda _engine, _table, left: left)

    def fill(self, count, run='migrate', table=models.MIGRATIONS):
        """Insert rows that a run has to change."""
        rows = [values(run, row_id) for row_id in range(1, count + 1)]
        with self.db.engine.begin() as connection:
            connection.execute(table.insert(), rows)

    def hold(self, *ids, table=models.MIGRATIONS, **changed):
        """Have another transaction change rows; return it."""
        connection = self.holders.connect()
        self.addCleanup(connection.close)
        transaction = connection.begin()
        for row_id in ids:
            connection.execute(
                table.update()
                .where(table.c.id == row_id)
                .values(**(changed or {'dest_host': 'x'}))
            )
        return transaction

    def own_id(self, transaction):
        """Return the number that the server knows a session by."""
        query = held._OWN_ID[self.BACKEND]
        return transaction.connection.exec_driver_sql(query).scalar_one()

    def run_to_the_end(self, run='migrate', database=None, **manner):
        """Return what was done, and what was held by table."""
        begin, _pending = RUNS[run]
        done = list(
            begin(database or self.db, manner=batches.Manner(**manner))
        )
        left = {
            batch.held.table: batch.held
            for batch in done
            if batch.held is not None
        }
        return sum(batch.changed for batch in done), left

    def left(self, run='migrate'):
        """Return the ids of the rows that a run has still to do, by table."""
        _begin, pending = RUNS[run]
        with self.db.engine.connect() as connection:
            return {
                table.name: list(
                    connection.scalars(
                        sa.select(table.c.id)
                        .where(pending(table))
                        .order_by(table.c.id)
                    )
                )
                for table in models.TABLES
            }


@base.on_every_database
class Left(HeldTest):
    """Rows that are held stay as they are; all others are done."""

    def test_one_of_many(self):
        """One held row of 300 is left and named, with who holds it."""
        self.fill(300)
        transaction = self.hold(150)
        session = self.own_id(transaction)
        changed, left = self.run_to_the_end()
        self.assertEqual((299, ['migrations']), (changed, list(left)))
        found = left['migrations']
        self.assertEqual(((150,), 1, None), (found.ids, found.count, None))
        (holder,) = found.holders
        self.assertEqual(session, holder.session)
        self.assertEqual('openstack_citest', holder.user)
        self.assertGreaterEqual(holder.seconds, 0)
        self.assertIn(f'  by session {session} of openstack', found.lines[1])
        self.assertEqual([150], self.left()['migrations'])
        transaction.rollback()
        self.assertEqual((1, {}), self.run_to_the_end())

    def test_every_run_in_both_tables(self):
        """Migrate, restore and settle leave what is held in either table."""
        self.do_not_ask()
        for run in RUNS:
            for table in models.TABLES:
                self.fill(6, run, table)
            transactions = [
                self.hold(number, number + 2, table=table)
                for number, table in enumerate(models.TABLES, 1)
            ]
            expected = {'migrations': [1, 3], 'shadow_migrations': [2, 4]}
            changed, left = self.run_to_the_end(run)
            self.assertEqual(8, changed, run)
            self.assertEqual(expected, self.left(run), run)
            self.assertEqual(
                expected,
                {name: list(each.ids) for name, each in left.items()},
                run,
            )
            for transaction in transactions:
                transaction.rollback()
            self.assertEqual((4, {}), self.run_to_the_end(run), run)
            with self.db.engine.begin() as connection:
                for table in models.TABLES:
                    connection.execute(table.delete())

    def test_whatever_is_held(self):
        """Exactly the rows that are not held are done, all others named."""
        self.do_not_ask()

        @hypothesis.settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[*hypothesis.HealthCheck],
        )
        @hypothesis.given(
            st.sampled_from([*RUNS]),
            st.integers(1, 8),
            st.sets(st.integers(1, 8)),
            st.sampled_from([None, 1, 2, 5]),
        )
        def all_but_held(run, count, ids, batch_size):
            ids = sorted(row_id for row_id in ids if row_id <= count)
            with self.db.engine.begin() as connection:
                connection.execute(models.MIGRATIONS.delete())
            self.fill(count, run)
            transaction = self.hold(*ids)
            changed, left = self.run_to_the_end(run, batch_size=batch_size)
            named = [row for each in left.values() for row in each.ids]
            self.assertEqual(ids, self.left(run)['migrations'])
            self.assertEqual((count - len(ids), ids), (changed, named))
            transaction.rollback()
            self.assertEqual((len(ids), {}), self.run_to_the_end(run))
            self.assertEqual([], self.left(run)['migrations'])

        all_but_held()

    def test_all_of_them(self):
        """Of many held rows the first are named, and all are counted."""
        self.do_not_ask()
        self.fill(300)
        transaction = self.hold(*range(1, 300))
        changed, left = self.run_to_the_end()
        self.assertEqual(1, changed)
        found = left['migrations']
        self.assertEqual(299, found.count)
        self.assertEqual(tuple(range(1, batches.NAMED + 1)), found.ids)
        self.assertIn(', ...)', found.lines[0])
        transaction.rollback()
        self.assertEqual((299, {}), self.run_to_the_end())

    def test_two_holders(self):
        """Each session that holds one of the rows is told."""
        self.fill(6)
        transactions = [self.hold(2), self.hold(5)]
        _changed, left = self.run_to_the_end()
        self.assertEqual(
            [self.own_id(each) for each in transactions],
            [holder.session for holder in left['migrations'].holders],
        )
        for transaction in transactions:
            transaction.rollback()

    def test_max_count(self):
        """A held row does not keep others from being as many as asked."""
        self.fill(10)
        transaction = self.hold(1, 2)
        changed, left = self.run_to_the_end(max_count=5)
        self.assertEqual((5, (1, 2)), (changed, left['migrations'].ids))
        self.assertEqual([1, 2, 8, 9, 10], self.left()['migrations'])
        transaction.rollback()
        self.assertEqual((5, {}), self.run_to_the_end(max_count=5))

    def test_max_count_is_kept_on_the_way_back(self):
        """Rows that are free by then count as any others."""
        self.fill(6)
        transaction = self.hold(1, 2, 3)

        def wait(_seconds):
            if transaction.is_active and self.left()['migrations'] == [
                1,
                2,
                3,
            ]:
                transaction.rollback()
            return True

        changed, left = self.run_to_the_end(max_count=5, wait=wait)
        self.assertEqual((5, {}), (changed, left))
        self.assertEqual(1, len(self.left()['migrations']))

    @base.only_on('mysql')
    def test_a_server_that_cannot_skip(self):
        """Before MariaDB 10.6 rows are tried one by one, without waiting."""
        self.do_not_ask()
        self.patch(held, 'skips_locked', lambda _dialect: False)
        self.fill(60)
        transaction = self.hold(*range(10, 50))
        changed, left = self.run_to_the_end()
        self.assertEqual((20, 40), (changed, left['migrations'].count))
        transaction.rollback()
        self.assertEqual((40, {}), self.run_to_the_end())

    @base.only_on('mysql')
    def test_what_an_index_says_is_held(self):
        """Who read an index alone, and locked it, holds up only its rows."""
        self.fill(6)
        index = 'migrations_status_idx'
        word = next(
            word for word, state in LIVE.legacy.items() if word != state.status
        )
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.update()
                .where(models.MIGRATIONS.c.id == 3)
                .values(status=word)
            )
            connection.exec_driver_sql(
                f'CREATE INDEX {index} ON migrations (status)'
            )
        transaction = self.holders.connect().begin()
        self.addCleanup(transaction.connection.close)
        transaction.connection.exec_driver_sql(
            f'SELECT status FROM migrations FORCE INDEX ({index})'
            f" WHERE status = '{word}' LOCK IN SHARE MODE"
        ).all()
        changed, left = self.run_to_the_end()
        self.assertEqual((5, (3,)), (changed, left['migrations'].ids))
        transaction.rollback()
        self.assertEqual((1, {}), self.run_to_the_end())


@base.on_every_database
class ComeBack(HeldTest):
    """At the end of the walk it is looked whether the rows are free."""

    def test_released_meanwhile(self):
        """A row that is given free is done by the same run, as it is then."""
        self.fill(6)
        transaction = self.hold(3, dest_host='y', status='error')
        waits = []

        def wait(seconds):
            waits.append(seconds)
            if seconds == 7:
                transaction.commit()
            return True

        self.come_back(5, 6, 7, 8)
        changed, left = self.run_to_the_end(wait=wait)
        self.assertEqual((6, {}), (changed, left))
        self.assertEqual([5, 6, 7], [s for s in waits if s >= 5])
        row = self.row(3)
        error = LIVE.legacy['error']
        self.assertEqual(('y', error.name), (row.dest_host, row.state))
        self.assertIn('Others hold rows of migrations', self.log.output)

    def test_moved_on_meanwhile(self):
        """What its holder made canonical is not touched, nor named."""
        self.fill(3)
        end = LIVE.table.states[-1]
        transaction = self.hold(2, state=end.name, status=end.status)
        changed, left = self.run_to_the_end(
            wait=lambda _seconds: (
                transaction.commit() or True if transaction.is_active else True
            )
        )
        self.assertEqual((2, {}), (changed, left))
        self.assertEqual(end.name, self.row(2).state)

    def test_holder_that_dies(self):
        """A row whose holder was killed is done by the same run."""
        self.fill(6)
        process = subprocess.Popen(
            [sys.executable, '-c', HOLD, self.url, '3'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual('held\n', process.stdout.readline())
        self.come_back(77, *[0.1] * 100)

        def wait(seconds):
            if seconds == 77:
                process.kill()
                process.wait()
                return True
            return batches.sleep(seconds)

        changed, left = self.run_to_the_end(wait=wait)
        self.assertEqual((6, {}), (changed, left))
        self.assertIsNone(self.row(3).dest_host)

    def test_stopped_while_waiting(self):
        """Whoever says stop need not wait, and is not told of sessions."""
        self.fill(3)
        transaction = self.hold(2)
        self.come_back(5, 6)
        changed, left = self.run_to_the_end(wait=lambda seconds: seconds < 5)
        transaction.rollback()
        self.assertEqual((2, {}), (changed, left))

    def test_the_pause_is_told(self):
        """The next batch knows for how long it was waited, and for what."""
        self.fill(3)
        transaction = self.hold(2)
        self.come_back(0.01)
        done = list(upgrade.migrate(self.db))
        transaction.rollback()
        (reason,) = {batch.reason for batch in done if batch.paused >= 0.01}
        self.assertEqual('rows are held', reason)


@base.on_every_database
class NotHeld(HeldTest):
    """Conflicts that are no held rows end the run as before."""

    def test_locked_table(self):
        """A table that is locked is waited for, in bounded tries."""
        self.useFixture(fixtures.MonkeyPatch(_ATTEMPTS, 2))
        self.fill(3)
        connection = self.holders.connect()
        self.addCleanup(connection.close)
        connection.exec_driver_sql(
            {
                'mysql': 'LOCK TABLES migrations READ',
                'postgresql': 'LOCK TABLE migrations IN SHARE MODE',
            }[self.BACKEND]
        )
        error = self.assertRaises(exception.BatchRefused, self.run_to_the_end)
        self.assertEqual(('migrations', 2), (error.table, error.tries))
        connection.invalidate()
        self.assertEqual((3, {}), self.run_to_the_end())


@base.on_every_database
class Unseen(HeldTest):
    """A user who may not see the sessions of others."""

    NAME = 'nova_migration_blind'

    def setUp(self):
        super().setUp()
        name = self.db.engine.url.database
        prepare, remove = {
            'mysql': (
                [
                    f"CREATE USER {self.NAME}@'%%' IDENTIFIED BY 'x'",
                    f"GRANT ALL ON {name}.* TO {self.NAME}@'%%'",
                ],
                [f"DROP USER {self.NAME}@'%%'"],
            ),
            'postgresql': (
                [
                    f"CREATE ROLE {self.NAME} LOGIN PASSWORD 'x'",
                    f'GRANT ALL ON ALL TABLES IN SCHEMA public TO {self.NAME}',
                ],
                [f'DROP OWNED BY {self.NAME}', f'DROP ROLE {self.NAME}'],
            ),
        }[self.BACKEND]
        self.addCleanup(self.say, *remove)
        self.say(*prepare)
        url = self.db.engine.url.set(username=self.NAME, password='x')
        self.blind = engine.from_url(url)
        self.addCleanup(self.blind.engine.dispose)

    def say(self, *statements):
        """Tell the server something."""
        with self.open().engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def test_lacking_privilege(self):
        """It is said which privilege there is lacking."""
        self.fill(3)
        transaction = self.hold(2)
        changed, left = self.run_to_the_end(database=self.blind)
        transaction.rollback()
        found = left['migrations']
        self.assertEqual((2, (2,)), (changed, found.ids))
        privilege = {'mysql': 'PROCESS', 'postgresql': 'pg_read_all_stats'}
        self.assertEqual(privilege[self.BACKEND], found.lacking)
        self.assertIn(found.lacking, found.lines[-1])
        self.assertEqual(self.BACKEND == 'postgresql', bool(found.holders))
