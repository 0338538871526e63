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

"""One command at a time that changes a database.

The lock is the server's and ends with the connection that took it; that of a
SQLite file is the operating system's, on a file beside it. So nobody has to
clean up behind a command that was killed.

It is a courtesy: it tells the second command whom to wait for. What it does
not reach, such as the other nodes of a Galera cluster, is kept from harm by
the conditions of each statement, and by :mod:`nova_migration.db.fence`. The
functions of :mod:`nova_migration.db.schema` and
:mod:`nova_migration.db.upgrade` do not take it, because what belongs together
is known to who calls them: a program of its own does it around all of them.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import datetime
import enum
import fcntl
import json
import logging
import os
import pathlib
import socket
import time
from typing import Any
from typing import Protocol
from typing import TextIO

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration import exception
from nova_migration.db import engine as engine_mod
from nova_migration.db import errors

LOG = logging.getLogger(__name__)

#: Seconds that a lock is waited for by who does not want to wait: a server
#: may take a moment to notice that the last command was killed.
GRACE = 2.0

#: Seconds between two tries, and between two lines about them.
_STEP, _SAY = 0.1, 10.0


class Command(enum.StrEnum):
    """Who wants to be alone."""

    UPGRADE = 'db upgrade'
    RESTORE = 'db restore'


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who is at work, as far as that is told to this user of the database.

    :param command: what was started
    :param since: when it took the lock, in UTC
    :param place: the host, with a port or a process
    """

    command: str | None = None
    since: datetime.datetime | None = None
    place: str | None = None

    @property
    def described(self) -> str:
        """The holder in words."""
        parts = [
            f"'{self.command}'" if self.command else 'one that is unknown'
        ]
        if self.since:
            parts.append(f'since {self.since:%Y-%m-%d %H:%M:%S} UTC')
        if self.place:
            parts.append(f'from {self.place}')
        return ', '.join(parts)


class _Lock(Protocol):
    """What each kind of database has."""

    def take(self, command: Command) -> bool:
        """Take the lock if it is free; return whether it was."""

    def holder(self) -> Holder:
        """Return who has it."""

    def give_back(self) -> None:
        """End it, whether it was taken or not."""


class _ServerLock:
    """A lock of a session, on a connection that is used for nothing else.

    It is idle for hours, so the server is told not to end it.
    """

    PREPARE: tuple[str, ...] = ()
    TAKE = NOTE = HOLDER = GIVE_BACK = ''

    def __init__(self, engine: sa.Engine) -> None:
        self._connection = engine.connect()
        # The pool may be as small as one connection.
        self._connection.detach()
        for statement in self.PREPARE:
            self._ask(statement)

    def _ask(self, statement: str, **values: Any) -> sa.Row[Any] | None:
        result = self._connection.execute(sa.text(statement), values)
        row = result.first() if result.returns_rows else None
        self._connection.commit()
        return row

    def take(self, command: Command) -> bool:
        row = self._ask(self.TAKE)
        taken = row is not None and bool(row[0])
        if taken:
            self._ask(self.NOTE, command=command.value)
        return taken

    def holder(self) -> Holder:
        row = self._ask(self.HOLDER, **self._commands())
        return Holder(*row) if row else Holder()

    def _commands(self) -> dict[str, str]:
        return {}

    def give_back(self) -> None:
        try:
            self._ask(self.GIVE_BACK)
        except (db_exc.DBError, sa_exc.DBAPIError) as error:
            LOG.debug('The lock was lost before: %s', error)
        self._connection.invalidate()
        self._connection.close()


#: MariaDB's names of locks are those of a server, not of a database.
_NAME = "concat('nova_migration.', database())"


def _second(parameter: str) -> str:
    return f"concat({_NAME}, '.', :{parameter})"


_WHICH = ' '.join(
    f'WHEN is_used_lock({_second(command.name)}) THEN :{command.name}'
    for command in Command
)


class _MariaDBLock(_ServerLock):
    """A named lock; which command has it is told by the name of a second."""

    PREPARE = ('SET SESSION wait_timeout = 31536000',)
    TAKE = f'SELECT get_lock({_NAME}, 0)'
    NOTE = f'SELECT get_lock({_second("command")}, 0)'
    HOLDER = (
        f'SELECT CASE id {_WHICH} END,'
        ' utc_timestamp() - INTERVAL time SECOND, host'
        ' FROM information_schema.processlist'
        f' WHERE id = is_used_lock({_NAME})'
    )
    GIVE_BACK = f'DO release_lock({_NAME})'

    def _commands(self) -> dict[str, str]:
        return {command.name: command.value for command in Command}


class _PostgreSQLLock(_ServerLock):
    """An advisory lock of the database; its session has the command's name."""

    _KEYS = tuple(int.from_bytes(word) for word in (b'nova', b'migr'))
    _PREFIX = 'nova-migration-manage '
    PREPARE = (
        "SELECT set_config(name, '0', false) FROM pg_settings"
        " WHERE name = 'idle_session_timeout'",
    )
    TAKE = f'SELECT pg_try_advisory_lock({_KEYS[0]}, {_KEYS[1]})'
    NOTE = (
        "SELECT set_config('application_name',"
        f" '{_PREFIX}' || CAST(:command AS text), false)"
    )
    HOLDER = (
        f"SELECT nullif(replace(application_name, '{_PREFIX}', ''), ''),"
        " state_change AT TIME ZONE 'UTC',"
        " coalesce(client_hostname, host(client_addr)) || ':' || client_port"
        ' FROM pg_locks JOIN pg_stat_activity USING (pid)'
        " WHERE locktype = 'advisory' AND granted"
        ' AND database = (SELECT oid FROM pg_database'
        ' WHERE pg_database.datname = current_database())'
        f' AND classid = {_KEYS[0]} AND objid = {_KEYS[1]} AND objsubid = 2'
    )
    GIVE_BACK = f'SELECT pg_advisory_unlock({_KEYS[0]}, {_KEYS[1]})'


class _FileLock:
    """A lock on a file beside the database; who has it has written it there.

    SQLite's own file cannot be locked: its locks end when anybody of the
    process closes it.
    """

    def __init__(self, path: str) -> None:
        self._path = pathlib.Path(f'{path}.lock')
        self._file: TextIO | None = None

    def take(self, command: Command) -> bool:
        self._file = self._path.open('a', encoding='utf-8')
        if not self._is_locked(self._file):
            self._file.close()
            self._file = None
            return False
        note = {
            'command': command.value,
            'since': time.time(),
            'place': f'{socket.gethostname()}, process {os.getpid()}',
        }
        self._file.truncate(0)
        self._file.write(json.dumps(note))
        self._file.flush()
        return True

    def _is_locked(self, file: TextIO) -> bool:
        """Lock a file, unless who had it has removed it meanwhile."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = self._path.stat()
        except (BlockingIOError, FileNotFoundError):
            return False
        return os.path.samestat(found, os.fstat(file.fileno()))

    def holder(self) -> Holder:
        try:
            note = json.loads(self._path.read_text(encoding='utf-8'))
            since = datetime.datetime.fromtimestamp(
                note['since'], datetime.UTC
            )
            return Holder(note['command'], since, note['place'])
        except (OSError, ValueError):
            return Holder()

    def give_back(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()


def _lock_of(engine: sa.Engine) -> _Lock | None:
    """Return the lock of a database; None for one in memory."""
    if engine.dialect.name == 'postgresql':
        return _PostgreSQLLock(engine)
    if engine.dialect.name != 'sqlite':
        return _MariaDBLock(engine)
    with engine.connect() as connection:
        query = 'SELECT file FROM pragma_database_list WHERE name = :name'
        path = connection.scalar(sa.text(query), {'name': 'main'})
    return _FileLock(path) if path else None


@contextlib.contextmanager
def hold(
    database: engine_mod.Database, command: Command, wait: float = 0.0
) -> Iterator[None]:
    """Be alone with a database, as far as other commands go.

    :param command: what others are told about this one
    :param wait: seconds to wait for another one
    :raises AnotherAtWork: with the other one's name, time and place, as far
        as the database tells
    """
    with engine_mod.explained(database.engine):
        lock = _lock_of(database.engine)
    if lock is None:
        yield
        return
    try:
        with engine_mod.explained(database.engine):
            _take(lock, database, command, wait)
        yield
    finally:
        lock.give_back()


def _take(
    lock: _Lock, database: engine_mod.Database, command: Command, wait: float
) -> None:
    begun, said = time.monotonic(), -_SAY
    while not lock.take(command):
        waited = time.monotonic() - begun
        if waited >= max(wait, GRACE):
            raise exception.AnotherAtWork(
                url=errors.shown(database.engine.url),
                reason=lock.holder().described,
            )
        if wait > waited >= said + _SAY:
            said = waited
            LOG.info(
                'Waiting for another command, for %.0f s at most: %s.',
                wait - waited,
                lock.holder().described,
            )
        time.sleep(_STEP)
