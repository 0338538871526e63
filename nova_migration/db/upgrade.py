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

"""The data migration, and the way back: short set-based batches.

Batches are found by primary key, so that one costs the same at the end as at
the beginning, and every run goes on where the last one stopped: what is left
to do is what the rows themselves say.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import enum

import sqlalchemy as sa

from nova_migration.db import clauses
from nova_migration.db import engine as engine_mod
from nova_migration.db import mapping as mapping_mod
from nova_migration.db import models

BATCH_SIZE = 1000

#: Less than any id that an INTEGER column holds.
_BELOW_ALL = -(2**31) - 1

Pending = Callable[[sa.Table], sa.ColumnElement[bool]]


class Believed(enum.StrEnum):
    """Which column holds for a row whose two contradict each other."""

    STATE = 'state'
    STATUS = 'status'


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one transaction did.

    :param table: the table's name
    :param seen: rows that were looked at
    :param changed: rows that were changed; the rest is not known
    :param last_id: where the next batch begins
    """

    table: str
    seen: int
    changed: int
    last_id: int


def is_legacy(table: sa.Table) -> sa.ColumnElement[bool]:
    """Match rows that hold a string of Nova's, known or not."""
    return sa.and_(table.c.state.is_(None), table.c.status.is_not(None))


def is_canonical(table: sa.Table) -> sa.ColumnElement[bool]:
    """Match rows that the machine drives."""
    return table.c.state.is_not(None)


def is_inconsistent(table: sa.Table) -> sa.ColumnElement[bool]:
    """Match canonical rows that somebody wrote another status into."""
    return sa.and_(is_canonical(table), sa.not_(clauses.consistent(table)))


def settle_by(table: sa.Table, believed: Believed) -> sa.Update:
    """Return the UPDATE that ends the contradiction of inconsistent rows."""
    update = sa.update(table).where(is_inconsistent(table))
    if believed is Believed.STATUS:
        return update.values(state=None, legacy_status=None)
    status = clauses.status_of_state(table.c.state)
    return update.where(status.is_not(None)).values(status=status)


def to_canonical(table: sa.Table, meanings: mapping_mod.Meanings) -> sa.Update:
    """Return the UPDATE that makes legacy rows canonical.

    MariaDB assigns from left to right and sees what it has assigned; so the
    status, which the other two are made from, goes last. ``updated_at`` is
    not assigned: Nova orders and times confirmations by it.
    """
    state = clauses.state_of_legacy(table, meanings)
    return (
        sa.update(table)
        .where(is_legacy(table), state.is_not(None))
        .ordered_values(
            (table.c.legacy_status, clauses.kept_legacy(table, meanings)),
            (table.c.state, state),
            (table.c.status, clauses.status_of_state(state)),
        )
    )


def to_legacy(table: sa.Table) -> sa.Update:
    """Return the UPDATE that gives canonical rows their string back.

    Where a program that does not know of states wrote over the status, what
    it wrote is the string.
    """
    untouched = clauses.exact(table.c.status) == clauses.status_of_state(
        table.c.state
    )
    string = sa.func.coalesce(
        table.c.legacy_status,
        clauses.legacy_of_state(table),
        table.c.status,
    )
    status = sa.case((untouched, string), else_=table.c.status)
    return (
        sa.update(table)
        .where(is_canonical(table))
        .ordered_values(
            (table.c.status, status),
            (table.c.legacy_status, None),
            (table.c.state, None),
        )
    )


def _bound(table: sa.Table, pending: sa.ColumnElement[bool]) -> sa.Executable:
    """Return the query for a batch's last id and its size."""
    ids = (
        sa.select(table.c.id)
        .where(table.c.id > sa.bindparam('last_id'), pending)
        .order_by(table.c.id)
        .limit(sa.bindparam('size', type_=sa.Integer()))
        .subquery()
    )
    return sa.select(sa.func.max(ids.c.id), sa.func.count())


def _walk(
    database: engine_mod.Database,
    table: sa.Table,
    pending: sa.ColumnElement[bool],
    statement: sa.Update,
    batch_size: int,
) -> Iterator[Batch]:
    bound = _bound(table, pending)
    change = statement.where(
        table.c.id > sa.bindparam('low'), table.c.id <= sa.bindparam('high')
    )

    def find(connection: sa.Connection) -> tuple[int | None, int]:
        where = {'last_id': low, 'size': batch_size}
        last_id, seen = connection.execute(bound, where).one()
        return last_id, seen

    def write(connection: sa.Connection) -> int:
        return connection.execute(change, {'low': low, 'high': high}).rowcount

    # Two transactions: SQLite refuses to write in one that began by reading
    # when somebody else has written since.
    low = _BELOW_ALL
    while True:
        high, seen = database.run(find, repeatable=True)
        if high is None:
            return
        changed = database.run(write, repeatable=True)
        yield Batch(table.name, seen, changed, high)
        low = high


def migrate(
    database: engine_mod.Database,
    meanings: mapping_mod.Meanings | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Batch]:
    """Make legacy rows canonical, batch by batch; stop between any two.

    :param meanings: from :func:`nova_migration.db.mapping.meanings_with`
    :param batch_size: rows in a transaction
    """
    meanings = meanings or mapping_mod.meanings_with()
    for table in models.TABLES:
        statement = to_canonical(table, meanings)
        yield from _walk(
            database, table, is_legacy(table), statement, batch_size
        )


def settle(
    database: engine_mod.Database,
    believed: Believed,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Batch]:
    """End the contradiction of inconsistent rows, before they are migrated.

    :param believed: ``status`` makes them legacy rows with the string that
        was written; ``state`` gives them the status of their state again
    """
    for table in models.TABLES:
        yield from _walk(
            database,
            table,
            is_inconsistent(table),
            settle_by(table, believed),
            batch_size,
        )


def restore(
    database: engine_mod.Database, batch_size: int = BATCH_SIZE
) -> Iterator[Batch]:
    """Give every canonical row its string back; stop between any two."""
    for table in models.TABLES:
        yield from _walk(
            database, table, is_canonical(table), to_legacy(table), batch_size
        )


def count(database: engine_mod.Database, pending: Pending) -> int:
    """Count rows of both tables: a scan, so once a run, not once a batch."""

    def work(connection: sa.Connection) -> int:
        return sum(
            connection.scalar(
                sa.select(sa.func.count())
                .select_from(table)
                .where(pending(table))
            )
            or 0
            for table in models.TABLES
        )

    return database.run(work, repeatable=True)
