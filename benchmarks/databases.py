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

"""Databases of a run's own, with Nova's two tables in them."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import tempfile
import time
from typing import Any
import unittest
import uuid

import sqlalchemy as sa

from benchmarks import rows as rows_mod
from benchmarks import scenarios
from nova_migration.db import nova_schema
from tests.servers import shared

#: Servers by name, as the functional tests have them; SQLite has none.
SERVERS = {'sqlite': None, 'mariadb': 'mysql', 'postgresql': 'postgresql'}

#: How many rows are made in Python; the server makes the others of them.
_SEED = 10_000

#: Seconds that a server has for its housekeeping.
_PATIENCE = 120

_UUIDS = {
    'sqlite': sa.func.lower(sa.func.hex(sa.func.randomblob(16))),
    'mysql': sa.func.uuid(),
    'postgresql': sa.cast(sa.func.gen_random_uuid(), sa.String()),
}


def server_url(name: str) -> sa.URL:
    """Return the URL of a server that is known by name, or is given.

    :raises scenarios.Missing: there is no such server
    """
    if name not in SERVERS:
        return sa.make_url(name)
    backend = SERVERS[name]
    if backend is None:
        return sa.make_url('sqlite://')
    try:
        return shared.url_of(backend)
    except (unittest.SkipTest, RuntimeError) as error:
        raise scenarios.Missing(f'{name}: {error}') from error


@contextlib.contextmanager
def provided() -> Iterator[None]:
    """Have servers that are not there started, and ended afterwards."""
    with shared.provided() as servers:
        os.environ.update(servers.variables)
        yield


@contextlib.contextmanager
def new(server: sa.URL) -> Iterator[sa.URL]:
    """Make an empty database on a server, and drop it afterwards.

    :param server: for SQLite without a file's name; for others with a user
        who may create databases
    """
    if server.get_backend_name() == 'sqlite':
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / 'cell.db'
            yield server.set(database=str(path))
        return
    admin = sa.create_engine(server, isolation_level='AUTOCOMMIT')
    name = f'nova_migration_bench_{uuid.uuid4().hex[:8]}'
    with admin.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE {name}')
    try:
        yield server.set(database=name)
    finally:
        force = ' WITH (FORCE)' if admin.dialect.name == 'postgresql' else ''
        with admin.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE {name}{force}')
        admin.dispose()


def version(server: sa.URL) -> str:
    """Return what a server says it is."""
    query = {
        'sqlite': 'SELECT sqlite_version()',
        'mysql': 'SELECT version()',
        'postgresql': 'SHOW server_version',
    }[server.get_backend_name()]
    engine = sa.create_engine(server)
    with engine.connect() as connection:
        found = str(connection.exec_driver_sql(query).scalar())
    engine.dispose()
    return found


def _wait_for_purge(connection: sa.Connection) -> None:
    """Wait until InnoDB has cleaned up after what was committed before.

    It begins when a transaction ends, so one large UPDATE leaves all of that
    to whoever comes next. MySQL does not say.
    """
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        left = connection.exec_driver_sql(
            "SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'"
        ).first()
        if left is None or int(left[1]) == 0:
            return
        time.sleep(0.05)
    raise TimeoutError(
        'InnoDB does not get to the end of its purge: is a transaction open?'
    )


class Cell:
    """A database with Nova's two tables; ours to look at and to reset."""

    def __init__(self, url: sa.URL):
        self.url = url.render_as_string(hide_password=False)
        self.engine = sa.create_engine(url)
        self.count = 0
        metadata = sa.MetaData()
        self.main, self.shadow = nova_schema.define(metadata)
        metadata.create_all(self.engine)

    @property
    def label(self) -> str:
        """What people call this kind of server."""
        dialect = self.engine.dialect
        with self.engine.connect():
            if getattr(dialect, 'is_mariadb', False):
                return 'MariaDB'
        return {'sqlite': 'SQLite', 'mysql': 'MySQL'}.get(
            dialect.name, 'PostgreSQL'
        )

    def fill(self, count: int) -> None:
        """Put rows as Nova leaves them into the main table."""
        with self.engine.begin() as connection:
            first = list(rows_mod.rows(min(count, _SEED)))
            connection.execute(sa.insert(self.main), first)
        there = len(first)
        while there < count:
            more = min(there, count - there)
            with self.engine.begin() as connection:
                connection.execute(self._copies(there), {'more': more})
            there += more
        self.count = there
        self._vacuum_only_between()
        self.settle()

    def _vacuum_only_between(self) -> None:
        if self.engine.dialect.name == 'postgresql':
            self.execute(
                sa.text(
                    f'ALTER TABLE {self.main.name}'
                    ' SET (autovacuum_enabled = false)'
                )
            )

    def _copies(self, there: int) -> sa.Insert:
        """Return the INSERT that copies rows under new ids and uuids."""
        table = self.main
        unique: dict[str, Any] = {
            'id': table.c.id + there,
            'uuid': _UUIDS[self.engine.dialect.name],
        }
        values = [unique.get(column.name, column) for column in table.c]
        copied = sa.select(*values).where(table.c.id <= sa.bindparam('more'))
        return sa.insert(table).from_select(list(table.c.keys()), copied)

    def settle(self) -> None:
        """Let the server do now what it would do in the middle of a round."""
        statements = {
            'sqlite': ('ANALYZE',),
            'mysql': (f'ANALYZE TABLE {self.main.name}',),
            'postgresql': (f'VACUUM ANALYZE {self.main.name}', 'CHECKPOINT'),
        }[self.engine.dialect.name]
        engine = self.engine.execution_options(isolation_level='AUTOCOMMIT')
        with engine.connect() as connection:
            for statement in statements:
                with contextlib.suppress(sa.exc.ProgrammingError):
                    # CHECKPOINT is not for everybody.
                    connection.exec_driver_sql(statement)
            if self.engine.dialect.name == 'mysql':
                _wait_for_purge(connection)

    def execute(self, statement: Any, values: Any = None) -> int:
        """Run a statement in a transaction; return how many rows it met."""
        with self.engine.begin() as connection:
            return connection.execute(statement, values or {}).rowcount

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


@contextlib.contextmanager
def filled(server: sa.URL, count: int) -> Iterator[Cell]:
    """Make a database with so many rows, and drop it afterwards."""
    with new(server) as url:
        cell = Cell(url)
        try:
            cell.fill(count)
            yield cell
        finally:
            cell.close()
