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

"""Nova's model of a migration, taught the second form of a row.

What was written in canonical form is loaded as Nova's string, and compared
and sorted as such, so that every query of Nova's stays as it is.
"""

from collections.abc import Collection
import functools
from typing import Any

from nova.db.main import models
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import orm
from sqlalchemy.orm import attributes
from sqlalchemy.sql import operators

from nova_migration.db import schema
from nova_migration.integration.dropin import columns
from nova_migration.integration.dropin import judge
from nova_migration.states import reading

#: The names of the attributes that are added to the model.
STATE = 'nova_migration_state'
LEGACY_STATUS = 'nova_migration_legacy_status'


class StatusComparator(orm.ColumnProperty.Comparator[Any]):
    """Compares and sorts ``Migration.status`` as Nova's string."""

    def __clause_element__(self) -> Any:
        """Return Nova's string as SQL, for sorting and other operators."""
        return self._adapted(_reader().shown)

    def operate(
        self, op: operators.OperatorType, *other: Any, **kwargs: Any
    ) -> sa.ColumnElement[Any]:
        """Ask for one of some strings, or leave it to SQLAlchemy."""
        words = _words(op, other)
        found: sa.ColumnElement[Any]
        if words is None:
            found = op(self.__clause_element__(), *other, **kwargs)
            return found
        found = self._adapted(_reader().is_one_of(words))
        return sa.not_(found) if op in _NEGATIONS else found

    def _bulk_update_tuples(self, value: Any) -> Any:
        # What SQLAlchemy asks for where a statement writes the attribute,
        # which is the column itself.
        return [(self.prop.columns[0], value)]

    def _adapted(self, clause: Any) -> Any:
        adapt = self.adapter
        return adapt(clause, self.prop.key) if adapt else clause


_NEGATIONS = (operators.ne, operators.not_in_op)
_OF_ONE = (operators.eq, operators.ne)
_OF_MANY = (operators.in_op, operators.not_in_op)


def _words(
    op: operators.OperatorType, other: tuple[Any, ...]
) -> Collection[str] | None:
    if op in _OF_ONE and isinstance(other[0], str):
        return [other[0]]
    if op in _OF_MANY and isinstance(other[0], list | tuple | set | frozenset):
        return [word for word in other[0] if isinstance(word, str)]
    return None


@functools.cache
def _reader() -> columns.Reader:
    return columns.Reader(models.Migration.__table__)


def _load(
    migration: Any, _context: Any, attrs: Collection[str] | None = None
) -> None:
    """Show Nova's string in a row that has been loaded."""
    loaded = migration.__dict__
    if attrs is not None and 'status' not in attrs:
        return
    state = loaded.get(STATE)
    if state is None:
        return
    kind = judge.kind_of(loaded)
    found = reading.of_row(
        *kind, loaded.get('status'), state, loaded.get(LEGACY_STATUS)
    )
    legacy = reading.spelled(*kind, found)
    if legacy is None:
        # A state that nobody knows keeps the status that is beside it.
        return
    attributes.set_committed_value(migration, 'status', legacy)


def extend() -> None:
    """Teach the model; doing so twice does no harm."""
    # The archiver asks the model about each table that it finds.
    models.REMOVED_TABLES.add(schema.VERSION_TABLE)
    model = models.Migration
    if hasattr(model, STATE):
        return
    table = model.__table__
    setattr(
        model,
        STATE,
        orm.column_property(columns.state_beside(table.c.id)),
    )
    setattr(
        model,
        LEGACY_STATUS,
        orm.column_property(columns.legacy_status_beside(table.c.id)),
    )
    model.status = orm.column_property(
        table.c.status, comparator_factory=StatusComparator
    )
    event.listen(model, 'load', _load)
    event.listen(model, 'refresh', _load)
