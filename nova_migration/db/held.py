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

"""Rows that somebody else has locked: which they are, and who it is."""

from collections.abc import Sequence
from concurrent import futures
import dataclasses
import logging
import time
from typing import Any

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration.db import errors

LOG = logging.getLogger(__name__)

#: The first versions that lock what is free, and leave out the rest.
_SKIP_LOCKED = {True: (10, 6), False: (8, 0, 1)}

#: How many of the rows it is found out for who holds them: one by one.
LOOKS = 5

#: Seconds that each of them is waited for meanwhile. What InnoDB tells of its
#: transactions is renewed only when nobody has asked for a tenth of a second.
_PATIENCE, _LOOK = 2, 0.3

#: Characters of a statement that are shown.
_SHOWN = 80

_WAIT = {
    'mysql': f'SET SESSION innodb_lock_wait_timeout = {_PATIENCE}',
    'postgresql': f"SET LOCAL lock_timeout = '{_PATIENCE}s'",
}

_OWN_ID = {
    'mysql': 'SELECT connection_id()',
    'postgresql': 'SELECT pg_backend_pid()',
}

#: The last column tells that the server keeps something back. A prepared
#: transaction has no session any more.
_HOLDERS = {
    'mysql': """
SELECT b.trx_mysql_thread_id, p.user, p.host,
       timestampdiff(SECOND, b.trx_started, now()),
       coalesce(b.trx_query, p.info), false
FROM information_schema.innodb_trx AS w
JOIN information_schema.innodb_lock_waits AS l
  ON l.requesting_trx_id = w.trx_id
JOIN information_schema.innodb_trx AS b ON b.trx_id = l.blocking_trx_id
LEFT JOIN information_schema.processlist AS p
  ON p.id = b.trx_mysql_thread_id
WHERE w.trx_mysql_thread_id = :waiter
""",
    'postgresql': """
SELECT b.pid, a.usename, host(a.client_addr),
       CAST(extract(epoch FROM clock_timestamp() - a.xact_start) AS integer),
       nullif(a.query, '<insufficient privilege>'),
       coalesce(a.query = '<insufficient privilege>', false)
FROM unnest(pg_blocking_pids(:waiter)) AS b (pid)
LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
""",
}

#: What MariaDB says to who may not look.
_DENIED = 1227

#: Without it the server does not show what others do.
_PRIVILEGE = {'mysql': 'PROCESS', 'postgresql': 'pg_read_all_stats'}


@dataclasses.dataclass(frozen=True)
class Holder:
    """A session that has locked rows, as far as the server tells.

    :param session: MariaDB's connection id or PostgreSQL's process id; 0 for
        a prepared transaction, whose session has ended
    :param user: its user
    :param host: where it comes from
    :param seconds: since when it has its transaction open
    :param statement: what it does; on PostgreSQL, or did last
    """

    session: int
    user: str | None = None
    host: str | None = None
    seconds: int | None = None
    statement: str | None = None

    def __str__(self) -> str:
        if not self.session:
            return 'a prepared transaction'
        text = f'session {self.session}'
        if self.user:
            text += f' of {self.user}'
        if self.host:
            text += f' from {self.host}'
        if self.seconds is not None:
            text += f', for {self.seconds} s'
        if self.statement:
            text += f': {" ".join(self.statement.split())[:_SHOWN]}'
        return text


@dataclasses.dataclass(frozen=True)
class Held:
    """Rows of a table that were left, because somebody holds them.

    :param table: the table's name
    :param ids: the first of them
    :param count: how many they are
    :param holders: who holds them, as far as the server tells
    :param lacking: the privilege without which it does not tell, if that is
        the reason
    """

    table: str
    ids: tuple[int, ...]
    count: int
    holders: tuple[Holder, ...] = ()
    lacking: str | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """What a user is told: the rows, then who holds them."""
        ids = ', '.join(map(str, self.ids))
        more = ', ...' if self.count > len(self.ids) else ''
        first = f'held in {self.table}: {self.count} (id {ids}{more})'
        lines = [first, *(f'  by {holder}' for holder in self.holders)]
        if self.lacking:
            lines.append(f'  the user lacks {self.lacking} to see by whom')
        return tuple(lines)


def is_of_row(error: Exception) -> bool:
    """Tell that a row was locked for longer than was to be waited.

    SQLite locks its file, where there are no other rows to go on with.
    """
    return errors.is_lock_timeout(error) and not errors.may_run_again(error)


def skips_locked(dialect: sa.Dialect) -> bool:
    """Return whether a server can leave out rows that are locked."""
    if dialect.name == 'postgresql':
        return True
    first = _SKIP_LOCKED[bool(getattr(dialect, 'is_mariadb', False))]
    return (dialect.server_version_info or ()) >= first


def lock_free(
    connection: sa.Connection, table: sa.Table, ids: Sequence[int]
) -> set[int]:
    """Lock those rows that nobody else holds, to the transaction's end.

    :param ids: in order, and at least one
    """
    query = sa.select(table.c.id)
    if skips_locked(connection.dialect):
        query = query.where(
            # So that MariaDB does not lock, and keep, the rest of the table.
            table.c.id.between(ids[0], ids[-1]),
            table.c.id.in_(ids),
        )
        # An UPDATE of ours goes well with rows that keys refer to.
        query = query.with_for_update(key_share=True, skip_locked=True)
        return set(connection.scalars(query))
    query = query.where(table.c.id == sa.bindparam('row_id'))
    query = query.with_for_update(key_share=True, nowait=True)
    return {
        row_id for row_id in ids if _is_locked_now(connection, query, row_id)
    }


def _is_locked_now(
    connection: sa.Connection, query: sa.Select[tuple[int]], row_id: int
) -> bool:
    try:
        return connection.scalar(query, {'row_id': row_id}) is not None
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        # MariaDB takes back the statement alone.
        if not is_of_row(error):
            raise
        return False


def with_holders(engine: sa.Engine, table: sa.Table, held: Held) -> Held:
    """Return what is held with who holds it, where the server tells."""
    found: dict[int, Holder] = {}
    lacks = False
    try:
        for row_id in held.ids[:LOOKS]:
            for holder, hidden in _holders_of(engine, table, row_id):
                found[holder.session] = holder
                lacks |= hidden
    except (db_exc.DBError, sa_exc.SQLAlchemyError) as error:
        reason = errors.first_line(error)
        LOG.info('Who holds the rows is not told: %s.', reason)
        lacks = errors.code_of(error) == _DENIED
    lacking = _PRIVILEGE[_kind(engine.dialect)] if lacks else None
    holders = tuple(found.values())
    return dataclasses.replace(held, holders=holders, lacking=lacking)


def _kind(dialect: sa.Dialect) -> str:
    return 'mysql' if dialect.name == 'mariadb' else dialect.name


def _holders_of(
    engine: sa.Engine, table: sa.Table, row_id: int
) -> list[tuple[Holder, bool]]:
    """Wait for a row, and see meanwhile who is in the way.

    Servers know who waits for whom; which rows a session has locked that
    nobody waits for, they do not tell.

    :returns: each, and whether something of it is not for our user
    """
    with (
        engine.connect() as waiting,
        engine.connect() as looking,
        futures.ThreadPoolExecutor(1) as pool,
    ):
        own_id = _OWN_ID[_kind(engine.dialect)]
        waiter = waiting.exec_driver_sql(own_id).scalar_one()
        end = pool.submit(_wait_for, waiting, table, row_id)
        found = _blockers_of(looking, waiter, end)
    return [_read(*row) for row in found]


def _blockers_of(
    connection: sa.Connection, waiter: int, end: futures.Future[None]
) -> Sequence[sa.Row[Any]]:
    """Ask who is in the way of a session until it is told, or not waiting."""
    text = _HOLDERS[_kind(connection.dialect)]
    query = sa.text(text).bindparams(waiter=waiter)
    while not end.done():
        time.sleep(_LOOK)
        with connection.begin():
            found = connection.execute(query).all()
        if found:
            return found
    return ()


def _read(session: int, *known: Any) -> tuple[Holder, bool]:
    *shown, hidden = known
    return Holder(session, *shown), bool(hidden)


def _wait_for(connection: sa.Connection, table: sa.Table, row_id: int) -> None:
    """Wait for a row for a while, on a connection that is not kept."""
    query = sa.select(table.c.id).where(table.c.id == row_id)
    try:
        connection.exec_driver_sql(_WAIT[_kind(connection.dialect)])
        connection.execute(query.with_for_update(key_share=True))
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        LOG.debug('Row %d of %s: %s', row_id, table.name, error)
    finally:
        connection.invalidate()
