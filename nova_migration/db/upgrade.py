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

Every run goes on where the last one stopped: what is left to do is what the
rows themselves say.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import enum

import sqlalchemy as sa

from nova_migration.db import batches
from nova_migration.db import clauses
from nova_migration.db import engine as engine_mod
from nova_migration.db import galera
from nova_migration.db import mapping as mapping_mod
from nova_migration.db import models

#: What one transaction did.
Batch = batches.Batch

Pending = Callable[[sa.Table], sa.ColumnElement[bool]]


class Believed(enum.StrEnum):
    """Which column holds for a row whose two contradict each other."""

    STATE = 'state'
    STATUS = 'status'


def is_legacy(table: sa.Table) -> sa.ColumnElement[bool]:
    """Match rows that hold a string of Nova's, known or not."""
    return sa.and_(table.c.state.is_(None), table.c.status.is_not(None))


def is_canonical(table: sa.Table) -> sa.ColumnElement[bool]:
    """Match rows that the machine drives."""
    return table.c.state.is_not(None)


def is_inconsistent(table: sa.Table) -> sa.ColumnElement[bool]:
    """Match canonical rows that somebody wrote another status into."""
    return sa.and_(is_canonical(table), sa.not_(clauses.consistent(table)))


def _by_id(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Match the same rows, but by no index of the condition's columns.

    With the index on ``state`` a batch would begin with all rows that are
    left, sorted: SQLite takes it at any time, PostgreSQL as long as it has no
    statistics of the new column.
    """
    return sa.case((condition, 1)) == 1


def settle_by(table: sa.Table, believed: Believed) -> sa.Update:
    """Return the UPDATE that ends the contradiction of inconsistent rows."""
    update = sa.update(table).where(_by_id(is_inconsistent(table)))
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
        .where(_by_id(is_legacy(table)), state.is_not(None))
        .ordered_values(
            (table.c.legacy_status, clauses.kept_legacy(table, meanings)),
            (table.c.state, state),
            (table.c.status, clauses.status_of_legacy(table, meanings)),
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
        .where(_by_id(is_canonical(table)))
        .ordered_values(
            (table.c.status, status),
            (table.c.legacy_status, None),
            (table.c.state, None),
        )
    )


def _each(
    database: engine_mod.Database,
    manner: batches.Manner | None,
    batch_size: int | None,
    job_of: Callable[[sa.Table], batches.Job],
) -> Iterator[Batch]:
    manner = manner or batches.Manner()
    if batch_size is not None:
        manner = dataclasses.replace(manner, batch_size=batch_size)
    with batches.walking(database, manner) as walk:
        for table in models.TABLES:
            yield from walk.over(job_of(table))
        yield from walk.come_back()


def migrate(
    database: engine_mod.Database,
    meanings: mapping_mod.Meanings | None = None,
    batch_size: int | None = None,
    manner: batches.Manner | None = None,
) -> Iterator[Batch]:
    """Make legacy rows canonical, batch by batch; stop between any two.

    Rows that somebody else holds are left until the end, and named by the
    last batches if they still are held then.

    :param meanings: from :func:`nova_migration.db.mapping.meanings_with`
    :param batch_size: rows in a transaction, as in the manner
    :param manner: how hard the database is worked
    :raises BatchRefused: a batch did not get through, however small, for
        another reason than rows that are held
    """
    meanings = meanings or mapping_mod.meanings_with()

    def job_of(table: sa.Table) -> batches.Job:
        pending = is_legacy(table)
        if manner is not None and manner.max_count is not None:
            # A batch that may have few rows would have none to change.
            known = clauses.state_of_legacy(table, meanings)
            pending = sa.and_(pending, known.is_not(None))
        statement = to_canonical(table, meanings)
        return batches.Job(table, _by_id(pending), statement)

    return _each(database, manner, batch_size, job_of)


def settle(
    database: engine_mod.Database,
    believed: Believed,
    batch_size: int | None = None,
    manner: batches.Manner | None = None,
) -> Iterator[Batch]:
    """End the contradiction of inconsistent rows, before they are migrated.

    :param believed: ``status`` makes them legacy rows with the string that
        was written; ``state`` gives them the status of their state again
    :raises BatchRefused: as :func:`migrate`
    """

    def job_of(table: sa.Table) -> batches.Job:
        statement = settle_by(table, believed)
        pending = _by_id(is_inconsistent(table))
        return batches.Job(table, pending, statement)

    return _each(database, manner, batch_size, job_of)


def restore(
    database: engine_mod.Database,
    batch_size: int | None = None,
    manner: batches.Manner | None = None,
) -> Iterator[Batch]:
    """Give every canonical row its string back; stop between any two.

    :raises BatchRefused: as :func:`migrate`
    """

    def job_of(table: sa.Table) -> batches.Job:
        pending = _by_id(is_canonical(table))
        return batches.Job(table, pending, to_legacy(table))

    return _each(database, manner, batch_size, job_of)


def count(database: engine_mod.Database, pending: Pending) -> int:
    """Count rows of both tables: a scan, so once a run, not once a batch."""

    def work(connection: sa.Connection) -> int:
        with galera.caught_up(connection):
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
