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
import re
from typing import Any
from typing import cast

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import clauses
from nova_migration.db import engine as engine_mod
from nova_migration.db import forgiving
from nova_migration.db import galera
from nova_migration.db import models
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import Machine

#: How often a swap is tried whose expected state is there after all, as on a
#: Galera node that lags, or whose answer was lost.
ATTEMPTS = 3

#: What some database cannot hold: PostgreSQL's text no NUL, the columns of
#: Nova's MariaDB tables nothing beyond 16 bits, UTF-8 no half of a pair.
_NOT_STORABLE = re.compile('[\0\ud800-\udfff\U00010000-\U0010ffff]')

_ESCAPE = '|'
_T = models.MIGRATIONS
_ROW = forgiving.select(
    _T.c.id,
    _T.c.state,
    _T.c.status,
    _T.c.state_changed_at,
    _T.c.state_reason,
)


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a row is: its state in either form, and its raw columns."""

    state: str | None
    status: str | None


def storable(reason: str) -> str:
    """Return a reason that every database takes; escapes for the rest.

    What is said of a move must never be why the move fails.
    """
    return _NOT_STORABLE.sub(lambda found: ascii(found[0])[1:-1], reason)


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
    if edge.source == edge.target:
        # The row of a move whose answer was lost still is where it was.
        moved = _T.c.state_changed_at == sa.bindparam('now')
        where = sa.and_(where, sa.func.coalesce(sa.not_(moved), sa.true()))
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
    :raises OutcomeUnknown: the connection was lost while the move was
        committed, and the row does not tell what became of it
    :raises DatabaseUnavailable: nothing was written
    """
    values: dict[str, Any] = {'row_id': row_id, 'now': timeutils.utcnow()}
    if reason is not None:
        values['reason'] = reason[: models.REASON_LENGTH]
    doubt: exception.OutcomeUnknown | None = None
    for _attempt in range(ATTEMPTS):
        try:
            moved, found = _try(database, machine, edge, values)
        except exception.OutcomeUnknown as error:
            # The next try waits for the row's lock, and thereby for what
            # became of this one.
            doubt = error
            continue
        except exception.DatabaseUnavailable as error:
            if doubt is not None:
                raise _unknown(machine, edge, values, doubt) from error
            raise
        if moved:
            return cast(datetime.datetime, values['now'])
        if found.state != edge.source:
            break
    if doubt is not None:
        return _settle(database, machine, edge, values, doubt)
    raise _conflict(row_id, edge.event, edge.source, found)


def _try(
    database: engine_mod.Database,
    machine: Machine,
    edge: Edge,
    values: dict[str, Any],
) -> tuple[bool, Position]:
    """Swap; return whether that matched, and if not where the row is."""
    statement = _move_statement(machine, edge, 'reason' in values)
    if _swap(database, statement, values):
        return True, Position(edge.target, None)
    return False, position(database, values['row_id'], machine)


@functools.cache
def _onward(machine: Machine, state: str) -> frozenset[str]:
    """Return the states that can be come to from a state, without itself."""
    reached: set[str] = set()
    ahead = [state]
    while ahead:
        here = ahead.pop()
        there = {e.target for e in machine.table.edges if e.source == here}
        ahead.extend(there - reached)
        reached |= there
    return frozenset(reached - {state})


def _settle(
    database: engine_mod.Database,
    machine: Machine,
    edge: Edge,
    values: dict[str, Any],
    doubt: exception.OutcomeUnknown,
) -> datetime.datetime:
    """Let the row say what became of a write whose answer was lost.

    Its time, to the microsecond, and its reason tell it from a rival's. From
    where the write led to, others may have moved the row on: that leaves it
    open. Anywhere else it cannot have been, if everybody is guarded; who
    writes strings of Nova's need not be.

    :returns: when it was, if it was carried out
    :raises TransitionConflict: it was not, and somebody else moved the row
    :raises OutcomeUnknown: the row does not tell
    """
    try:
        row = _read(database, values['row_id'])
    except (exception.DatabaseUnavailable, exception.OutcomeUnknown) as error:
        raise _unknown(machine, edge, values, doubt) from error
    found = _position_of(row, machine)
    now: datetime.datetime = values['now']
    if found.state == edge.target:
        if _bears(row, values):
            return now
        # A column without fractions keeps no more of it.
        open_ = row.state_changed_at in (now, now.replace(microsecond=0))
    else:
        onward = _onward(machine, edge.target)
        open_ = found.state in onward or found.state == edge.source
    if open_ or row.state is None:
        raise _unknown(machine, edge, values, doubt, found) from doubt
    raise _conflict(row.id, edge.event, edge.source, found) from doubt


def _bears(row: sa.Row[Any], values: dict[str, Any]) -> bool:
    """Tell whether a row says what a write would have made it say."""
    now: datetime.datetime = values['now']
    reasons = row.state_reason or ''
    # A late report may stand behind it, and there may have been no room.
    said = values.get('reason', '') in reasons
    full = len(reasons) == models.REASON_LENGTH
    return bool(
        now.microsecond and row.state_changed_at == now and (said or full)
    )


def _unknown(
    machine: Machine,
    edge: Edge,
    values: dict[str, Any],
    doubt: exception.OutcomeUnknown,
    found: Position | None = None,
) -> exception.OutcomeUnknown:
    return exception.OutcomeUnknown(
        what=f"Event '{edge.event}' of migration {values['row_id']}"
        f' ({machine.name})',
        reason=doubt.reason,
        migration_id=values['row_id'],
        event=edge.event,
        expected=edge.source,
        target=edge.target,
        actual=found and (found.state or found.status),
    )


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
    database: engine_mod.Database,
    statement: sa.Update,
    values: dict[str, Any],
    repeatable: bool = False,
) -> bool:
    def swap(connection: sa.Connection) -> bool:
        return connection.execute(statement, values).rowcount == 1

    return database.run(swap, repeatable)


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
    # A reason that is kept already is not kept again.
    statement = _absorb_statement(machine, pair.state)
    for _attempt in range(ATTEMPTS):
        if _swap(database, statement, values, repeatable=True):
            return
        row = _read(database, row_id)
        found = _position_of(row, machine)
        if found.state != pair.state:
            raise _conflict(row_id, pair.event, pair.state, found)
        if reason in (row.state_reason or ''):
            return


def position(
    database: engine_mod.Database, row_id: int, machine: Machine
) -> Position:
    """Return where a row is now, as a new transaction sees it.

    On Galera it waits for what other nodes have committed: a swap right
    after a commit on another node may match nothing although no race was
    lost.

    :raises MigrationNotFound: there is no such row
    """
    return _position_of(_read(database, row_id), machine)


def _read(database: engine_mod.Database, row_id: int) -> sa.Row[Any]:
    query = _ROW.where(_T.c.id == row_id)

    def read(connection: sa.Connection) -> Any:
        with galera.caught_up(connection):
            return connection.execute(query).first()

    row: sa.Row[Any] | None = database.run(read, repeatable=True)
    if row is None:
        raise exception.MigrationNotFound(migration_id=row_id)
    return row


def _position_of(row: sa.Row[Any], machine: Machine) -> Position:
    if row.state is None and row.status in machine.legacy:
        return Position(machine.legacy[row.status].name, row.status)
    return Position(row.state, row.status)
