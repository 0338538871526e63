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

"""Going through a table in short transactions, beside writers.

A batch is found by primary key, so that one costs the same at the end as at
the beginning. Every change is guarded by what the rows say, so a batch that
may or may not have been committed can be tried again.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import logging
import random
import time
from typing import Any
from typing import TypeVar

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration import exception
from nova_migration.db import engine as engine_mod
from nova_migration.db import errors
from nova_migration.db import galera
from nova_migration.db import held as held_mod
from nova_migration.db import load
from nova_migration.db import pace as pace_mod

_Answer = TypeVar('_Answer')

LOG = logging.getLogger(__name__)

#: How often a batch is tried, each time with fewer rows.
ATTEMPTS = 30

#: Seconds between two tries, at most.
BACKOFF = 2.0

#: Seconds that a batch waits for a row, or a table, which somebody else has
#: locked; what it has locked itself is waited for meanwhile.
LOCK_TIMEOUT = 1

#: Rows, at most, of a batch of which some may be held; and how many of them a
#: statement changes.
APART, CHUNK = 1000, 250

#: Seconds to wait before each return to the rows that were held.
RETURNS = (0.5, 1.0, 2.0, 4.0, 8.0)

#: How many of the rows that are held are named.
NAMED = 20

#: Seconds that a standby may be behind.
MAX_LAG = 10.0

#: Seconds that a batch waits for servers that lag, at most: a standby may be
#: behind by intention, and never come.
HOLD = 60.0

#: Seconds between two looks at servers that lag.
_LOOK = 0.2

#: Seconds of work after which there is a rest, where one is needed.
_WITHOUT_REST = 1.0

#: Less than any id that an INTEGER column holds, and more than any; SQLite's
#: are longer.
_BELOW_ALL, _TOP = -(2**31) - 1, 2**63 - 1

#: What the session had, from its URL or the server, is kept in a variable.
#: A table that a backup has locked is waited for by another setting.
_MARIADB = {
    f'SET @nova_migration_{name} = @@SESSION.{name},'
    f' SESSION {name} = {LOCK_TIMEOUT}': (
        f'SET SESSION {name} = @nova_migration_{name}'
    )
    for name in ('innodb_lock_wait_timeout', 'lock_wait_timeout')
}

#: PostgreSQL knows nothing of a column that was added a moment ago, and would
#: read and sort the table for each batch. Compiling a statement takes longer
#: than a batch may.
_POSTGRESQL = {
    f"SET lock_timeout = '{LOCK_TIMEOUT}s'": 'RESET lock_timeout',
    'SET enable_bitmapscan = off': 'RESET enable_bitmapscan',
    'SET enable_seqscan = off': 'RESET enable_seqscan',
    'SET enable_sort = off': 'RESET enable_sort',
    'SET jit = off': 'RESET jit',
}

#: In KiB, and the default. A batch changes more pages than SQLite keeps, and
#: would write many of them twice.
_SQLITE = {'PRAGMA cache_size = -65536': 'PRAGMA cache_size = -2000'}

#: What a server is told at the beginning, and at the end.
_SETTINGS = {
    'mysql': _MARIADB,
    'mariadb': _MARIADB,
    'postgresql': _POSTGRESQL,
    'sqlite': _SQLITE,
}


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one transaction did.

    :param table: the table's name
    :param seen: rows that were looked at, and were not held
    :param changed: rows that were changed; the rest is not known
    :param last_id: where the next batch begins
    :param seconds: what it took, without pauses and failed tries
    :param paused: seconds that were waited before it, on purpose
    :param tries: how often it was tried
    :param reason: why it was waited before it, in words
    :param held: only of the last ones of a run, in which nothing was done:
        the rows of a table that are left because somebody holds them
    """

    table: str
    seen: int
    changed: int
    last_id: int
    seconds: float = 0.0
    paused: float = 0.0
    tries: int = 1
    reason: str = ''
    held: held_mod.Held | None = None


def sleep(seconds: float) -> bool:
    """Wait, and say that the work goes on."""
    time.sleep(seconds)
    return True


@dataclasses.dataclass(frozen=True)
class Manner:
    """How hard the database is worked.

    :param batch_size: rows in a batch, which only conflicts make fewer; None
        to have it adapted to what batches take
    :param max_count: change no more rows than this
    :param idle: the share of time, from 0 to less than 1, in which nothing
        is done
    :param max_lag: seconds that a standby may be behind; 0 not to look
    :param wait: waits for some seconds, and returns whether to go on
    """

    batch_size: int | None = None
    max_count: int | None = None
    idle: float = 0.0
    max_lag: float = MAX_LAG
    wait: Callable[[float], bool] = sleep


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be done to which rows of a table."""

    table: sa.Table
    pending: sa.ColumnElement[bool]
    statement: sa.Update


def _ids(job: Job) -> sa.Select[Any]:
    """Return the query for the ids of the next batch, in order."""
    key = job.table.c.id
    return (
        sa.select(key)
        .where(key > sa.bindparam('low'), key <= sa.bindparam('top'))
        .where(job.pending)
        .order_by(key)
        .limit(sa.bindparam('size', type_=sa.Integer()))
    )


def _by_key(change: sa.Update) -> sa.Update:
    """Have MariaDB look at no other row: it waits for what it looks at.

    A list of ids it may look for anywhere, and a range at the row behind it.
    """
    for dialect in ('mysql', 'mariadb'):
        change = change.with_hint(
            'FORCE INDEX (PRIMARY)', dialect_name=dialect
        )
    return change


class _Plan:
    """The statements of a job: made once, run for each batch."""

    def __init__(self, job: Job) -> None:
        key = job.table.c.id
        ids = _ids(job).subquery()
        self.table = job.table
        #: The last id of a batch, and its size.
        self.bound = sa.select(sa.func.max(ids.c.id), sa.func.count())
        self.change = job.statement.where(
            key > sa.bindparam('low'), key <= sa.bindparam('high')
        )
        #: The ids themselves, and the change of some.
        self.ids = _ids(job)
        self.change_some = _by_key(
            job.statement.where(key.in_(sa.bindparam('ids', expanding=True)))
        )


class _Aside:
    """The rows of a table that somebody held when it was their turn.

    What is kept of them does not grow with their number: a transaction may
    hold most of a table.
    """

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        self.stretches: list[tuple[int, int]] = []
        self.ids: list[int] = []
        self.count = 0

    def add(self, low: int, high: int, ids: Sequence[int]) -> None:
        """Take in what is held of a batch, after one id and up to another."""
        if self.stretches and self.stretches[-1][1] == low:
            low, _high = self.stretches.pop()
        self.stretches.append((low, high))
        self.ids += ids[: NAMED - len(self.ids)]
        self.count += len(ids)


def _is_conflict(error: Exception) -> bool:
    """Tell that a transaction was rolled back in favour of another one."""
    return (
        isinstance(error, db_exc.DBDeadlock)
        or errors.may_run_again(error)
        or errors.is_lock_timeout(error)
    )


def _is_loss(engine: sa.Engine, error: Exception) -> bool:
    """Tell that a connection is of no use any more, or a node for now."""
    return (
        errors.leaves_open(engine, error)
        or errors.is_not_ready(error)
        or errors.is_of_connecting(error)
    )


class Session:
    """A connection that is kept for many transactions, and set up once."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._connection: sa.Connection | None = None

    def connection(self) -> sa.Connection:
        """Return the connection; a new one where the last was lost."""
        if self._connection is None:
            self._connection = self.engine.connect()
            self._tell(self._settings)
        return self._connection

    @property
    def _settings(self) -> dict[str, str]:
        return _SETTINGS.get(self.engine.dialect.name, {})

    def _tell(self, statements: Iterable[str]) -> None:
        assert self._connection is not None
        with self._connection.begin():
            for statement in statements:
                self._connection.exec_driver_sql(statement)

    def drop(self) -> None:
        """Give the connection up: nobody knows what it is good for."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Give the connection back as it was."""
        if self._connection is None:
            return
        try:
            self._tell(self._settings.values())
        except (db_exc.DBError, sa_exc.DBAPIError):
            self.drop()
        else:
            self._connection.close()

    def ask(
        self, question: Callable[[sa.Connection], _Answer]
    ) -> _Answer | None:
        """Return what a server answers; None where it does not just now."""
        with engine_mod.explained(self.engine):
            try:
                return question(self.connection())
            except (db_exc.DBError, sa_exc.DBAPIError) as error:
                # The batch that comes next will find out for how long.
                if _is_loss(self.engine, error):
                    self.drop()
                elif not _is_conflict(error):
                    raise
                return None


def limits_for(
    connection: sa.Connection, batch_size: int | None
) -> pace_mod.Limits:
    """Return the sizes that suit a server, or the one that was asked for."""
    is_file = connection.dialect.name == 'sqlite'
    if batch_size is not None:
        rest = pace_mod.FILE.rest if is_file else 0.0
        return pace_mod.fixed(batch_size, rest)
    if is_file:
        return pace_mod.FILE
    with connection.begin():
        node = galera.is_node(connection)
    return pace_mod.GALERA if node else pace_mod.SERVER


#: A batch, and the rows of it that were left; None where there was nothing.
_Done = tuple[Batch, Sequence[int]] | None


class Pauses:
    """When nothing is done: as asked for, and as servers need it.

    :param session: whom to ask how the servers are
    :param manner: how hard the database is to be worked
    :param pace: made slower by servers that push back
    :param watch: what the servers say
    """

    def __init__(
        self,
        session: Session,
        manner: Manner,
        pace: pace_mod.Pace,
        watch: load.Watch,
    ) -> None:
        self._session = session
        self._manner = manner
        self._pace = pace
        self._watch = watch
        self._owed = self._worked = self._waited = 0.0
        self._reasons: list[str] = []
        self._said: set[str] = set()
        #: Whether nobody wants it to be the end.
        self.going = True

    def owe(self, seconds: float) -> None:
        """Take in how long a batch was at work."""
        idle = self._manner.idle
        self._owed = seconds * idle / (1 - idle)
        self._worked += seconds
        if self._worked >= _WITHOUT_REST:
            self._worked = 0.0
            self._owed = max(self._owed, self._pace.limits.rest)

    def wait(self, seconds: float) -> None:
        """Wait, and remember if it is to be the end."""
        self.going = self.going and self._manner.wait(seconds)

    def wait_for(self, seconds: float, reason: str) -> None:
        """Wait for something that a user is to be told of."""
        begun = time.monotonic()
        self.wait(seconds)
        self._waited += time.monotonic() - begun
        if reason not in self._reasons:
            self._reasons.append(reason)

    def before_batch(self) -> None:
        """Wait for as long as it takes until a batch may be begun."""
        owed, self._owed = self._owed, 0.0
        if owed:
            self.wait_for(owed, 'throttled' if self._manner.idle else 'rest')
        if self.going:
            self._hold_back()

    def told(self, batch: Batch) -> Batch:
        """Return a batch that knows of the pauses since the last one."""
        waited, self._waited = self._waited, 0.0
        reasons, self._reasons = self._reasons, []
        return dataclasses.replace(
            batch, paused=waited, reason=', '.join(reasons)
        )

    def say(self, message: str, reason: str) -> None:
        """Log a message once in a run, whatever the reasons."""
        if message not in self._said:
            self._said.add(message)
            LOG.info(message, reason)

    def _hold_back(self) -> None:
        """Wait while servers push back."""
        reason = self._pressure()
        if reason is None:
            return
        self.say('Holding back: %s.', reason)
        self._pace.conflicted()
        until = time.monotonic() + HOLD
        while reason is not None and self.going:
            if time.monotonic() >= until:
                self.say('%s and does not catch up: going on.', reason)
                break
            self.wait_for(_LOOK, 'holding back')
            reason = self._pressure(at_once=True)

    def _pressure(self, at_once: bool = False) -> str | None:
        return self._session.ask(
            lambda connection: self._watch.pressure(connection, at_once)
        )


@contextlib.contextmanager
def walking(database: engine_mod.Database, manner: Manner) -> Iterator['Walk']:
    """Connect, find out what server it is, and yield a walk."""
    session = Session(database.engine)
    try:
        with engine_mod.explained(database.engine):
            connection = session.connection()
            limits = limits_for(connection, manner.batch_size)
            with connection.begin():
                found = load.gauges(connection, manner.max_lag)
        yield Walk(session, manner, limits, load.Watch(found))
    finally:
        session.close()


class Apart:
    """Parts held rows from free ones, where there has been a conflict."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._until = self._reached = _BELOW_ALL
        self._singly = False
        self._stuck: set[int] = set()

    def begin(self, until: int = _BELOW_ALL) -> None:
        """Begin anew.

        :param until: up to which id rows are known to be held
        """
        self._until = until
        self.begin_batch()

    def begin_batch(self) -> None:
        """Forget what is known of a single batch."""
        self._reached, self._singly, self._stuck = _BELOW_ALL, False, set()

    def reach(self, high: int) -> None:
        """Take in up to where a batch goes that is about to be done whole."""
        self._reached = high

    def take(self, error: Exception) -> None:
        """Take in what a batch met: there may be held rows in it."""
        if held_mod.is_of_row(error):
            self._until = max(self._until, self._reached)

    def is_needed(self, low: int) -> bool:
        """Return whether what comes after an id is not to be done whole."""
        return low < self._until

    def attempt(self, plan: _Plan, low: int, top: int, size: int) -> _Done:
        """Do the rows of a batch that nobody holds."""
        begun = time.monotonic()
        size = min(size, CHUNK if self._singly else APART)
        connection = self._session.connection()
        with connection.begin():
            where = {'low': low, 'top': top, 'size': size}
            ids = connection.scalars(plan.ids, where).all()
        if not ids:
            return None
        with connection.begin():
            free = held_mod.lock_free(connection, plan.table, ids)
            free -= self._stuck
            changed = self._change(connection, plan, sorted(free))
        held = [row_id for row_id in ids if row_id not in free]
        if held:
            # Where one is, there often are more.
            self._until = max(self._until, ids[-1] + 1)
        seconds = time.monotonic() - begun
        batch = Batch(plan.table.name, len(free), changed, ids[-1], seconds)
        return batch, held

    def _change(
        self, connection: sa.Connection, plan: _Plan, ids: Sequence[int]
    ) -> int:
        step = 1 if self._singly else CHUNK
        changed = 0
        for start in range(0, len(ids), step):
            some = ids[start : start + step]
            try:
                result = connection.execute(plan.change_some, {'ids': some})
            except (db_exc.DBError, sa_exc.DBAPIError) as error:
                self._narrow(error, some)
                raise
            changed += result.rowcount
        return changed

    def _narrow(self, error: Exception, ids: Sequence[int]) -> None:
        """Take in that somebody holds what an index says of free rows."""
        if not held_mod.is_of_row(error):
            return
        if self._singly:
            self._stuck.update(ids)
        self._singly = True


class Walk:
    """A run of batches; what it learns goes on from table to table."""

    def __init__(
        self,
        session: Session,
        manner: Manner,
        limits: pace_mod.Limits,
        watch: load.Watch,
    ) -> None:
        self._session = session
        self._limits = limits
        self._left = manner.max_count
        self._pace = pace_mod.Pace(limits)
        self._pauses = Pauses(session, manner, self._pace, watch)
        mark = load.MARKS[session.engine.dialect.name]
        self._traffic = load.Traffic(mark)
        self._asides: list[_Aside] = []
        self._apart = Apart(session)

    def over(self, job: Job) -> Iterator[Batch]:
        """Yield each batch of a table once it is committed.

        Rows that somebody holds are left for :meth:`come_back`.
        """
        aside = _Aside(_Plan(job))
        self._apart.begin()
        yield from self._stretch(aside.plan, _BELOW_ALL, _TOP, aside)
        if aside.count:
            self._asides.append(aside)

    def come_back(self) -> Iterator[Batch]:
        """Yield batches of rows that were held, then what still is held."""
        for seconds in RETURNS:
            if not (self._asides and self._is_wanted()):
                break
            self._wait_for_holders(seconds)
            asides, self._asides = self._asides, []
            for aside in asides:
                yield from self._again(aside)
        if self._pauses.going:
            yield from map(self._report, self._asides)

    def _wait_for_holders(self, seconds: float) -> None:
        tables = ', '.join(aside.plan.table.name for aside in self._asides)
        self._pauses.say('Others hold rows of %s: waiting.', tables)
        self._pauses.wait_for(seconds, 'rows are held')

    def _again(self, before: _Aside) -> Iterator[Batch]:
        """Go once more through where rows were held."""
        aside = _Aside(before.plan)
        for low, high in before.stretches:
            self._apart.begin(until=high)
            yield from self._stretch(before.plan, low, high, aside)
        if aside.count:
            self._asides.append(aside)

    def _report(self, aside: _Aside) -> Batch:
        table = aside.plan.table
        found = held_mod.Held(table.name, tuple(aside.ids), aside.count)
        found = held_mod.with_holders(self._session.engine, table, found)
        last = aside.stretches[-1][1]
        return self._pauses.told(Batch(table.name, 0, 0, last, held=found))

    def _stretch(
        self, plan: _Plan, low: int, top: int, aside: _Aside
    ) -> Iterator[Batch]:
        """Yield the batches after one id and up to another."""
        while self._is_wanted():
            self._pauses.before_batch()
            if not self._pauses.going:
                return
            self._look_around()
            done = self._persist(plan, low, top)
            if done is None:
                return
            batch, held = done
            self._account(batch)
            if held:
                aside.add(low, batch.last_id, held)
            low = batch.last_id
            yield self._pauses.told(batch)

    def _is_wanted(self) -> bool:
        return self._pauses.going and (self._left is None or self._left > 0)

    def _account(self, batch: Batch) -> None:
        self._apart.begin_batch()
        if self._left is not None:
            self._left -= batch.changed
        self._pauses.owe(batch.seconds)

    def _look_around(self) -> None:
        """Make larger batches where there is nobody to wait for them."""
        if self._limits.alone is None:
            return
        alone = self._session.ask(self._traffic.is_alone)
        self._pace.use(self._limits.alone if alone else self._limits)

    def _persist(self, plan: _Plan, low: int, top: int) -> _Done:
        """Try a batch until it gets through, smaller each time.

        :returns: what was done, and the rows that were left because they are
            held; None if there is nothing left, or it is to be the end
        :raises BatchRefused: it did not, because of others
        :raises ConnectionLost: it did not, because nobody answered
        """
        for tries in range(1, ATTEMPTS + 1):
            try:
                done = self._attempt(plan, low, top)
            except (db_exc.DBError, sa_exc.DBAPIError) as error:
                self._set_back(error, tries, plan, low)
                if not self._pauses.going:
                    return None
            else:
                if done is None:
                    return None
                batch, held = done
                return dataclasses.replace(batch, tries=tries), held
        raise AssertionError('the last try has raised')

    def _set_back(
        self, error: Exception, tries: int, plan: _Plan, low: int
    ) -> None:
        """Make ready for another try, or raise."""
        engine = self._session.engine
        lost, conflict = _is_loss(engine, error), _is_conflict(error)
        if lost:
            self._session.drop()
        if not (lost or conflict):
            with engine_mod.explained(engine):
                raise error
        if tries == ATTEMPTS:
            raise _refusal(engine, error, tries, plan, low) from error
        self._pace.conflicted()
        self._apart.take(error)
        LOG.debug('Batch of %s after %s: %s', plan.table.name, low, error)
        self._pauses.wait(random.uniform(0, min(BACKOFF, 0.05 * 2**tries)))

    def _attempt(self, plan: _Plan, low: int, top: int) -> _Done:
        size = self._pace.size
        if self._left is not None:
            size = min(size, self._left)
        if self._apart.is_needed(low):
            return self._apart.attempt(plan, low, top, size)
        batch = self._attempt_whole(plan, low, top, size)
        return None if batch is None else (batch, ())

    def _attempt_whole(
        self, plan: _Plan, low: int, top: int, size: int
    ) -> Batch | None:
        begun = time.monotonic()
        # Two transactions: SQLite refuses to write in one that began by
        # reading when somebody else has written since, and MariaDB may.
        connection = self._session.connection()
        with connection.begin():
            where = {'low': low, 'top': top, 'size': size}
            high, seen = connection.execute(plan.bound, where).one()
        if high is None:
            return None
        self._apart.reach(high)
        with connection.begin():
            within = {'low': low, 'high': high}
            changed = connection.execute(plan.change, within).rowcount
        seconds = time.monotonic() - begun
        self._pace.succeeded(seen, seconds)
        return Batch(plan.table.name, seen, changed, high, seconds)


def _refusal(
    engine: sa.Engine, error: Exception, tries: int, plan: _Plan, low: int
) -> exception.DatabaseError:
    """Return what to raise when a batch was tried for the last time."""
    if _is_loss(engine, error):
        return errors.lost(engine.url, error)
    return exception.BatchRefused(
        table=plan.table.name,
        low=max(low, 0),
        tries=tries,
        reason=errors.first_line(error),
    )
