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

"""The guarded write: a compare-and-swap on the state, in one UPDATE.

The swap goes first, in a transaction of its own; what the row says instead
is asked in a new one, because MariaDB's default isolation shows the loser of
a race the row as it was.
"""

import dataclasses
import datetime
import functools
from typing import Any

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import clauses
from nova_migration.db import engine as engine_mod
from nova_migration.db import galera
from nova_migration.db import models
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import Machine

#: How often a swap is tried whose expected state is there after all, as on a
#: Galera node that lags.
ATTEMPTS = 3

_ESCAPE = '|'
_T = models.MIGRATIONS


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a row is: its state in either form, and its raw columns."""

    state: str | None
    status: str | None


def with_reason(earlier: str | None, reason: str) -> str:
    """Return the reasons with one more; the first cause stays first."""
    joined = f'{earlier}; {reason}' if earlier else reason
    return joined[: models.REASON_LENGTH]


def _reasons() -> sa.ColumnElement[Any]:
    reason = sa.bindparam('reason', type_=sa.Text())
    joined = _T.c.state_reason.concat(sa.literal('; ')).concat(reason)
    return sa.case(
        (_T.c.state_reason.is_(None), reason),
        else_=sa.func.substr(joined, 1, models.REASON_LENGTH),
    )


def _expected(machine: Machine, state: str) -> sa.ColumnElement[bool]:
    status = clauses.exact(_T.c.status)
    spellings = machine.state(state).spellings
    legacy = sa.or_(*(status == clauses.constant(word) for word in spellings))
    return sa.and_(
        _T.c.id == sa.bindparam('row_id'),
        sa.or_(
            _T.c.state == clauses.constant(state),
            sa.and_(_T.c.state.is_(None), legacy),
        ),
    )


@functools.cache
def _move_statement(machine: Machine, edge: Edge, reason: bool) -> sa.Update:
    """Return the UPDATE of an edge; it keeps the form that the row has.

    MariaDB assigns from left to right and sees what it has assigned, so the
    state, which says which form it is, goes last.
    """
    target = machine.state(edge.target)
    legacy_row = _T.c.state.is_(None)
    values: list[tuple[Any, Any]] = [
        (
            _T.c.status,
            sa.case(
                (legacy_row, clauses.constant(target.legacy)),
                else_=clauses.constant(target.status),
            ),
        ),
        (_T.c.legacy_status, sa.null()),
        (_T.c.state_changed_at, sa.bindparam('now')),
        (_T.c.updated_at, sa.bindparam('now')),
        (
            _T.c.state,
            sa.case(
                (legacy_row, sa.null()), else_=clauses.constant(target.name)
            ),
        ),
    ]
    if reason:
        values.insert(0, (_T.c.state_reason, _reasons()))
    where = _expected(machine, edge.source)
    return sa.update(_T).where(where).ordered_values(*values)


@functools.cache
def _absorb_statement(machine: Machine, state: str) -> sa.Update:
    """Return the UPDATE that keeps a late report's reason, once."""
    kept = sa.func.coalesce(_T.c.state_reason, '')
    unsaid = kept.not_like(sa.bindparam('pattern'), escape=_ESCAPE)
    where = sa.and_(_expected(machine, state), unsaid)
    return sa.update(_T).where(where).values(state_reason=_reasons())


def _containing(text: str) -> str:
    for special in (_ESCAPE, '%', '_'):
        text = text.replace(special, _ESCAPE + special)
    return f'%{text}%'


def move(
    database: engine_mod.Database,
    row_id: int,
    machine: Machine,
    edge: Edge,
    reason: str | None = None,
) -> datetime.datetime:
    """Take a row along an edge, if it still is where the edge begins.

    :param reason: kept behind the reasons that the row has
    :returns: the time of the move, UTC and naive as the columns are
    :raises MigrationNotFound: there is no such row
    :raises TransitionConflict: it is in another state
    """
    statement = _move_statement(machine, edge, reason is not None)
    for _attempt in range(ATTEMPTS):
        now = timeutils.utcnow()
        values: dict[str, Any] = {'row_id': row_id, 'now': now}
        if reason is not None:
            values['reason'] = reason[: models.REASON_LENGTH]
        if _swap(database, statement, values):
            return now
        found = position(database, row_id, machine)
        if found.state != edge.source:
            break
    raise _conflict(row_id, edge.event, edge.source, found)


def _conflict(
    row_id: int, event: str, expected: str, found: Position
) -> exception.TransitionConflict:
    return exception.TransitionConflict(
        migration_id=row_id,
        event=event,
        expected=expected,
        actual=found.state or found.status,
    )


def _swap(
    database: engine_mod.Database, statement: sa.Update, values: dict[str, Any]
) -> bool:
    def swap(connection: sa.Connection) -> bool:
        return connection.execute(statement, values).rowcount == 1

    return database.run(swap)


def absorb(
    database: engine_mod.Database,
    row_id: int,
    machine: Machine,
    pair: Absorbed,
    reason: str,
) -> None:
    """Keep the reason of a late report; nothing else of the row changes.

    :raises MigrationNotFound: there is no such row
    :raises TransitionConflict: it is in another state, where the report may
        be something else than late
    """
    reason = reason[: models.REASON_LENGTH]
    values = {
        'row_id': row_id,
        'reason': reason,
        'pattern': _containing(reason),
    }
    if _swap(database, _absorb_statement(machine, pair.state), values):
        return
    # The reason is kept already, or the row is somewhere else.
    found = position(database, row_id, machine)
    if found.state != pair.state:
        raise _conflict(row_id, pair.event, pair.state, found)


def position(
    database: engine_mod.Database, row_id: int, machine: Machine
) -> Position:
    """Return where a row is now, as a new transaction sees it.

    On Galera it waits for what other nodes have committed: a swap right
    after a commit on another node may match nothing although no race was
    lost.

    :raises MigrationNotFound: there is no such row
    """
    query = sa.select(_T.c.state, _T.c.status).where(_T.c.id == row_id)

    def read(connection: sa.Connection) -> Any:
        with galera.caught_up(connection):
            return connection.execute(query).first()

    row = database.run(read)
    if row is None:
        raise exception.MigrationNotFound(migration_id=row_id)
    if row.state is None and row.status in machine.legacy:
        return Position(machine.legacy[row.status].name, row.status)
    return Position(row.state, row.status)
