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

"""What keeps states out of the tables while our columns are removed.

Whether a row still has a state is counted, and then the columns are dropped.
MariaDB's DDL is no part of a transaction, and on a Galera cluster a lock is
known to one node only; so between the two somebody could write a state, which
would be gone with the string that it stands for. The fence is the reverse of
contract's check: while it is there the database takes no row that has a state.
It is put up before the count, and the statement that drops the columns takes
it away too, and fails if it is not there any more.

SQLite needs none: there the count and the DDL are one transaction, which has
the lock of who writes from its beginning.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import logging
import secrets

from alembic.operations import Operations
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration.db import ddl
from nova_migration.db import models

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Fence:
    """A fence of one run.

    :param name: that no other run's has, so that nobody takes it for his own
    :param tables: those that it is around
    """

    name: str
    tables: tuple[sa.Table, ...]


def standing(connection: sa.Connection, table: sa.Table) -> list[str]:
    """Return the names of the fences around a table, whoever put them up."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name):
        return []
    if connection.dialect.name in ddl.MARIADB:
        found = ddl.column_names(connection, table)
    elif connection.dialect.name == 'postgresql':
        checks = inspector.get_check_constraints(table.name)
        found = {str(check['name']) for check in checks}
    else:
        found = set()
    return sorted(name for name in found if name.startswith(models.FENCE))


def _has_ours(connection: sa.Connection, table: sa.Table) -> bool:
    if not sa.inspect(connection).has_table(table.name):
        return False
    ours = {column.name for column in models.added_columns()}
    return bool(ours & ddl.column_names(connection, table))


def _put_up(connection: sa.Connection, table: sa.Table, name: str) -> None:
    """Put a fence in the place of those that killed runs have left.

    What a killed expand has added may be without the column for the state.
    """
    condition = table.c.state.is_(None).compile(
        dialect=connection.dialect, compile_kwargs={'include_table': False}
    )
    state = ddl.spelled(connection.dialect, models.added_columns()[0])
    begin = [f'ADD COLUMN IF NOT EXISTS {state}']
    left = standing(connection, table)
    if connection.dialect.name in ddl.MARIADB:
        # A check of the table would copy it; one behind a column is only
        # written down, and a column of its own can be dropped only once.
        begin += [f'ADD COLUMN {name} TINYINT NULL CHECK ({condition})']
    elif connection.dialect.name == 'postgresql':
        begin += [f'ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID']
    ddl.alter(connection, table, [*begin, *map(_drop(connection), left)])


def take_down(connection: sa.Connection, table: sa.Table, *names: str) -> None:
    """Let rows have states again; what is not there any more is no error."""
    ddl.alter(connection, table, map(_drop(connection), names))


def _drop(connection: sa.Connection) -> Callable[[str], str]:
    mariadb = connection.dialect.name in ddl.MARIADB
    kind = 'COLUMN' if mariadb else 'CONSTRAINT'
    return f'DROP {kind} IF EXISTS {{}}'.format


@contextlib.contextmanager
def around(op: Operations) -> Iterator[Fence]:
    """Put a fence around the tables; on an error take it down again.

    Without an error whoever asked for it takes it down, by
    :func:`nova_migration.db.ddl.drop_columns`.
    """
    connection = op.get_bind()
    tables = tuple(t for t in models.TABLES if _has_ours(connection, t))
    fence = Fence(f'{models.FENCE}_{secrets.token_hex(4)}', tables)
    if connection.dialect.name == 'sqlite':
        yield fence
        return
    try:
        with ddl.outside(op) as bind:
            for table in tables:
                _put_up(bind, table, fence.name)
        yield fence
    except BaseException:
        _give_up(op, fence)
        raise


def _give_up(op: Operations, fence: Fence) -> None:
    """Take a fence down; what is to be told is the error before."""
    try:
        with ddl.outside(op) as bind:
            for table in fence.tables:
                if fence.name in standing(bind, table):
                    take_down(bind, table, fence.name)
    except (db_exc.DBError, sa_exc.SQLAlchemyError):
        LOG.warning(
            'The database takes no state until db restore --drop-columns'
            ' is run again, or db upgrade: %s could not be removed.',
            fence.name,
        )
