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

"""Archiving keeps our columns.

Nova copies the columns of its model, which knows nothing of ours; so they
are added to the statement that copies migrations to their shadows.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.integration.dropin import engines


def keep_our_columns() -> None:
    """Complete each copy; doing so twice does no harm."""
    if not event.contains(sa.Engine, 'before_execute', _complete):
        event.listen(sa.Engine, 'before_execute', _complete, retval=True)


def _complete(
    connection: sa.Connection,
    statement: Any,
    multiparams: Any,
    params: Any,
    _options: Any,
) -> tuple[Any, Any, Any]:
    if _is_copy(statement) and engines.is_expanded(connection.dialect):
        statement = _with_our_columns(statement)
    return statement, multiparams, params


def _is_copy(statement: Any) -> bool:
    return (
        isinstance(statement, sa.Insert)
        and statement.select is not None
        and statement.table.name == nova_schema.SHADOW
    )


def _with_our_columns(copy: sa.Insert) -> sa.Insert:
    select = copy.select
    assert isinstance(select, sa.Select)
    names = list(select.selected_columns.keys())
    missing = [c.name for c in models.added_columns() if c.name not in names]
    # Text, because the statement has the table already, which is Nova's.
    added: list[sa.ColumnElement[Any]]
    added = [sa.literal_column(f'{nova_schema.MAIN}.{n}') for n in missing]
    return (
        sa.insert(copy.table)
        .from_select([*names, *missing], select.add_columns(*added))
        .inline()
    )
