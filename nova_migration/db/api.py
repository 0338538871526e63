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

"""The queries of Nova's database API on migrations, answered from the table.

Each takes a :class:`~nova_migration.db.engine.Database` and returns rows
with every column. Which rows are soft-deleted matters to some of Nova's
queries and not to others; each one here keeps to what Nova 34's does.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import datetime
from typing import Any

from oslo_db.sqlalchemy import utils as db_utils
from oslo_utils import timeutils
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import clauses
from nova_migration.db import engine as engine_mod
from nova_migration.db import forgiving
from nova_migration.db import galera
from nova_migration.db import models
from nova_migration.states import MigrationFlag
from nova_migration.states import words

_T = models.MIGRATIONS

# One odd row would hide all others.
_ALL = forgiving.select(*_T.c)

#: What a context's ``read_deleted`` makes of a query, as in Nova.
_READ_DELETED = {
    'no': _ALL.where(_T.c.deleted == 0),
    'yes': _ALL,
    'only': _ALL.where(_T.c.deleted != 0),
}

Rows = Sequence[sa.Row[Any]]


def _all(database: engine_mod.Database, query: sa.Select[Any]) -> Rows:
    return database.run(
        lambda connection: connection.execute(query).all(), repeatable=True
    )


def _one(
    database: engine_mod.Database,
    query: sa.Select[Any],
    error: exception.NovaMigrationError,
) -> sa.Row[Any]:
    row = database.run(
        lambda connection: connection.execute(query).first(), repeatable=True
    )
    if row is None:
        raise error
    return row


def create(
    database: engine_mod.Database, values: Mapping[str, Any]
) -> sa.Row[Any]:
    """Insert a row and return it as stored.

    ``created_at`` is set to now, as Nova's model does it.
    """
    known = {'created_at': timeutils.utcnow(), 'deleted': 0, **values}

    def insert(connection: sa.Connection) -> sa.Row[Any]:
        result = connection.execute(sa.insert(_T).values(known))
        (key,) = result.inserted_primary_key or (None,)
        return connection.execute(_ALL.where(_T.c.id == key)).one()

    return database.run(insert)


def update(
    database: engine_mod.Database, row_id: int, values: Mapping[str, Any]
) -> sa.Row[Any]:
    """Change columns that are neither status nor state; return the row.

    :raises MigrationNotFound: there is no such row
    """
    known = {'updated_at': timeutils.utcnow(), **values}

    def write(connection: sa.Connection) -> sa.Row[Any] | None:
        if values:
            connection.execute(
                sa.update(_T).where(_T.c.id == row_id).values(known)
            )
        return connection.execute(_ALL.where(_T.c.id == row_id)).first()

    row = database.run(write)
    if row is None:
        raise exception.MigrationNotFound(migration_id=row_id)
    return row


def get(database: engine_mod.Database, row_id: int) -> sa.Row[Any]:
    """Return the row of an id, soft-deleted or not.

    :raises MigrationNotFound: there is no such row
    """
    return _one(
        database,
        _ALL.where(_T.c.id == row_id),
        exception.MigrationNotFound(migration_id=row_id),
    )


def get_committed(database: engine_mod.Database, row_id: int) -> sa.Row[Any]:
    """Return a row as any node of a Galera cluster has committed it before.

    :raises MigrationNotFound: there is no such row
    """
    query = _ALL.where(_T.c.id == row_id)

    def read(connection: sa.Connection) -> sa.Row[Any] | None:
        with galera.caught_up(connection):
            return connection.execute(query).first()

    row = database.run(read, repeatable=True)
    if row is None:
        raise exception.MigrationNotFound(migration_id=row_id)
    return row


def get_by_uuid(database: engine_mod.Database, uuid: str) -> sa.Row[Any]:
    """Return the row of a uuid, soft-deleted or not.

    :raises MigrationNotFound: there is no such row
    """
    return _one(
        database,
        _ALL.where(_T.c.uuid == uuid),
        exception.MigrationNotFound(migration_id=uuid),
    )


def get_by_id_and_instance(
    database: engine_mod.Database, row_id: int, instance_uuid: str
) -> sa.Row[Any]:
    """Return the row of an id if it is the instance's and not deleted.

    :raises MigrationNotFoundForInstance: there is no such row
    """
    return _one(
        database,
        _READ_DELETED['no'].where(
            _T.c.id == row_id, _T.c.instance_uuid == instance_uuid
        ),
        exception.MigrationNotFoundForInstance(
            migration_id=row_id, instance_id=instance_uuid
        ),
    )


def get_by_instance_and_status(
    database: engine_mod.Database, instance_uuid: str, status: str
) -> sa.Row[Any]:
    """Return the newest row of an instance with a legacy status.

    Nova takes any one of several; the newest is the one that callers mean.

    :param status: a string as Nova 34 writes it, such as ``finished``
    :raises MigrationNotFoundByStatus: there is none
    """
    query = _ALL.where(
        _T.c.instance_uuid == instance_uuid,
        clauses.legacy_status_in(_T, [status]),
    ).order_by(_T.c.id.desc())
    return _one(
        database,
        query.limit(1),
        exception.MigrationNotFoundByStatus(
            instance_id=instance_uuid, status=status
        ),
    )


def get_unconfirmed_by_dest_compute(
    database: engine_mod.Database, confirm_window: int, dest_compute: str
) -> Rows:
    """Return what has waited on a host for confirmation for too long.

    :param confirm_window: seconds since ``updated_at``
    """
    since = timeutils.utcnow() - datetime.timedelta(seconds=confirm_window)
    return _all(
        database,
        _ALL.where(
            _T.c.updated_at <= since,
            _T.c.dest_compute == dest_compute,
            clauses.has_flag(_T, MigrationFlag.UNCONFIRMED),
        ),
    )


def _on(host: str, node: str) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.and_(_T.c.source_compute == host, _T.c.source_node == node),
        sa.and_(_T.c.dest_compute == host, _T.c.dest_node == node),
    )


def get_in_progress_by_host_and_node(
    database: engine_mod.Database,
    host: str,
    node: str,
    read_deleted: str = 'no',
) -> Rows:
    """Return the moves from or to a node that are not over."""
    in_progress = clauses.not_over(_T, MigrationFlag.IN_PROGRESS)
    query = _READ_DELETED[read_deleted]
    return _all(database, query.where(_on(host, node), in_progress))


def get_in_progress_and_error_by_host_and_node(
    database: engine_mod.Database,
    host: str,
    node: str,
    read_deleted: str = 'no',
) -> Rows:
    """Return the moves from or to a node that it accounts for."""
    tracked = clauses.not_over(_T, MigrationFlag.TRACKED)
    query = _READ_DELETED[read_deleted]
    return _all(database, query.where(_on(host, node), tracked))


def get_in_progress_by_instance(
    database: engine_mod.Database,
    instance_uuid: str,
    migration_type: str | None = None,
    read_deleted: str = 'no',
) -> Rows:
    """Return the moves of an instance that the REST API lists."""
    query = _READ_DELETED[read_deleted].where(
        _T.c.instance_uuid == instance_uuid,
        clauses.has_flag(_T, MigrationFlag.LISTED),
    )
    if migration_type:
        query = query.where(_T.c.migration_type == migration_type)
    return _all(database, query)


def get_evacuated_twice(database: engine_mod.Database) -> Rows:
    """Return the servers with more than one open evacuation from a host.

    Such a host cleans up for one of them. For what is left Nova refuses to
    take the host for up, or has it destroy the guest again, even if that has
    come back to it. Open is what the returning source host would look for.

    :returns: ``instance_uuid``, ``source_compute`` and ``evacuations`` (how
        many) of each
    """
    where = _T.c.instance_uuid, _T.c.source_compute
    count = sa.func.count()
    query = (
        sa.select(*where, count.label('evacuations'))
        .where(
            _T.c.deleted == 0,
            _T.c.instance_uuid.is_not(None),
            clauses.has_flag(_T, MigrationFlag.DOOMED_SOURCE),
        )
        .group_by(*where)
        .having(count > 1)
        .order_by(*where)
    )
    return _all(database, query)


_Condition = Callable[[Any], sa.ColumnElement[bool]]

_CONDITIONS: Mapping[str, _Condition] = {
    'uuid': lambda v: _T.c.uuid.in_(_words(v)),
    'status': lambda v: clauses.legacy_status_in(_T, _words(v)),
    'state': lambda v: clauses.in_any_state(_T, _words(v)),
    'flag': lambda v: clauses.has_flag(_T, MigrationFlag(v)),
    'not-flag': lambda v: sa.not_(clauses.has_flag(_T, MigrationFlag(v))),
    'host': lambda v: sa.or_(_T.c.source_compute == v, _T.c.dest_compute == v),
    'source_compute': lambda v: _T.c.source_compute == v,
    'node': lambda v: sa.or_(_T.c.source_node == v, _T.c.dest_node == v),
    'migration_type': lambda v: _T.c.migration_type == v,
    'hidden': lambda v: _T.c.hidden == v,
    'instance_uuid': lambda v: _T.c.instance_uuid == v,
    'user_id': lambda v: _T.c.user_id == v,
    'project_id': lambda v: _T.c.project_id == v,
    'changes-since': lambda v: _T.c.updated_at >= _naive(v),
    'changes-before': lambda v: _T.c.updated_at <= _naive(v),
    'inconsistent': lambda v: sa.and_(
        _T.c.state.is_not(None),
        sa.not_(clauses.consistent(_T)) if v else clauses.consistent(_T),
    ),
    'unchanged-since': lambda v: state_since(_T) <= _naive(v),
}


def _words(value: str | Collection[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _filtered(filters: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of Nova's filters and ours; others are ignored.

    A host stands for both ends, and makes a source alone superfluous.
    """
    superfluous = {'source_compute'} if 'host' in filters else set()
    return [
        condition(filters[name])
        for name, condition in _CONDITIONS.items()
        if name in filters and name not in superfluous
    ]


def state_since(table: sa.Table) -> sa.ColumnElement[Any]:
    """Return since when a row is in its state, as far as the row knows."""
    row = table.c
    return sa.func.coalesce(
        row.state_changed_at, row.updated_at, row.created_at
    )


def _naive(value: datetime.datetime | str) -> datetime.datetime:
    if isinstance(value, str):
        value = timeutils.parse_isotime(value)
    return timeutils.normalize_time(value)


def _sorting(
    keys: Sequence[str] | None, directions: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Return the keys with ``created_at`` and ``id`` behind them.

    :raises ValueError: more directions than keys, or not one
    """
    all_keys, all_directions = list(keys or ()), list(directions or ())
    for direction in all_directions:
        if direction not in ('asc', 'desc'):
            raise words.UnknownWord(
                what='sort direction', word=direction, valid=('asc', 'desc')
            )
    if keys and len(all_directions) > len(all_keys):
        raise ValueError('More sort directions than sort keys.')
    default = all_directions[0] if all_directions else 'desc'
    all_keys += [k for k in ('created_at', 'id') if k not in all_keys]
    missing = len(all_keys) - len(all_directions)
    return all_keys, (all_directions + [default] * missing)[: len(all_keys)]


def get_all_by_filters(
    database: engine_mod.Database,
    filters: Mapping[str, Any],
    *,
    sort_keys: Sequence[str] | None = None,
    sort_dirs: Sequence[str] | None = None,
    limit: int | None = None,
    marker: str | None = None,
    read_deleted: str = 'no',
) -> Rows:
    """Return the rows that match Nova's filters, sorted and paged.

    :param filters: ``status`` is a legacy string or several of them, whatever
        they are; ``state`` (states), ``flag`` and ``not-flag`` (one each) and
        ``unchanged-since`` (a time) and ``inconsistent`` are ours
    :param sort_dirs: ``asc`` or ``desc`` for each key; newest first otherwise
    :param marker: the uuid of the row before the first one wanted
    :param read_deleted: ``no``, ``yes`` or ``only``
    :raises MarkerNotFound: there is no such row
    :raises UnknownWord: for a state that no machine has
    :raises InvalidSortKey: oslo.db's, for a column that is not there
    """
    if limit == 0:
        return []
    query = _READ_DELETED[read_deleted].where(*_filtered(filters))
    if not (limit or marker or sort_keys or sort_dirs):
        return _all(database, query)
    keys, directions = _sorting(sort_keys, sort_dirs)
    page: sa.Select[Any] = db_utils.paginate_query(
        query,
        models.Migration,
        limit,
        keys,
        marker=_marker(database, marker),
        sort_dirs=directions,
    )
    return _all(database, page)


#: How many rows are in memory at a time while all are gone through.
CHUNK = 1000


def each_by_filters(
    database: engine_mod.Database,
    filters: Mapping[str, Any],
    *,
    before: int | None = None,
    limit: int | None = None,
    read_deleted: str = 'no',
) -> Iterator[sa.Row[Any]]:
    """Yield the rows that match filters, the newest first, in chunks.

    Each row once, whatever is inserted meanwhile: each chunk goes on below
    the last id. A row is as it is when its chunk is read.

    :param filters: as :func:`get_all_by_filters` has them
    :param before: the id above the first one wanted
    :param limit: no more than so many
    :raises UnknownWord: for a state that no machine has
    """
    query = _READ_DELETED[read_deleted].where(*_filtered(filters))
    query = query.order_by(_T.c.id.desc())
    while limit is None or limit > 0:
        size = CHUNK if limit is None else min(CHUNK, limit)
        page = query if before is None else query.where(_T.c.id < before)
        rows = _all(database, page.limit(size))
        yield from rows
        if len(rows) < size:
            return
        before = rows[-1].id
        limit = limit and limit - size


def _marker(
    database: engine_mod.Database, uuid: str | None
) -> sa.Row[Any] | None:
    if uuid is None:
        return None
    try:
        return get_by_uuid(database, uuid)
    except exception.MigrationNotFound as error:
        raise exception.MarkerNotFound(marker=uuid) from error
