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

"""What is different on a node of a Galera cluster.

A node may lag behind what another one has committed, kills transactions that
are in the way of replicated DDL, and takes no statement without its cluster.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
from typing import cast

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
import tenacity

from nova_migration.db import errors

#: Wait before reads, updates and inserts until the node has caught up.
_EVERYTHING = 7

_IS_NODE = f'{__name__}.is_node'


def is_node(connection: sa.Connection) -> bool:
    """Return whether a connection goes to a node of a Galera cluster.

    The server is asked once for each connection of the driver.
    """
    if connection.dialect.name not in ('mysql', 'mariadb'):
        return False
    if _IS_NODE not in connection.info:
        query = sa.text("SHOW VARIABLES LIKE 'wsrep_on'")
        row = connection.execute(query).first()
        connection.info[_IS_NODE] = row is not None and row[1] == 'ON'
    return cast(bool, connection.info[_IS_NODE])


@contextlib.contextmanager
def caught_up(connection: sa.Connection) -> Iterator[None]:
    """Read what was committed on any node before; elsewhere do nothing.

    It has to come first in a transaction: later, the node does not wait. What
    the session had, from the server or from ``[database]
    mysql_wsrep_sync_wait``, it has again afterwards.
    """
    if not is_node(connection):
        yield
        return
    asked = connection.exec_driver_sql('SELECT @@SESSION.wsrep_sync_wait')
    before = asked.scalar_one()
    _wait_before(connection, before | _EVERYTHING)
    try:
        yield
    except BaseException:
        # The error is what is to be told. The pool makes a new connection
        # in place of one that cannot be set back.
        try:
            _give_back(connection, before)
        except (db_exc.DBError, sa_exc.DBAPIError):
            connection.invalidate()
        raise
    _give_back(connection, before)


def _wait_before(connection: sa.Connection, kinds: int) -> None:
    connection.exec_driver_sql(f'SET SESSION wsrep_sync_wait = {kinds}')


def _give_back(connection: sa.Connection, kinds: int) -> None:
    if not (connection.closed or connection.invalidated):
        _wait_before(connection, kinds)


def wait_until_free(
    connection: sa.Connection, table: str, seconds: float
) -> None:
    """Wait until nobody on this node holds a table; elsewhere do nothing.

    Replicated DDL waits for ``LOCK TABLES`` without end, whatever the
    session's ``lock_wait_timeout``, and every write of the node behind it;
    and it kills the transactions that have used the table. So the table is
    locked for a moment before, without standing in a queue for that.

    :raises DBError: oslo.db's, for error 1205: it was held all the time
    """
    if not is_node(connection):
        return
    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception(errors.is_lock_timeout),
        wait=tenacity.wait_random(0.01, 0.05),
        stop=tenacity.stop_after_delay(seconds),
        reraise=True,
    )
    tries(connection.exec_driver_sql, f'LOCK TABLES {table} WRITE NOWAIT')
    connection.exec_driver_sql('UNLOCK TABLES')


def counters(
    connection: sa.Connection, names: Iterable[str], scope: str = 'GLOBAL'
) -> dict[str, int]:
    """Return status variables of a MariaDB by name; those that it has.

    :param scope: ``SESSION`` for what the connection has done itself
    """
    query = sa.text(f'SHOW {scope} STATUS WHERE variable_name IN :names')
    query = query.bindparams(
        sa.bindparam('names', list(names), expanding=True)
    )
    return {name: int(value) for name, value in connection.execute(query)}
