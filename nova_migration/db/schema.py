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

"""The schema's versions: two alembic branches, expand and contract.

The version table has a name of its own, because a Nova cell database has
Nova's ``alembic_version`` already.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import io
import itertools
import logging
import pathlib
from typing import Any

import alembic.command
import alembic.config
from alembic.runtime import migration
from alembic.script import ScriptDirectory
import alembic.util
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

import nova_migration
from nova_migration import exception
from nova_migration.db import adopt
from nova_migration.db import ddl
from nova_migration.db import engine as engine_mod
from nova_migration.db import errors
from nova_migration.db import fence
from nova_migration.db import galera
from nova_migration.db import models
from nova_migration.db import script as script_mod

LOG = logging.getLogger(__name__)

VERSION_TABLE = models.VERSION_TABLE
EXPAND = 'expand'
CONTRACT = 'contract'


def script_location() -> pathlib.Path:
    """Return the folder of the alembic scripts.

    It is in the package when that was installed from a wheel, and beside the
    package in a checkout; beside an installed package stands the library of
    the same name, which has no ``env.py``.

    :raises ScriptsMissing: neither is there
    """
    package = pathlib.Path(nova_migration.__file__).resolve().parent
    candidates = (package / 'alembic', package.parent / 'alembic')
    for candidate in candidates:
        if (candidate / 'env.py').is_file():
            return candidate
    raise exception.ScriptsMissing(looked=', '.join(map(str, candidates)))


def config(connection: sa.Connection | None = None) -> alembic.config.Config:
    """Return alembic's configuration; ConfigParser takes % for its own."""
    made = alembic.config.Config()
    location = str(script_location()).replace('%', '%%')
    made.set_main_option('script_location', location)
    made.set_main_option('path_separator', 'os')
    made.attributes['connection'] = connection
    return made


@contextlib.contextmanager
def _connected(database: engine_mod.Database) -> Iterator[sa.Connection]:
    """Connect for DDL, which waits only so long for a table."""
    with (
        engine_mod.explained(database.engine, preparing=True),
        database.engine.connect() as connection,
        ddl.lock_timeout(connection),
        galera.caught_up(connection),
    ):
        ddl.require_supported(connection)
        # In a transaction of somebody else's alembic would commit nothing.
        connection.commit()
        yield connection


def _run(
    database: engine_mod.Database, command: Callable[..., None], target: str
) -> None:
    held = current(database)
    try:
        with _connected(database) as connection, _alone(database):
            command(config(connection), target)
    except alembic.util.CommandError as error:
        raise exception.ContradictoryRevisions(
            table=VERSION_TABLE,
            revisions=', '.join(held),
            reason=errors.first_line(error),
        ) from error


@contextlib.contextmanager
def _alone(database: engine_mod.Database) -> Iterator[None]:
    """Say so where another command has come in between.

    That is possible for programs that hold no lock, and for commands on two
    nodes of a Galera cluster, where a lock is known to one node only.
    """
    try:
        yield
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        if not errors.is_beside_ddl(error):
            raise
        raise _another(database, error) from error
    except alembic.util.CommandError as error:
        # It has no class of its own, unlike what is wrong with revisions.
        if 'expected to match one row' not in str(error):
            raise
        raise _another(database, error) from error


def _another(
    database: engine_mod.Database, error: Exception
) -> exception.AnotherAtWork:
    return exception.AnotherAtWork(
        url=errors.shown(database.engine.url),
        reason=f'it has changed the schema meanwhile'
        f' ({errors.first_line(error)})',
    )


def expand(database: engine_mod.Database, create: bool = False) -> None:
    """Add our columns and index; code that knows nothing of them goes on.

    A table that was made anew since, as from a dump, gets them again.

    :param create: make Nova's two tables in an empty database
    :raises NotACell: there are none of the tables, and it is not empty
    :raises EmptyDatabase: it is empty, and nobody said ``create``
    :raises UnknownSchema: the tables are not Nova 34's
    :raises UnknownRevision: a release was here that is not known
    :raises LockTimeout: somebody held a table for too long
    """
    # Before alembic makes its version table: a database that is refused must
    # be left as it was.
    with (
        engine_mod.explained(database.engine, preparing=True),
        database.engine.begin() as connection,
    ):
        adopt.require_cell(connection, create)
        adopt.check(connection)
    take_back(database)
    if _is_stamped(database, EXPAND) and not is_expanded(database):
        _run(
            database,
            functools.partial(alembic.command.stamp, purge=True),
            'base',
        )
    _run(database, alembic.command.upgrade, f'{EXPAND}@head')


def contract(database: engine_mod.Database) -> None:
    """Make it impossible to write a legacy row.

    :raises NotExpanded: our columns are not there yet
    :raises LegacyRowsRemain: there still are some
    :raises LockTimeout: somebody held a table for too long
    """
    require_expanded(database)
    take_back(database)
    if _is_stamped(database, CONTRACT) and not is_contracted(database):
        # Somebody has removed a check; who runs this wants both.
        revert_contract(database)
    _run(database, alembic.command.upgrade, f'{CONTRACT}@head')


def require_expanded(database: engine_mod.Database) -> None:
    """Refuse a database that is not prepared for canonical rows.

    :raises UnknownRevision: another release has prepared it
    :raises NotACell: it has none of the tables
    :raises NotExpanded: our columns are not there yet
    """
    require_known(database)
    engine_mod.require_expanded(database.engine)


def require_known(database: engine_mod.Database) -> None:
    """Refuse a schema that another release has made: it is not touched.

    :raises UnknownRevision: naming the revision
    :raises ContradictoryRevisions: no release leaves that
    """
    current(database)


def revert_contract(database: engine_mod.Database) -> None:
    """Let legacy rows be written again; nothing to do is no error."""
    take_back(database)
    if not _is_stamped(database, CONTRACT):
        if not any(_checks(database)):
            return
        # What a killed contract has added is not in the version table yet.
        _run(database, alembic.command.stamp, f'{CONTRACT}@head')
    _run(database, alembic.command.downgrade, f'{CONTRACT}@{_root()}')


def _checks(database: engine_mod.Database) -> list[bool]:
    """Return for each table whether contract's check is there."""
    with database.transaction() as connection, galera.caught_up(connection):
        return [
            sa.inspect(connection).has_table(table.name)
            and ddl.has_check(connection, table)
            for table in models.TABLES
        ]


def is_fenced(database: engine_mod.Database) -> bool:
    """Return whether a restore that removes our columns keeps states out.

    It may be at work, or have been killed.
    """
    with database.transaction() as connection, galera.caught_up(connection):
        return any(
            fence.standing(connection, table) for table in models.TABLES
        )


def take_back(database: engine_mod.Database) -> None:
    """Take down the fences that killed runs have left.

    A run that is still at work will find its own gone, and drop nothing.
    """
    if not is_fenced(database):
        return
    LOG.warning(
        "Taking back what a 'db restore --drop-columns' has begun and not"
        ' ended: rows may have states again.'
    )
    with _connected(database) as connection:
        for table in models.TABLES:
            with connection.begin():
                names = fence.standing(connection, table)
                fence.take_down(connection, table, *names)


def revert_expand(database: engine_mod.Database) -> None:
    """Remove our columns, index and version table, as far as they are there.

    :raises CanonicalRowsRemain: their states would be lost
    :raises AnotherAtWork: somebody has taken the fence down meanwhile
    """
    require_restored(database)
    # What a killed expand has added is not in the version table yet.
    if not _is_stamped(database, EXPAND):
        _run(database, alembic.command.stamp, f'{EXPAND}@head')
    _run(database, alembic.command.downgrade, 'base')
    table = sa.Table(VERSION_TABLE, sa.MetaData())
    with _connected(database) as connection, connection.begin():
        table.drop(connection, checkfirst=True)


def require_restored(database: engine_mod.Database) -> None:
    """Refuse to go back behind states that rows still have.

    :raises CanonicalRowsRemain: with the table and a count
    """
    with _connected(database) as connection, connection.begin():
        ddl.require_restored(connection)


def is_begun(database: engine_mod.Database) -> bool:
    """Return whether anything of ours is in the database."""
    with database.transaction() as connection, galera.caught_up(connection):
        if sa.inspect(connection).has_table(VERSION_TABLE):
            return True
        ours = {column.name for column in models.added_columns()}
        return any(
            ours & ddl.column_names(connection, table)
            for table in models.TABLES
            if sa.inspect(connection).has_table(table.name)
        )


def present(database: engine_mod.Database) -> frozenset[str]:
    """Return what there is of the schema that this package has to do with.

    Two looks that are equal have nothing between them that was changed.
    """
    with database.transaction() as connection, galera.caught_up(connection):
        inspector = sa.inspect(connection)
        found = {
            f'{table.name} {part}'
            for table in models.TABLES
            if inspector.has_table(table.name)
            for part in _parts(connection, table)
        }
    return frozenset(found.union(current(database)))


def _parts(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    """Yield what a table has: itself, columns, our index, check, fences."""
    yield 'table'
    yield from ddl.column_names(connection, table)
    yield from fence.standing(connection, table)
    indexes = sa.inspect(connection).get_indexes(table.name)
    if models.INDEX in {row['name'] for row in indexes}:
        yield 'index'
    if ddl.has_check(connection, table):
        yield 'check'


def statements(dialect: str, phase: str) -> tuple[str, ...]:
    """Return what a phase may run, without what a client is told besides.

    :param phase: as of :func:`script`
    """
    if dialect in script_mod.COPYING and phase != EXPAND:
        said = '-- copy the table, with its check or columns changed'
        return tuple(f'{said}: {table.name}' for table in models.TABLES)
    lines = _alembic_script(dialect, phase).splitlines()
    kept = (line for line in lines if not line.startswith('--'))
    found = '\n'.join(kept).split(';\n')
    return tuple(s.strip() + ';' for s in found if s.strip())


def script(dialect: str, phase: str) -> str:
    """Return a phase as SQL for the server's client, without asking a server.

    :param dialect: SQLAlchemy's name of it
    :param phase: ``expand``, ``contract``, ``restore`` or ``drop-columns``;
        the last one needs the one before it first
    :raises DatabaseError: SQLite would have to copy tables that are not known
    """
    if dialect in script_mod.COPYING and phase != EXPAND:
        raise exception.DatabaseError(
            reason=f'SQLite changes a check by copying the table, which a'
            f' script of {phase} cannot know: run it without --sql.'
        )
    text = _alembic_script(dialect, phase)
    first = script_mod.STOP_ON_ERROR.get(dialect)
    return f'{first}\n\n{text}' if first else text


def _alembic_script(dialect: str, phase: str) -> str:
    made = config()
    made.output_buffer = io.StringIO()
    made.attributes['dialect'] = dialect
    run, span = _spans()[phase]
    run(made, span, sql=True)
    text = made.output_buffer.getvalue()
    if phase == 'drop-columns':
        text += f'DROP TABLE IF EXISTS {VERSION_TABLE};\n'
    return text


def _spans() -> dict[str, tuple[Callable[..., None], str]]:
    """Return for each phase what alembic runs, from where and to where."""
    expanded, contracted, root = _head(EXPAND), _head(CONTRACT), _root()
    up, down = alembic.command.upgrade, alembic.command.downgrade
    return {
        EXPAND: (up, expanded),
        CONTRACT: (up, f'{expanded}:{contracted}'),
        'restore': (down, f'{contracted}:{CONTRACT}@{root}'),
        'drop-columns': (down, f'{expanded}:{root}'),
    }


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())


def _root() -> str:
    (root,) = _scripts().get_bases()
    return root


def _head(branch: str) -> str:
    revision = _scripts().get_revision(f'{branch}@head')
    assert revision is not None
    return revision.revision


def current(database: engine_mod.Database) -> tuple[str, ...]:
    """Return the revisions that the version table names.

    :raises UnknownRevision: one of them is of another release
    :raises ContradictoryRevisions: they cannot all have been run last
    """
    with (
        engine_mod.explained(database.engine, preparing=True),
        database.engine.connect() as connection,
        galera.caught_up(connection),
    ):
        context = migration.MigrationContext.configure(
            connection, opts={'version_table': VERSION_TABLE}
        )
        found = tuple(sorted(context.get_current_heads()))
    _verify(found)
    return found


def _verify(found: tuple[str, ...]) -> None:
    """Refuse revisions that alembic would stop at half way."""
    known = {script.revision for script in _scripts().walk_revisions()}
    for revision in found:
        # alembic would take the beginning of one for the whole.
        if revision not in known:
            raise exception.UnknownRevision(
                table=VERSION_TABLE, revision=revision
            )
    for one, other in itertools.permutations(found, 2):
        if one in _with_ancestors(other):
            raise exception.ContradictoryRevisions(
                table=VERSION_TABLE,
                revisions=', '.join(found),
                reason=f"'{other}' is run after '{one}' and takes its place",
            )


def _with_ancestors(revision: str) -> set[str]:
    found = _scripts().iterate_revisions(
        revision, 'base', inclusive=True, implicit_base=True
    )
    return {script.revision for script in found}


def applied(database: engine_mod.Database) -> set[str]:
    """Return every revision that has been run, ancestors included.

    :raises UnknownRevision: as :func:`current`
    """
    return {
        revision
        for head in current(database)
        for revision in _with_ancestors(head)
    }


def _is_stamped(database: engine_mod.Database, branch: str) -> bool:
    return _head(branch) in applied(database)


def is_expanded(database: engine_mod.Database) -> bool:
    """Return whether every expand revision has been run.

    What it has added must be there, too: another command may have removed it
    while the revision was run.
    """
    if not _is_stamped(database, EXPAND):
        return False
    if engine_mod.needs_expand(database.engine):
        return False
    with database.transaction() as connection, galera.caught_up(connection):
        return ddl.has_index(connection, models.STATE_INDEX)


def is_contracted(database: engine_mod.Database) -> bool:
    """Return whether every contract revision has been run.

    Both checks must be there, too, as with :func:`is_expanded`.
    """
    return _is_stamped(database, CONTRACT) and all(_checks(database))


def heads() -> dict[str, Any]:
    """Return the newest revision of each branch."""
    return {branch: _head(branch) for branch in (EXPAND, CONTRACT)}
