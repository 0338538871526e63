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

"""The guard behind Nova's functions: what reaches the database around them.

The first access of a process opens the database, and so loads the drop-in,
while a function of Nova's is already running. A tool may hold a function
that it imported before, or write through a session. So a status is also
guarded where a session writes its objects, and a statement that writes one
in any other way is stopped where it is executed.
"""

from collections.abc import Iterator
from typing import Any

from nova.db.main import models as nova_models
from oslo_log import log as logging
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import orm

from nova_migration import exception
from nova_migration.conf import opts
from nova_migration.integration.dropin import engines
from nova_migration.integration.dropin import guard
from nova_migration.integration.dropin import options

LOG = logging.getLogger(__name__)


def install() -> None:
    """Guard every session and statement; doing so twice does no harm."""
    for target, name, listener in (
        (orm.Session, 'before_flush', _guard),
        (sa.Engine, 'before_execute', _stop),
    ):
        if not event.contains(target, name, listener):
            event.listen(target, name, listener)


def _guard(session: Any, _flush: Any, _objects: Any) -> None:
    """Write what a session is about to write, as Nova's functions would.

    Nothing is left for the session to do. An error leaves the objects as
    they are: nothing of them has been written.
    """
    created = list(_migrations(session.new))
    changed = [m for m in _migrations(session.dirty) if _has_changed(m)]
    if not (created or changed) or not _is_guarded(session):
        return
    for migration in created:
        _create(session, migration)
    for migration in changed:
        guard.change(session, migration.id, _changes(migration))
        session.refresh(migration)


def _migrations(objects: Any) -> Iterator[Any]:
    return (o for o in objects if isinstance(o, nova_models.Migration))


def _is_guarded(session: Any) -> bool:
    # Opened first, so that the database has been looked at.
    mapper = {'mapper': nova_models.Migration}
    connection = session.connection(bind_arguments=mapper)
    return engines.is_expanded(connection.dialect)


def _create(session: Any, migration: Any) -> None:
    """Insert a row; its object is that of a row which was there before."""
    table = nova_models.Migration.__table__
    loaded = migration.__dict__
    values = {c.key: loaded[c.key] for c in table.c if c.key in loaded}
    # Only what is being copied has a time of creation.
    is_copy = 'created_at' in values
    session.expunge(migration)
    migration.id = guard.add(session, values, is_copy=is_copy)
    orm.make_transient_to_detached(migration)
    session.add(migration)
    session.refresh(migration)


def _has_changed(migration: Any) -> bool:
    changed: bool = sa.inspect(migration).attrs.status.history.has_changes()
    return changed


def _changes(migration: Any) -> dict[str, Any]:
    attributes = sa.inspect(migration).attrs
    return {
        column.key: attributes[column.key].value
        for column in nova_models.Migration.__table__.c
        if attributes[column.key].history.has_changes()
    }


def _stop(
    connection: sa.Connection,
    statement: Any,
    multiparams: Any,
    params: Any,
    _options: Any,
) -> None:
    """Refuse a statement that writes a status past every guard.

    The guards themselves write by a table of their own.

    :raises UnguardedWrite: in the mode enforce
    """
    if not _is_of_nova(statement):
        return
    # What has no name is the attribute, which the model reads as a CASE.
    if not {'status', None} & _written(statement, multiparams, params):
        return
    if not engines.is_expanded(connection.dialect):
        return
    mode = options.mode()
    if mode == opts.Mode.ENFORCE:
        raise exception.UnguardedWrite()
    if mode == opts.Mode.WARN:
        LOG.warning(
            'A bulk INSERT or UPDATE writes the status of migrations, which'
            ' no machine can be asked about. It is let through.'
        )


def _is_of_nova(statement: Any) -> bool:
    if not isinstance(statement, sa.Insert | sa.Update):
        return False
    # What the ORM executes has a copy of the table.
    table: Any = statement.table
    known = nova_models.Migration.__table__
    return (
        getattr(table, 'name', None),
        getattr(table, 'metadata', None),
    ) == (
        known.name,
        known.metadata,
    )


def _written(statement: Any, multiparams: Any, params: Any) -> set[str | None]:
    """Return the names of the columns that a statement writes."""
    if getattr(statement, '_multi_values', None):
        # Rows without names have a value for each column.
        return set(nova_models.Migration.__table__.c.keys())
    named: list[Any] = [*(statement._values or ()), *(params or ())]
    named += [name for row in multiparams or () for name in row]
    named += getattr(statement, '_select_names', None) or ()
    ordered = getattr(statement, '_ordered_values', None) or ()
    named += [column for column, _value in ordered]
    return {getattr(column, 'key', column) for column in named}
