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
import contextlib
import dataclasses
import logging
import random
import time
from typing import TypeVar

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration import exception
from nova_migration.db import engine as engine_mod
from nova_migration.db import errors
from nova_migration.db import galera
from nova_migration.db import load
from nova_migration.db import pace as pace_mod

_Answer = TypeVar('_Answer')

LOG = logging.getLogger(__name__)

#: How often a batch is tried, each time with fewer rows.
ATTEMPTS = 30

#: Seconds between two tries, at most.
BACKOFF = 2.0

#: Seconds that a batch waits for a row which somebody else has locked; what
#: it has locked itself is waited for meanwhile.
LOCK_TIMEOUT = 1

#: Seconds that a standby may be behind.
MAX_LAG = 10.0

#: Seconds that a batch waits for servers that lag, at most: a standby may be
#: behind by intention, and never come.
HOLD = 60.0

#: Seconds between two looks at servers that lag.
_LOOK = 0.2

#: Seconds of work after which there is a rest, where one is needed.
_WITHOUT_REST = 1.0

#: Less than any id that an INTEGER column holds.
_BELOW_ALL = -(2**31) - 1

#: What the session had, from its URL or the server, is kept in a variable.
_MARIADB = {
    'SET @nova_migration_lock_wait = @@SESSION.innodb_lock_wait_timeout,'
    f' SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT}': (
        'SET SESSION innodb_lock_wait_timeout = @nova_migration_lock_wait'
    ),
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
    :param seen: rows that were looked at
    :param changed: rows that were changed; the rest is not known
    :param last_id: where the next batch begins
    :param seconds: what it took, without pauses and failed tries
    :param paused: seconds that were waited before it, on purpose
    :param tries: how often it was tried
    """

    table: str
    seen: int
    changed: int
    last_id: int
    seconds: float = 0.0
    paused: float = 0.0
    tries: int = 1


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


def _bound(job: Job) -> sa.Executable:
    """Return the query for a batch's last id and its size."""
    ids = (
        sa.select(job.table.c.id)
        .where(job.table.c.id > sa.bindparam('low'), job.pending)
        .order_by(job.table.c.id)
        .limit(sa.bindparam('size', type_=sa.Integer()))
        .subquery()
    )
    return sa.select(sa.func.max(ids.c.id), sa.func.count())


def _change(job: Job) -> sa.Update:
    return job.statement.where(
        job.table.c.id > sa.bindparam('low'),
        job.table.c.id <= sa.bindparam('high'),
    )


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
        self._engine = engine
        self._connection: sa.Connection | None = None

    def connection(self) -> sa.Connection:
        """Return the connection; a new one where the last was lost."""
        if self._connection is None:
            self._connection = self._engine.connect()
            self._tell(self._settings)
        return self._connection

    @property
    def _settings(self) -> dict[str, str]:
        return _SETTINGS.get(self._engine.dialect.name, {})

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


class Walk:
    """A run of batches; what it learns goes on from table to table."""

    def __init__(self, database: engine_mod.Database, manner: Manner) -> None:
        self._database = database
        self._manner = manner
        self._session = Session(database.engine)
        self._left = manner.max_count
        self._owed = self._worked = 0.0
        self._going = True
        self._traffic: load.Traffic | None = None
        self._said: set[str] = set()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Connect, and find out what server it is."""
        try:
            with engine_mod.explained(self._database.engine):
                connection = self._session.connection()
                limits = limits_for(connection, self._manner.batch_size)
                with connection.begin():
                    found = load.gauges(connection, self._manner.max_lag)
            self._limits = limits
            self._pace = pace_mod.Pace(limits)
            if limits.alone is not None:
                self._traffic = load.Traffic(load.MARKS[self._dialect])
            self._watch = load.Watch(found)
            yield
        finally:
            self._session.close()

    @property
    def _dialect(self) -> str:
        return self._database.engine.dialect.name

    def over(self, job: Job) -> Iterator[Batch]:
        """Yield each batch of a table once it is committed."""
        bound, change = _bound(job), _change(job)
        low = _BELOW_ALL
        while self._is_wanted():
            paused = self._pause()
            if not self._going:
                return
            self._look_around()
            batch = self._persist(job, bound, change, low)
            if batch is None:
                return
            if self._left is not None:
                self._left -= batch.changed
            self._owe(batch)
            yield dataclasses.replace(batch, paused=paused)
            low = batch.last_id

    def _is_wanted(self) -> bool:
        return self._going and (self._left is None or self._left > 0)

    def _owe(self, batch: Batch) -> None:
        idle = self._manner.idle
        self._owed = batch.seconds * idle / (1 - idle)
        self._worked += batch.seconds
        if self._worked >= _WITHOUT_REST:
            self._worked = 0.0
            self._owed = max(self._owed, self._limits.rest)

    def _wait(self, seconds: float) -> None:
        """Wait, and remember if it is to be the end."""
        self._going = self._going and self._manner.wait(seconds)

    def _pause(self) -> float:
        """Wait as asked for; return for how long."""
        begun = time.monotonic()
        owed, self._owed = self._owed, 0.0
        if owed:
            self._wait(owed)
        if self._going:
            self._hold()
        return time.monotonic() - begun

    def _hold(self) -> None:
        """Wait while servers push back."""
        with engine_mod.explained(self._database.engine):
            reason = self._pressure()
            if reason is None:
                return
            self._say('Holding back: %s.', reason)
            self._pace.conflicted()
            until = time.monotonic() + HOLD
            while reason is not None and self._going:
                if time.monotonic() >= until:
                    self._say('%s and does not catch up: going on.', reason)
                    break
                self._wait(_LOOK)
                reason = self._pressure(at_once=True)

    def _say(self, message: str, reason: str) -> None:
        """Log a message once in a run, whatever the reasons."""
        if message not in self._said:
            self._said.add(message)
            LOG.info(message, reason)

    def _pressure(self, at_once: bool = False) -> str | None:
        return self._ask(
            lambda connection: self._watch.pressure(connection, at_once)
        )

    def _look_around(self) -> None:
        """Make larger batches where there is nobody to wait for them."""
        if self._traffic is None or self._limits.alone is None:
            return
        with engine_mod.explained(self._database.engine):
            alone = self._ask(self._traffic.is_alone)
        self._pace.use(self._limits.alone if alone else self._limits)

    def _ask(
        self, question: Callable[[sa.Connection], _Answer]
    ) -> _Answer | None:
        """Return what a server answers; None where it does not just now."""
        try:
            return question(self._session.connection())
        except (db_exc.DBError, sa_exc.DBAPIError) as error:
            # The batch that comes next will find out for how long.
            if _is_loss(self._database.engine, error):
                self._session.drop()
            elif not _is_conflict(error):
                raise
            return None

    def _persist(
        self,
        job: Job,
        bound: sa.Executable,
        change: sa.Update,
        low: int,
    ) -> Batch | None:
        """Try a batch until it gets through, smaller each time.

        :returns: None if there is nothing left, or it is to be the end
        :raises BatchRefused: it did not, because of others
        :raises ConnectionLost: it did not, because nobody answered
        """
        for tries in range(1, ATTEMPTS + 1):
            try:
                batch = self._attempt(job, bound, change, low)
            except (db_exc.DBError, sa_exc.DBAPIError) as error:
                self._set_back(error, tries, job, low)
                if not self._going:
                    return None
            else:
                return batch and dataclasses.replace(batch, tries=tries)
        raise AssertionError('the last try has raised')

    def _set_back(
        self, error: Exception, tries: int, job: Job, low: int
    ) -> None:
        """Make ready for another try, or raise."""
        lost = _is_loss(self._database.engine, error)
        if lost:
            self._session.drop()
        last = tries == ATTEMPTS
        if last and lost:
            raise errors.lost(self._database.engine.url, error) from error
        if last and _is_conflict(error):
            raise exception.BatchRefused(
                table=job.table.name,
                low=max(low, 0),
                tries=tries,
                reason=errors.first_line(error),
            ) from error
        if not (lost or _is_conflict(error)):
            with engine_mod.explained(self._database.engine):
                raise error
        self._pace.conflicted()
        LOG.debug('Batch of %s after %s: %s', job.table.name, low, error)
        self._wait(random.uniform(0, min(BACKOFF, 0.05 * 2**tries)))

    def _attempt(
        self,
        job: Job,
        bound: sa.Executable,
        change: sa.Update,
        low: int,
    ) -> Batch | None:
        begun = time.monotonic()
        size = self._pace.size
        if self._left is not None:
            size = min(size, self._left)
        # Two transactions: SQLite refuses to write in one that began by
        # reading when somebody else has written since, and MariaDB may.
        connection = self._session.connection()
        with connection.begin():
            where = {'low': low, 'size': size}
            high, seen = connection.execute(bound, where).one()
        if high is None:
            return None
        with connection.begin():
            within = {'low': low, 'high': high}
            changed = connection.execute(change, within).rowcount
        seconds = time.monotonic() - begun
        self._pace.succeeded(seen, seconds)
        return Batch(job.table.name, seen, changed, high, seconds)
