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

"""Reading what a Galera cluster has committed, on a node that may lag."""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib

import sqlalchemy as sa

#: Wait before reads, updates and inserts until the node has caught up.
_EVERYTHING = 7


def is_node(connection: sa.Connection) -> bool:
    """Return whether a connection goes to a node of a Galera cluster."""
    if connection.dialect.name not in ('mysql', 'mariadb'):
        return False
    query = sa.text("SHOW VARIABLES LIKE 'wsrep_on'")
    row = connection.execute(query).first()
    return row is not None and row[1] == 'ON'


@contextlib.contextmanager
def caught_up(connection: sa.Connection) -> Iterator[None]:
    """Read what was committed on any node before; elsewhere do nothing."""
    if not is_node(connection):
        yield
        return
    set_wait = 'SET SESSION wsrep_sync_wait = '
    connection.exec_driver_sql(f'{set_wait}{_EVERYTHING}')
    try:
        yield
    finally:
        connection.exec_driver_sql(f'{set_wait}@@GLOBAL.wsrep_sync_wait')


def counters(
    connection: sa.Connection, names: Iterable[str]
) -> dict[str, int]:
    """Return status variables of a node by name; those that it has."""
    query = sa.text('SHOW GLOBAL STATUS WHERE variable_name IN :names')
    query = query.bindparams(
        sa.bindparam('names', list(names), expanding=True)
    )
    return {name: int(value) for name, value in connection.execute(query)}
