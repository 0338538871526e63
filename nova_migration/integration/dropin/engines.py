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

"""Which engines go to a database that has been expanded.

One process may open several cells, and one of them may be waiting for its
expand; so that is known of each engine.
"""

import threading

from oslo_log import log as logging
import sqlalchemy as sa
from sqlalchemy import event

from nova_migration.db import errors
from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.integration.dropin import looks

LOG = logging.getLogger(__name__)

#: The databases that the log has been told of, reader and writer being one.
_announced: set[str] = set()

_noting = threading.Lock()


def watch() -> None:
    """Look at each database when the first connection to it is opened."""
    if not event.contains(sa.Engine, 'engine_connect', _looks.look):
        event.listen(sa.Engine, 'engine_connect', _looks.look)


def is_expanded(dialect: sa.Dialect) -> bool:
    """Return whether the engine's database has our columns.

    It is what was found when the process first connected: a database that
    is expanded later is taken up by a restart.
    """
    return _looks.answer(dialect) or False


def goes_to_expanded(engine: sa.Engine) -> bool:
    """Return :func:`is_expanded`, after a first look if there was none."""
    if _looks.answer(engine.dialect) is None:
        with engine.connect() as connection:
            _looks.look(connection)
    return is_expanded(engine.dialect)


def look_again(engine: sa.Engine) -> bool:
    """Look at a database now, as a restarted process would.

    :returns: whether it has our columns
    """
    _looks.forget(engine.dialect)
    _announced.discard(errors.shown(engine.url))
    engine.clear_compiled_cache()
    return goes_to_expanded(engine)


def _found(connection: sa.Connection) -> bool:
    if not looks.has_database(connection):
        return False
    inspector = sa.inspect(connection)
    names = (nova_schema.MAIN, nova_schema.SHADOW)
    if not all(inspector.has_table(name) for name in names):
        # An API database, or one that Nova has still to create.
        return False
    wanted = {column.name for column in models.added_columns()}
    found = [
        wanted <= {column['name'] for column in inspector.get_columns(name)}
        for name in names
    ]
    _announce(connection.engine, all(found))
    return all(found)


def _announce(engine: sa.Engine, expanded: bool) -> None:
    name = errors.shown(engine.url)
    with _noting:
        if name in _announced:
            return
        _announced.add(name)
    if expanded:
        LOG.info('nova_migration guards the migrations of %s', name)
        return
    LOG.warning(
        'nova_migration does nothing for %s: the database is not expanded.'
        " Run 'nova-migration-manage db upgrade --expand' on it and restart"
        ' this service.',
        name,
    )


_looks = looks.FirstLook(_found)
