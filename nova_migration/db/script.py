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


"""The revisions as SQL for the server's own client; nobody is asked anything.

A revision that is run looks at what is there; a script cannot. So its
statements allow for what is there where the server does, and a guard stops it
where a revision would refuse: a row that breaks the check of a temporary
table.
"""

from collections.abc import Iterable
from typing import Any

from alembic.operations import Operations
import sqlalchemy as sa

from nova_migration.db import clauses
from nova_migration.db import ddl
from nova_migration.db import models

_GUARD = 'nova_migration_guard'

#: What the client is told first: to stop at the first error.
STOP_ON_ERROR = {
    'postgresql': '\\set ON_ERROR_STOP on',
    'sqlite': '.bail on',
}

#: The dialects whose tables have to be copied to add or drop a check.
COPYING = ('sqlite',)


def _name(op: Operations) -> str:
    return op.get_context().dialect.name


def _where(op: Operations, clause: sa.ColumnElement[Any]) -> str:
    compiled = clause.compile(
        dialect=op.get_context().dialect,
        compile_kwargs={'literal_binds': True, 'include_table': False},
    )
    return str(compiled)


def _guard(
    op: Operations, name: str, forbidden: Iterable[tuple[sa.Table, Any]]
) -> None:
    """Stop the script if a table has a row that matches.

    :param name: of the check that is broken, which the server shows
    """
    op.execute(
        f'CREATE TEMPORARY TABLE {_GUARD}'
        f' (held BOOLEAN, CONSTRAINT {name} CHECK (held))'
    )
    for table, clause in forbidden:
        found = f'SELECT 1 FROM {table.name} WHERE {_where(op, clause)}'
        op.execute(f'INSERT INTO {_GUARD} SELECT NOT EXISTS ({found})')
    kind = 'TEMPORARY TABLE' if _name(op) in ddl.MARIADB else 'TABLE'
    op.execute(f'DROP {kind} {_GUARD}')


def _alter(op: Operations, table: sa.Table, changes: Iterable[str]) -> None:
    instant = ', ALGORITHM=INSTANT' if _name(op) in ddl.MARIADB else ''
    op.execute(f'ALTER TABLE {table.name} {", ".join(changes)}{instant}')


def expand(op: Operations) -> None:
    """Write what adds the columns and the index."""
    columns = [ddl.spell(op, column) for column in models.added_columns()]
    for table in models.TABLES:
        if _name(op) == 'sqlite':
            for column in columns:
                op.execute(f'ALTER TABLE {table.name} ADD COLUMN {column}')
        else:
            _alter(
                op, table, (f'ADD COLUMN IF NOT EXISTS {c}' for c in columns)
            )
    ddl.build_index(op, models.STATE_INDEX)


def _only_canonical(op: Operations) -> None:
    _guard(
        op,
        'legacy_rows_remain',
        [(t, sa.not_(clauses.consistent(t))) for t in models.TABLES],
    )


def contract(op: Operations) -> None:
    """Write what adds the check, between two looks at the rows."""
    _only_canonical(op)
    for table in models.TABLES:
        name, text = ddl.check_of(op, table)
        if _name(op) in ddl.MARIADB:
            state = ddl.spell(op, models.added_columns()[0])
            _alter(op, table, [f'MODIFY COLUMN {state} CHECK ({text})'])
        else:
            _drop_checks(op, table)
            _alter(
                op, table, [f'ADD CONSTRAINT {name} CHECK ({text}) NOT VALID']
            )
    # MariaDB does not look at the rows that are there.
    _only_canonical(op)
    if _name(op) == 'postgresql':
        # The lock of who adds a check must not be held while rows are read.
        with op.get_context().autocommit_block():
            for table in models.TABLES:
                name, _text = ddl.check_of(op, table)
                _alter(op, table, [f'VALIDATE CONSTRAINT {name}'])


def _drop_checks(op: Operations, table: sa.Table) -> None:
    """Write what drops the check, whatever the release that named it."""
    for name in models.constraint_names(table):
        _alter(op, table, [f'DROP CONSTRAINT IF EXISTS {name}'])


def revert_contract(op: Operations) -> None:
    """Write what drops the check."""
    for table in models.TABLES:
        if _name(op) in ddl.MARIADB:
            state = ddl.spell(op, models.added_columns()[0])
            _alter(op, table, [f'MODIFY COLUMN {state}'])
        else:
            _drop_checks(op, table)


def revert_expand(op: Operations) -> None:
    """Write what removes the columns and the index, once no row needs them."""
    names = [table.name for table in models.TABLES]
    if _name(op) in ddl.MARIADB:
        op.execute(f'LOCK TABLES {", ".join(f"{n} WRITE" for n in names)}')
    else:
        op.execute(f'LOCK TABLE {", ".join(names)}')
    _guard(
        op,
        'canonical_rows_remain',
        [(table, table.c.state.is_not(None)) for table in models.TABLES],
    )
    on = f' ON {models.MIGRATIONS.name}' if _name(op) in ddl.MARIADB else ''
    op.execute(f'DROP INDEX IF EXISTS {models.INDEX}{on}')
    columns = [
        f'DROP COLUMN IF EXISTS {c.name}' for c in models.added_columns()
    ]
    for table in models.TABLES:
        _alter(op, table, columns)
    if _name(op) in ddl.MARIADB:
        op.execute('UNLOCK TABLES')
