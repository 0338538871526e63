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

"""What the tables hold, by type, status and state."""

from collections.abc import Iterable
import dataclasses
import enum
from typing import Any

import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import adopt
from nova_migration.db import clauses
from nova_migration.db import engine as engine_mod
from nova_migration.db import forgiving
from nova_migration.db import models
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import State
from nova_migration.states import determine_migration_type


class Form(enum.StrEnum):
    """How far a row is.

    * ``legacy``: a string of Nova's that is known
    * ``canonical``: a state, and the status that belongs to it
    * ``unknown``: a string, or a type, that no machine has
    * ``inconsistent``: a state with a status that is not its own: a program
      that does not know of states wrote over the status
    * ``none``: no status at all; Nova has such rows in no list
    """

    LEGACY = 'legacy'
    CANONICAL = 'canonical'
    UNKNOWN = 'unknown'
    INCONSISTENT = 'inconsistent'
    NONE = 'none'


#: What migrate does not touch and contract refuses.
LEFT_ALONE = (Form.UNKNOWN, Form.INCONSISTENT)


@dataclasses.dataclass(frozen=True)
class Count:
    """How many rows of a table say the same."""

    table: str
    migration_type: str | None
    status: str | None
    state: str | None
    form: Form
    rows: int

    @property
    def order(self) -> tuple[str, ...]:
        """What counts are listed by."""
        return tuple(str(value) for value in dataclasses.astuple(self))

    @property
    def described(self) -> str:
        """The count in words."""
        rows = 'row' if self.rows == 1 else 'rows'
        state = f' in state {self.state!r}' if self.state is not None else ''
        return (
            f'{self.rows} {rows} of {self.table}, type {self._kind},'
            f' {self.form} status {self.status!r}{state}'
        )

    @property
    def _kind(self) -> str:
        """The type as it is written, or quoted when it is none."""
        if self.migration_type is None:
            return '(none)'
        known = self.migration_type in MIGRATION_TYPES
        return self.migration_type if known else repr(self.migration_type)


def form_of(
    migration_type: str | None, status: str | None, state: str | None
) -> Form:
    """Return the form of a row."""
    kind = migration_type
    if kind is None:
        kind = determine_migration_type(None, None)
    if state is None and status is None:
        return Form.NONE
    if kind not in MIGRATION_TYPES:
        return Form.UNKNOWN
    if state is None:
        known = status in MACHINES[kind].legacy
        return Form.LEGACY if known else Form.UNKNOWN
    row: State | None = MACHINES[kind].states.get(state)
    fits = row is not None and row.status == status
    return Form.CANONICAL if fits else Form.INCONSISTENT


def _said(
    connection: sa.Connection, table: sa.Table
) -> list[sa.ColumnElement[Any]]:
    """Return what rows are told apart by; a table may have no state yet.

    :raises TableMissing: there is no such table at all
    """
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name):
        raise exception.TableMissing(table=table.name)
    said = [
        clauses.text_of(table.c.migration_type),
        _bytes_of(connection, table.c.status),
    ]
    present = {column['name'] for column in inspector.get_columns(table.name)}
    state = clauses.text_of(table.c.state)
    return [*said, state] if 'state' in present else said


def _bytes_of(
    connection: sa.Connection, column: sa.Column[Any]
) -> sa.ColumnElement[Any]:
    exact = clauses.exact(column)
    if connection.dialect.name != 'sqlite':
        return exact
    # Its text may hold bytes that are no UTF-8, and cannot be read as text.
    return sa.cast(exact, sa.LargeBinary())


def _counted(connection: sa.Connection, table: sa.Table) -> list[Count]:
    said = _said(connection, table)
    query = sa.select(sa.func.count(), *said).group_by(*said)
    counts = []
    for rows, kind, status, *rest in connection.execute(query):
        text = forgiving.read_text(status)
        state = rest[0] if rest else None
        form = form_of(kind, text, state)
        counts.append(Count(table.name, kind, text, state, form, rows))
    return sorted(counts, key=lambda count: count.order)


def take(database: engine_mod.Database) -> list[Count]:
    """Count the rows of both tables; strings are told apart exactly.

    It needs no column of ours, so that it can be taken before expand.

    :raises NotACell: the database has neither table
    """

    def work(connection: sa.Connection) -> list[Count]:
        adopt.require_cell(connection)
        return [
            count
            for table in models.TABLES
            for count in _counted(connection, table)
        ]

    return database.run(work, repeatable=True)


def of_form(counts: Iterable[Count], *forms: Form) -> list[Count]:
    """Return the counts of rows in one of the forms."""
    return [count for count in counts if count.form in forms]


def total(counts: Iterable[Count]) -> int:
    """Return how many rows the counts are of."""
    return sum(count.rows for count in counts)
