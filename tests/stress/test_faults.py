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

"""Connections that end, and servers that say no, in the middle of a write."""

import contextlib
import re
import threading
from unittest import mock

import pymysql
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import api
from nova_migration.db import engine
from nova_migration.db import guard
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from tests.functional import base
from tests.functional.db import samples
from tests.functional.db import test_guard
from tests.stress import base as stress_base
from tests.stress import contender
from tests.stress import journals
from tests.stress import proxy
from tests.stress import upgraded
from tests.stress import victim

LIVE = MACHINES['live-migration']
RUN = LIVE.decide('preparing', 'run')
COMPLETE = LIVE.decide('running', 'complete')
CANCEL = LIVE.decide('running', 'cancel')

_ALTER = re.compile(rb'ALTER TABLE migrations')

#: How a rival's reason reads.
_RIVAL = 'the rival'


class ThroughProxy:
    """Mixed into tests whose connections end when they say so."""

    # SQLite has no connection that could be lost.
    backends = ('mysql', 'postgresql')

    def setUp(self):
        super().setUp()
        self.expand()
        self.proxy = self.useFixture(proxy.Proxy(self.url))
        self.far = engine.from_url(self.proxy.url)
        self.addCleanup(self.far.engine.dispose)


@base.on_every_database
class GuardedWrite(ThroughProxy, test_guard.GuardTest):
    """A move whose connection ends, and what the caller is told."""

    backends = ThroughProxy.backends
    REASONS = (None, 'why not')

    def each(self, state=COMPLETE.source):
        """Yield rows of both forms, with a reason and without."""
        for reason in self.REASONS:
            for row_id in self.fill(LIVE, state):
                yield row_id, reason

    def move(self, row_id, reason, edge=COMPLETE):
        """Move a row through the proxy."""
        return guard.move(self.far, row_id, LIVE, edge, reason)

    def rival(self, row_id, *edges):
        """Return what moves a row by another connection."""

        def act():
            for edge in edges:
                guard.move(self.db, row_id, LIVE, edge, _RIVAL)

        return act

    def assert_moved(self, row_id, reason, now=None, edge=COMPLETE):
        """The row was moved, once, and says why."""
        row = self.row(row_id)
        self.assertEqual(
            edge.target, guard.position(self.db, row_id, LIVE).state
        )
        self.assertEqual(reason, row.state_reason)
        if now is not None:
            self.assertEqual(now, row.state_changed_at)

    def assert_unknown(self, row_id, reason, actual, edge=COMPLETE):
        """The caller is told that nobody knows."""
        error = self.assertRaises(
            exception.OutcomeUnknown, self.move, row_id, reason, edge
        )
        self.assertEqual(
            (row_id, edge.event, edge.source, edge.target, actual),
            (
                error.migration_id,
                error.event,
                error.expected,
                error.target,
                error.actual,
            ),
        )
        self.assertNotIn('\n', str(error))

    def assert_conflict(self, row_id, reason, actual):
        """The caller is told that it lost a race."""
        error = self.assertRaises(
            exception.TransitionConflict, self.move, row_id, reason
        )
        self.assertEqual(actual, error.actual)
        self.assertEqual(_RIVAL, self.row(row_id).state_reason)

    def test_before_the_commit(self):
        """What was rolled back with its connection is done again."""
        for when in proxy.Cut:
            for row_id, reason in self.each():
                self.proxy.cut(proxy.UPDATE, when)
                now = self.move(row_id, reason)
                self.assert_moved(row_id, reason, now)

    def test_while_it_committed(self):
        """A lost answer to COMMIT is found out; the move is made once."""
        for when in proxy.Cut:
            for row_id, reason in self.each():
                self.proxy.cut(proxy.COMMIT, when)
                now = self.move(row_id, reason)
                self.assert_moved(row_id, reason, now)

    def test_again_and_again(self):
        """So is one that is lost a second time."""
        for first in proxy.Cut:
            for second in proxy.Cut:
                for row_id, reason in self.each():
                    self.proxy.cut(proxy.COMMIT, first)
                    self.proxy.cut(proxy.COMMIT, second)
                    now = self.move(row_id, reason)
                    self.assert_moved(row_id, reason, now)

    def test_claim(self):
        """A step that leads back to its own state is made once, too."""
        cold = MACHINES['resize']
        claim = cold.decide('pre-migrating', 'claim')
        for when in proxy.Cut:
            for row_id in self.fill(cold, claim.source):
                self.proxy.cut(proxy.COMMIT, when)
                now = guard.move(self.far, row_id, cold, claim, 'why')
                row = self.row(row_id)
                self.assertEqual(
                    (now, 'why'), (row.state_changed_at, row.state_reason)
                )
                self.assertEqual(
                    claim.target, guard.position(self.db, row_id, cold).state
                )

    def test_lost_while_it_looked(self):
        """Nobody knows what was done where the row can't be read again."""
        read, reads = guard._read, []

        def read_once(*arguments):
            reads.append(arguments)
            if len(reads) > 1:
                raise exception.ConnectionLost(url='there', reason='gone')
            return read(*arguments)

        for row_id, reason in self.each():
            reads.clear()
            self.proxy.cut(proxy.COMMIT, proxy.Cut.AFTER)
            with mock.patch.object(guard, '_read', read_once):
                self.assert_unknown(row_id, reason, None)
            self.assert_moved(row_id, reason)

    def test_moved_on_meanwhile(self):
        """Whoever moved the row on hides whether it was us: unknown."""
        onward = LIVE.decide(RUN.target, 'complete')
        for row_id, reason in self.each(RUN.source):
            meanwhile = self.rival(row_id, onward)
            self.proxy.cut(proxy.COMMIT, proxy.Cut.AFTER, meanwhile)
            self.assert_unknown(row_id, reason, onward.target, RUN)
        for row_id, reason in self.each(RUN.source):
            meanwhile = self.rival(row_id, RUN, onward)
            self.proxy.cut(proxy.COMMIT, proxy.Cut.BEFORE, meanwhile)
            self.assert_unknown(row_id, reason, onward.target, RUN)

    def test_same_move_by_a_rival(self):
        """A rival's move along the same edge is not taken for ours."""
        for row_id, reason in self.each():
            canonical = self.row(row_id).state is not None
            meanwhile = self.rival(row_id, COMPLETE)
            self.proxy.cut(proxy.COMMIT, proxy.Cut.BEFORE, meanwhile)
            if canonical:
                self.assert_conflict(row_id, reason, COMPLETE.target)
            else:
                self.assert_unknown(row_id, reason, COMPLETE.target)

    def test_other_move_by_a_rival(self):
        """Where our write cannot have led, it was not made.

        A program that is not guarded may have written a legacy row over.
        """
        for row_id, reason in self.each():
            canonical = self.row(row_id).state is not None
            meanwhile = self.rival(row_id, CANCEL)
            self.proxy.cut(proxy.COMMIT, proxy.Cut.BEFORE, meanwhile)
            if canonical:
                self.assert_conflict(row_id, reason, CANCEL.target)
            else:
                self.assert_unknown(row_id, reason, CANCEL.target)

    def test_time_without_fractions(self):
        """A time of the same second is not enough to tell a write by."""
        for row_id, reason in self.each():
            self.proxy.cut(
                proxy.COMMIT,
                proxy.Cut.AFTER,
                lambda row_id=row_id: self.cut_fractions(row_id),
            )
            self.assert_unknown(row_id, reason, COMPLETE.target)

    def cut_fractions(self, row_id):
        """Make a row's time what a column without fractions keeps of it."""
        time = self.row(row_id).state_changed_at
        self.write(row_id, state_changed_at=time.replace(microsecond=0))

    def test_reason_of_a_rival(self):
        """Nor is the time, if the reason is another one."""
        for row_id in self.fill(LIVE, COMPLETE.source):
            self.proxy.cut(
                proxy.COMMIT,
                proxy.Cut.AFTER,
                lambda row_id=row_id: self.write(row_id, state_reason=_RIVAL),
            )
            self.assert_unknown(row_id, 'ours', COMPLETE.target)

    def test_late_report_meanwhile(self):
        """A late report behind the move's reason does not hide it."""
        late = LIVE.decide(COMPLETE.target, 'fail')
        for row_id in self.fill(LIVE, COMPLETE.source):
            self.proxy.cut(
                proxy.COMMIT,
                proxy.Cut.AFTER,
                lambda row_id=row_id: guard.absorb(
                    self.db, row_id, LIVE, late, 'late'
                ),
            )
            now = self.move(row_id, 'ours')
            self.assert_moved(row_id, 'ours; late', now)

    def test_nobody_answers_any_more(self):
        """Without an answer the outcome stays unknown, whatever it was."""
        for when in (proxy.Cut.BEFORE, proxy.Cut.AFTER):
            (row_id, _other) = self.fill(LIVE, COMPLETE.source)
            far = self.useFixture(proxy.Proxy(self.url))
            self.far = engine.from_url(far.url)
            self.addCleanup(self.far.engine.dispose)
            far.cut(proxy.COMMIT, when, far.close)
            self.assert_unknown(row_id, 'why', None)

    def test_nothing_was_sent(self):
        """Who could not even write is told that nothing was written."""
        (row_id, _other) = self.fill(LIVE, COMPLETE.source)
        before = self.row(row_id)
        self.proxy.cut(proxy.UPDATE, proxy.Cut.BEFORE, self.proxy.close)
        error = self.assertRaises(
            exception.ConnectionLost, self.move, row_id, 'why'
        )
        self.assertIn('lost', str(error))
        self.assertEqual(before, self.row(row_id))

    def test_late_report(self):
        """A late report that is lost is kept once."""
        late = LIVE.decide('cancelled', 'fail')
        for when in proxy.Cut:
            for row_id in self.fill(LIVE, late.state):
                self.proxy.cut(proxy.COMMIT, when)
                guard.absorb(self.far, row_id, LIVE, late, 'again')
                self.assertEqual('again', self.row(row_id).state_reason)


@base.on_every_database
class OtherWork(ThroughProxy, samples.Expanded):
    """What else is sent to a database."""

    backends = ThroughProxy.backends

    def test_query(self):
        """A query is asked again, and its answer is all that matters."""
        row_id = self.insert(migration_type='resize', status='error')
        for when in proxy.Cut:
            self.proxy.cut(proxy.COMMIT, when)
            self.assertEqual('error', api.get(self.far, row_id).status)

    def test_new_row(self):
        """A new row is not made twice: its outcome is unknown."""
        for when in (proxy.Cut.BEFORE, proxy.Cut.AFTER):
            self.proxy.cut(proxy.COMMIT, when)
            self.assertRaises(
                exception.OutcomeUnknown,
                api.create,
                self.far,
                {'migration_type': 'resize', 'status': 'error'},
            )
        self.assertEqual(1, len(self.rows()))

    def test_batches(self):
        """Batches are repeated; a run that gives up is one to run again."""
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.insert(),
                [
                    {'migration_type': 'resize', 'status': 'finished'}
                    for _ in range(300)
                ],
            )
        self.proxy.cut_at_random(0.2, self.getUniqueInteger())
        self.insist(upgrade.migrate)
        self.assertEqual(
            {('completed', 'awaiting-confirmation')},
            {(row.status, row.state) for row in self.rows()},
        )
        self.insist(upgrade.restore)
        self.assertEqual(
            {('finished', None)},
            {(row.status, row.state) for row in self.rows()},
        )
        self.assertGreater(self.proxy.cuts, 3)

    def test_schema(self):
        """A step of the schema says that it lost its connection."""
        for step in (
            schema.contract,
            schema.revert_contract,
            schema.revert_expand,
        ):
            for when in (proxy.Cut.BEFORE, proxy.Cut.AFTER):
                self.proxy.cut(_ALTER, when)
                self.assertRaises(exception.ConnectionLost, step, self.far)
                schema.expand(self.db, create=True)
                if step is not schema.contract:
                    schema.contract(self.db)

    def insist(self, phase):
        """Run a phase as often as it says that the connection is lost."""
        while True:
            with contextlib.suppress(exception.ConnectionLost):
                list(phase(self.far, batch_size=10))
                return


#: What MariaDB says when a write may be tried again. The last two say that
#: it is not known, where they are the answer to COMMIT.
_REFUSALS = (
    (1213, 'Deadlock found when trying to get lock; try restarting'),
    (1213, 'Deadlock: wsrep aborted transaction'),
    (1205, 'Lock wait timeout exceeded; try restarting transaction'),
    (1020, "Record has changed since last read in table 'migrations'"),
    (1047, 'WSREP has not yet prepared node for application use'),
    (2013, 'Lost connection to server during query'),
)
_AT_COMMIT = (
    *_REFUSALS,
    (1180, 'Got error 6 "No such device or address" during COMMIT'),
)
_OPEN = (1047, 1180, 2013)


@base.on_every_database
class Refusals(test_guard.GuardTest):
    """Errors of a server, as the driver raises them, in place of an answer."""

    backends = ('mysql',)

    @contextlib.contextmanager
    def instead(self, name, error, first):
        """Raise an error, once, in place of what a dialect does.

        :param first: do it before
        """
        dialect = self.db.engine.dialect
        real = getattr(dialect, name)
        left = [error]

        def act(*arguments):
            wanted = name == 'do_commit' or 'UPDATE' in arguments[1]
            if not (left and wanted):
                return real(*arguments)
            if first:
                real(*arguments)
            raise pymysql.err.OperationalError(*left.pop())

        setattr(dialect, name, act)
        try:
            yield
        finally:
            delattr(dialect, name)
        self.assertEqual([], left)

    def moved(self, name, error, first=False):
        """A move has to be made once, in spite of an error."""
        for reason in (None, 'why'):
            for row_id in self.fill(LIVE, COMPLETE.source):
                with self.instead(name, error, first):
                    now = guard.move(self.db, row_id, LIVE, COMPLETE, reason)
                row = self.row(row_id)
                self.assertEqual(
                    (now, reason), (row.state_changed_at, row.state_reason)
                )
                self.assertEqual(
                    COMPLETE.target,
                    guard.position(self.db, row_id, LIVE).state,
                )

    def test_in_place_of_the_update(self):
        """What the server has rolled back is done again."""
        for error in _REFUSALS:
            self.moved('do_execute', error)

    def test_in_place_of_the_commit(self):
        """So is a commit that was refused, certification included."""
        for error in _AT_COMMIT:
            self.moved('do_commit', error)

    def test_behind_the_commit(self):
        """A commit that went through in spite of its answer is found out."""
        for error in _AT_COMMIT:
            if error[0] in _OPEN:
                self.moved('do_commit', error, first=True)

    def test_lock_wait_timeout(self):
        """A row that is locked for longer than the server waits is waited for.

        The server's time limit is a second here, and the rival keeps the row
        until the first try has failed.
        """
        impatient = self.open()

        def be_impatient(connection, _record):
            with connection.cursor() as cursor:
                cursor.execute('SET SESSION innodb_lock_wait_timeout = 1')

        sa.event.listen(impatient.engine, 'connect', be_impatient)
        impatient.engine.dispose()
        failed = threading.Event()
        sa.event.listen(
            impatient.engine, 'handle_error', lambda _context: failed.set()
        )
        for row_id in self.fill(LIVE, COMPLETE.source):
            failed.clear()
            with self.db.engine.connect() as rival, rival.begin() as holding:
                rival.execute(
                    models.MIGRATIONS.update()
                    .where(models.MIGRATIONS.c.id == row_id)
                    .values(memory_total=1)
                )
                release = threading.Thread(
                    target=lambda done=holding: (
                        failed.wait(60),
                        done.rollback(),
                    )
                )
                release.start()
                guard.move(impatient, row_id, LIVE, COMPLETE)
                release.join()
            self.assertTrue(failed.is_set())
            self.assertEqual(
                COMPLETE.target, guard.position(self.db, row_id, LIVE).state
            )


@base.on_every_database
class CutAtRandom(
    stress_base.StressTest, ThroughProxy, samples.Expanded, journals.Journals
):
    """Several writers, whose connections end again and again."""

    backends = ThroughProxy.backends
    WRITERS = 3

    def test_journals(self):
        """Nothing is applied and refused, or applied twice, or told and gone.

        What a writer was told is unknown may be there, or not.
        """
        writers = self.useFixture(
            contender.Contenders(self.WRITERS, self.proxy.url)
        )
        self.proxy.cut_at_random(0.1, self.chance.random())
        machines = self.rows_to_drive(40 * stress_base.SECONDS)
        for number in range(self.WRITERS):
            writers.send(
                number,
                do='drive',
                rows=machines,
                seconds=2 * stress_base.SECONDS,
                name=f'w{number}',
                seed=self.chance.random(),
            )
        told = [writers.receive(n) for n in range(self.WRITERS)]
        figures = self.assert_told(machines, told)
        self.tell(backend=self.BACKEND, cuts=self.proxy.cuts, **figures)
        self.assertGreater(self.proxy.cuts, 0)
        self.assertGreater(figures['told'], 0)


@base.on_every_database
class Command(stress_base.StressTest, upgraded.Upgraded):
    """A command whose connection ends, and does not come back."""

    backends = ThroughProxy.backends

    def test_one_line(self):
        """It ends with one line, and the same command again goes on."""
        self.fill()
        manage = self.useFixture(victim.Commands(self.url))
        for phase, argv in upgraded.PHASES.items():
            far = self.useFixture(proxy.Proxy(self.url))
            cut_off = self.useFixture(victim.Commands(far.url))
            far.cut(
                proxy.COMMIT, self.chance.choice(list(proxy.Cut)), far.close
            )
            result = cut_off(*argv)
            self.assert_one_line(result)
            self.assert_whole()
            self.assert_succeeded(manage(*argv))
            self.assert_done(phase)
