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

"""Our columns beside Nova's, in SQL that fits either kind of database.

Nova's ``Table`` keeps its 27 columns. What is added is an expression that
names the column of ours on an expanded database, and is NULL on another.
"""

from collections.abc import Collection
import types
from typing import Any
from typing import ClassVar
from typing import cast

import sqlalchemy as sa
from sqlalchemy.ext import compiler
from sqlalchemy.sql import functions

from nova_migration.db import clauses
from nova_migration.integration.dropin import engines
from nova_migration.states import registry


class Beside(functions.FunctionElement[str]):
    """A column of ours in the row that a column of Nova's belongs to."""

    column: ClassVar[str]
    type = sa.String()
    inherit_cache = True


class State(Beside):
    """The column ``state``."""

    column = 'state'
    inherit_cache = True


class LegacyStatus(Beside):
    """The column ``legacy_status``."""

    column = 'legacy_status'
    inherit_cache = True


@compiler.compiles(Beside)
def _beside(element: Beside, compile_: Any, **kw: Any) -> str:
    if not engines.is_expanded(compile_.dialect):
        return 'NULL'
    (neighbour,) = element.clauses
    owner = cast('sa.Column[Any]', neighbour).table
    ours = sa.table(cast(Any, owner).name, sa.column(element.column))
    kw.pop('add_to_result_map', None)
    return str(compile_.process(ours.c[element.column], **kw))


def _widened(table: sa.Table) -> sa.Table:
    """Return what :mod:`nova_migration.db.clauses` can be asked about."""
    columns = dict(table.c)
    columns['state'] = cast(Any, State(table.c.id))
    columns['legacy_status'] = cast(Any, LegacyStatus(table.c.id))
    wide = types.SimpleNamespace(c=types.SimpleNamespace(**columns))
    return cast(sa.Table, wide)


class Reader:
    """Reads rows of either form as Nova's strings, in SQL.

    What is the same for each question is made once: it is the machines in
    SQL, and takes longer to build than the rest of a query.

    :param table: Nova's ``migrations``, or an alias of it
    """

    def __init__(self, table: sa.Table):
        wide = _widened(table)
        status, state = wide.c.status, wide.c.state
        kept = wide.c.legacy_status
        legacy = clauses.legacy_of_state(wide)
        known = sorted(registry.legacy_with())
        #: Nova's string for a row, as nova_migration.states.reading has it:
        #: what a program that knows no states wrote over a status is one.
        self.shown: sa.ColumnElement[Any] = sa.case(
            (state.is_(None), status),
            (status != clauses.status_of_state(state), status),
            (kept.is_not(None), kept),
            else_=sa.func.coalesce(legacy, status),
        )
        self._is_mapped = sa.and_(
            state.is_not(None), kept.is_not(None), kept.not_in(known)
        )
        self._meant = sa.func.coalesce(legacy, '')

    def is_one_of(self, words: Collection[str]) -> sa.ColumnElement[bool]:
        """Match the rows that Nova finds under its strings.

        A string that the operator mapped to a state is found as what it was
        and as what it was mapped to. NULL for a row without status, as in
        Nova, so that the negation does not match it either.
        """
        return sa.or_(
            self.shown.in_(words),
            sa.and_(self._is_mapped, self._meant.in_(words)),
        )


def state_beside(column: sa.Column[Any]) -> sa.Label[Any]:
    """Return ``state`` as a labelled column of a SELECT."""
    return State(column).label('nova_migration_state')


def legacy_status_beside(column: sa.Column[Any]) -> sa.Label[Any]:
    """Return ``legacy_status`` as a labelled column of a SELECT."""
    return LegacyStatus(column).label('nova_migration_legacy_status')
