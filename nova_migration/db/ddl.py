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

"""Online DDL that may be run again: each step looks at what is there.

MariaDB commits after each statement, so a revision that was killed half way
is run again from its start. A statement that waits in the server outlives
the program that sent it, and may be carried out between the next run's look
and its own statement; so each statement, too, allows for being late.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
from typing import Any

from alembic.operations import Operations
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy import schema

from nova_migration import exception
from nova_migration.db import clauses
from nova_migration.db import errors
from nova_migration.db import galera
from nova_migration.db import models

#: Seconds that DDL waits for a lock; writers queue behind it meanwhile.
LOCK_TIMEOUT = 10

#: What SQLAlchemy calls MariaDB, depending on the URL.
MARIADB = ('mysql', 'mariadb')


def _dialect(op: Operations) -> str:
    return op.get_context().dialect.name


def require_supported(connection: sa.Connection) -> None:
    """Refuse MySQL, whose online DDL is not MariaDB's.

    :raises UnsupportedDatabase: naming the server
    """
    dialect = connection.dialect
    if dialect.name in MARIADB and not getattr(dialect, 'is_mariadb', False):
        raise exception.UnsupportedDatabase(
            reason='the server is MySQL, and the DDL was made for MariaDB'
        )


def column_names(connection: sa.Connection, table: sa.Table) -> set[str]:
    """Return the names of the columns that a table has."""
    found = sa.inspect(connection).get_columns(table.name)
    return {column['name'] for column in found}


def add_columns(op: Operations, table: sa.Table) -> None:
    """Add the columns of ours that are not there, at once where possible."""
    present = column_names(op.get_bind(), table)
    missing = [c for c in models.added_columns() if c.name not in present]
    if _dialect(op) in MARIADB:
        _alter(op, table, (_added(op, c) for c in missing))
        return
    for column in missing:
        op.add_column(table.name, column)


def _added(op: Operations, column: sa.Column[Any]) -> str:
    return f'ADD COLUMN IF NOT EXISTS {spell(op, column)}'


def look_anew(connection: sa.Connection) -> None:
    """Have what is read next see what was committed until now.

    MariaDB reads on in the snapshot that a transaction began with, and not
    each statement of DDL that a run asks for is sent: what is there already
    ends no transaction.
    """
    if connection.dialect.name in MARIADB:
        connection.exec_driver_sql('COMMIT')


def require_restored(connection: sa.Connection) -> None:
    """Refuse to remove states that rows still have.

    :raises CanonicalRowsRemain: with the table and a count
    """
    look_anew(connection)
    # The rows that were archived are what is forgotten most easily.
    for table in reversed(models.TABLES):
        if 'state' not in _columns_if_any(connection, table):
            continue
        if connection.dialect.name == 'postgresql':
            # The index knows at once that there is none.
            connection.exec_driver_sql('SET LOCAL enable_seqscan = off')
        canonical = table.c.state.is_not(None)
        query = sa.select(sa.func.count()).select_from(table)
        count = connection.scalar(query.where(canonical))
        if count:
            raise exception.CanonicalRowsRemain(table=table.name, count=count)


def _columns_if_any(connection: sa.Connection, table: sa.Table) -> set[str]:
    if not sa.inspect(connection).has_table(table.name):
        return set()
    return column_names(connection, table)


def drop_columns(op: Operations, table: sa.Table, fence: str) -> None:
    """Remove the columns of ours that are there, and the fence around them.

    They are dropped by the statement that takes the fence down, which fails
    where somebody has taken it down before.

    :param fence: its name; see :mod:`nova_migration.db.fence`
    """
    if _dialect(op) == 'sqlite':
        present = column_names(op.get_bind(), table)
        for column in models.added_columns():
            if column.name in present:
                op.drop_column(table.name, column.name)
        return
    kind = 'COLUMN' if _dialect(op) in MARIADB else 'CONSTRAINT'
    ours = (c.name for c in models.added_columns())
    drops = (f'DROP COLUMN IF EXISTS {name}' for name in ours)
    alter(op.get_bind(), table, (f'DROP {kind} {fence}', *drops))


def lock_tables(op: Operations) -> None:
    """Have both tables of PostgreSQL's until the transaction ends.

    The shadow table first: only the archiver waits for that, and nobody for
    the other table while it is waited for.
    """
    if _dialect(op) == 'postgresql':
        for table in reversed(models.TABLES):
            if sa.inspect(op.get_bind()).has_table(table.name):
                op.execute(f'LOCK TABLE {table.name}')


def spelled(dialect: sa.Dialect, column: sa.Column[Any]) -> str:
    """Return a column as a server's DDL has it."""
    holder = sa.Table('_', sa.MetaData(), column)
    text = schema.CreateColumn(holder.columns[column.name])
    return str(text.compile(dialect=dialect)).strip()


def spell(op: Operations, column: sa.Column[Any]) -> str:
    """Return a column as CREATE TABLE has it."""
    return spelled(op.get_context().dialect, column)


def _alter(op: Operations, table: sa.Table, changes: Iterable[str]) -> None:
    """Run an ALTER of MariaDB's that changes only the table's definition."""
    text = ', '.join(changes)
    if text:
        galera.wait_until_free(op.get_bind(), table.name, LOCK_TIMEOUT)
        op.execute(f'ALTER TABLE {table.name} {text}, ALGORITHM=INSTANT')


def alter(
    connection: sa.Connection, table: sa.Table, changes: Iterable[str]
) -> None:
    """Run an ALTER as a part of no revision, on the servers' databases."""
    text = ', '.join(changes)
    if not text:
        return
    if connection.dialect.name in MARIADB:
        galera.wait_until_free(connection, table.name, LOCK_TIMEOUT)
        text += ', ALGORITHM=INSTANT'
    connection.exec_driver_sql(f'ALTER TABLE {table.name} {text}')


@contextlib.contextmanager
def outside(op: Operations) -> Iterator[sa.Connection]:
    """Run DDL that holds whatever becomes of the revision.

    MariaDB commits it anyway.
    """
    if _dialect(op) == 'postgresql':
        with op.get_context().autocommit_block():
            yield op.get_bind()
    else:
        yield op.get_bind()


def create_index(op: Operations, index: sa.Index) -> None:
    """Create an index beside live writers, unless it is there and whole."""
    table = index.table
    assert table is not None
    if _index_is_valid(op, index):
        return
    if _dialect(op) in MARIADB:
        galera.wait_until_free(op.get_bind(), table.name, LOCK_TIMEOUT)
    build_index(op, index)


def build_index(op: Operations, index: sa.Index) -> None:
    """Create an index beside live writers; what is there is not looked at."""
    dialect = _dialect(op)
    if dialect == 'postgresql':
        with op.get_context().autocommit_block():
            op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {index.name}')
            op.execute(_create(op, index, concurrently=True))
    elif dialect in MARIADB:
        op.execute(f'{_create(op, index)} ALGORITHM=INPLACE LOCK=NONE')
    else:
        op.execute(_create(op, index))


def _create(
    op: Operations, index: sa.Index, concurrently: bool = False
) -> str:
    text = schema.CreateIndex(index).compile(dialect=op.get_context().dialect)
    return (
        str(text)
        .strip()
        .replace(
            'CREATE INDEX',
            'CREATE INDEX CONCURRENTLY'
            if concurrently
            else 'CREATE INDEX IF NOT EXISTS',
            1,
        )
    )


def _index_is_valid(op: Operations, index: sa.Index) -> bool:
    """Return whether the index is there; a killed build leaves it invalid."""
    connection = op.get_bind()
    if not has_index(connection, index):
        return False
    if connection.dialect.name != 'postgresql':
        return True
    query = sa.text(
        'SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)'
    )
    return bool(connection.scalar(query, {'name': index.name}))


def has_index(connection: sa.Connection, index: sa.Index) -> bool:
    """Return whether an index is there, whole or not."""
    table = index.table
    assert table is not None
    found = sa.inspect(connection).get_indexes(table.name)
    return index.name in {row['name'] for row in found}


def drop_index(op: Operations, index: sa.Index) -> None:
    """Remove an index if it is there."""
    table = index.table
    assert table is not None
    if has_index(op.get_bind(), index):
        galera.wait_until_free(op.get_bind(), table.name, LOCK_TIMEOUT)
        op.drop_index(str(index.name), table_name=table.name, if_exists=True)


def has_check(connection: sa.Connection, table: sa.Table) -> bool:
    """Return whether contract's check is on a table."""
    if connection.dialect.name in MARIADB:
        return _mariadb_check(connection, table)
    return bool(_checks(connection, table))


def _checks(connection: sa.Connection, table: sa.Table) -> list[str]:
    """Return what the check is called: a database keeps its old name."""
    found = sa.inspect(connection).get_check_constraints(table.name)
    present = {row['name'] for row in found}
    return [n for n in models.constraint_names(table) if n in present]


def _mariadb_check(connection: sa.Connection, table: sa.Table) -> bool:
    query = sa.text(
        'SELECT count(*) FROM information_schema.check_constraints'
        ' WHERE constraint_schema = database() AND table_name = :name'
        " AND constraint_name = 'state'"
    )
    return bool(connection.scalar(query, {'name': table.name}))


def add_check(op: Operations, table: sa.Table) -> None:
    """Refuse legacy rows from now on; what is there is not looked at.

    MariaDB copies the table for a constraint of the table, and changes only
    its definition for the same constraint written behind a column.
    """
    if has_check(op.get_bind(), table):
        return
    dialect = _dialect(op)
    text = _condition(op, table)
    name = models.constraint_name(table)
    if dialect in MARIADB:
        state = spell(op, models.added_columns()[0])
        _alter(op, table, [f'MODIFY COLUMN {state} CHECK ({text})'])
    elif dialect == 'postgresql':
        with op.get_context().autocommit_block():
            op.execute(
                f'ALTER TABLE {table.name} ADD CONSTRAINT {name}'
                f' CHECK ({text}) NOT VALID'
            )
    else:
        with op.batch_alter_table(table.name, recreate='always') as batch:
            batch.create_check_constraint(name, sa.text(text))


def _condition(op: Operations, table: sa.Table) -> str:
    clause = clauses.consistent(table).compile(
        dialect=op.get_context().dialect,
        compile_kwargs={'literal_binds': True, 'include_table': False},
    )
    return str(clause)


def check_of(op: Operations, table: sa.Table) -> tuple[str, str]:
    """Return the name and the condition of contract's check."""
    return models.constraint_name(table), _condition(op, table)


def validate_check(op: Operations, table: sa.Table) -> None:
    """Make PostgreSQL look at the rows that were there before the check."""
    if _dialect(op) == 'postgresql':
        names = _checks(op.get_bind(), table)
        with op.get_context().autocommit_block():
            for name in names:
                op.execute(
                    f'ALTER TABLE {table.name} VALIDATE CONSTRAINT {name}'
                )


def drop_check(op: Operations, table: sa.Table) -> None:
    """Let legacy rows be written again."""
    if not has_check(op.get_bind(), table):
        return
    dialect = _dialect(op)
    if dialect in MARIADB:
        state = spell(op, models.added_columns()[0])
        _alter(op, table, [f'MODIFY COLUMN {state}'])
        return
    names = _checks(op.get_bind(), table)
    if dialect == 'postgresql':
        # Outside of the revision's transaction, as it was added: contract
        # takes it back when it has to refuse.
        with op.get_context().autocommit_block():
            for name in names:
                op.drop_constraint(name, table.name)
        return
    with op.batch_alter_table(table.name, recreate='always') as batch:
        for name in names:
            batch.drop_constraint(name, type_='check')


def require_canonical(connection: sa.Connection) -> None:
    """Refuse to go on while a row is neither canonical nor without status.

    :raises LegacyRowsRemain: with a count and examples
    """
    look_anew(connection)
    for table in models.TABLES:
        rows = connection.execute(_not_canonical(table)).all()
        if rows:
            raise exception.LegacyRowsRemain(
                count=sum(row.rows for row in rows),
                table=table.name,
                examples=', '.join(
                    sorted(f'{row.kind} {row.said!r}' for row in rows)[:5]
                ),
            )


def _not_canonical(table: sa.Table) -> sa.Select[Any]:
    kind = clauses.text_of(table.c.migration_type).label('kind')
    exact = clauses.exact(table.c.status)
    said = sa.func.max(table.c.status).label('said')
    return (
        sa.select(kind, said, sa.func.count().label('rows'))
        .where(sa.not_(clauses.consistent(table)))
        .group_by(kind, exact)
    )


#: What the session had, from its URL or the server, is kept in a variable.
_MARIADB_TIMEOUT = (
    'SET @nova_migration_lock_wait = @@SESSION.lock_wait_timeout,'
    ' SESSION lock_wait_timeout = {seconds}',
    'SET SESSION lock_wait_timeout = @nova_migration_lock_wait',
)
_TIMEOUTS = {
    **dict.fromkeys(MARIADB, _MARIADB_TIMEOUT),
    'postgresql': ("SET lock_timeout = '{seconds}s'", 'RESET lock_timeout'),
    # Milliseconds; Python's own default afterwards.
    'sqlite': (
        'PRAGMA busy_timeout = {seconds}000',
        'PRAGMA busy_timeout = 5000',
    ),
}


@contextlib.contextmanager
def lock_timeout(connection: sa.Connection) -> Iterator[None]:
    """Give up soon on a lock, rather than queue and hold up every writer.

    :raises LockTimeout: somebody held a table for too long
    """
    before, after = _TIMEOUTS.get(connection.dialect.name, (None, None))
    _execute(connection, before)
    try:
        with _locking_at_once(connection):
            yield
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        if not errors.is_lock_timeout(error):
            raise
        raise exception.LockTimeout(
            table=' or '.join(table.name for table in models.TABLES),
            seconds=LOCK_TIMEOUT,
        ) from error
    finally:
        _set_back(connection, after)


def _set_back(connection: sa.Connection, statement: str | None) -> None:
    """Make a connection ready for the pool, and for work that may wait.

    Where that is impossible the pool makes another one; what is to be told
    is the error that comes before this one.
    """
    try:
        connection.rollback()
        _execute(connection, statement)
    except (db_exc.DBError, sa_exc.DBAPIError):
        connection.invalidate()


@contextlib.contextmanager
def _locking_at_once(connection: sa.Connection) -> Iterator[None]:
    """Have SQLite's transactions begin with the lock of who writes.

    In one that began by reading it does not wait for that lock while somebody
    else waits for the readers, but gives up.
    """
    if connection.dialect.name != 'sqlite':
        yield
        return
    hook = ('before_cursor_execute', _begin_immediate)
    sa.event.listen(connection, *hook, retval=True)
    try:
        yield
    finally:
        sa.event.remove(connection, *hook)


def _begin_immediate(
    _connection: sa.Connection,
    _cursor: Any,
    statement: str,
    parameters: Any,
    _context: Any,
    _many: bool,
) -> tuple[str, Any]:
    """Change what oslo.db begins transactions with."""
    if statement == 'BEGIN':
        statement = 'BEGIN IMMEDIATE'
    return statement, parameters


def _execute(connection: sa.Connection, statement: str | None) -> None:
    if statement:
        connection.exec_driver_sql(statement.format(seconds=LOCK_TIMEOUT))
        connection.commit()
