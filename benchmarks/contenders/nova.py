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

"""Nova's own code; only for a process that has none of our objects."""

import logging
import time
from typing import Any

from nova import context as nova_context
from nova.db.main import api as nova_db_api
from nova.db.main import models as nova_models
from nova.objects import base as nova_base
from nova.objects import fields as nova_fields
from nova.objects import migration as nova_migration_object
import sqlalchemy as sa

from benchmarks.contenders import load
from benchmarks.contenders import write

logging.disable(logging.INFO)


def context_of(url: str, read_deleted: str = 'no') -> Any:
    """Return an administrator's context with a cell's database."""
    context = nova_context.get_admin_context(read_deleted=read_deleted)
    context.db_connection = nova_db_api.create_context_manager(connection=url)
    return context


class Save(write.Contender):
    """Assign the status and ``Migration.save()``."""

    def connect(self) -> None:
        self.context = context_of(self.url)

    def prepare(self) -> None:
        self.objects = {
            row_id: nova_migration_object.Migration.get_by_id(
                self.context, row_id
            )
            for row_id in self.ids
        }

    def move(self, row_id: int) -> None:
        migration = self.objects[row_id]
        migration.status = write.TARGET.legacy
        migration.save()


class List(load.Contender):
    """``MigrationList``, of 27 columns."""

    def connect(self) -> None:
        self.context = context_of(self.url)

    def load(self) -> Any:
        return nova_migration_object.MigrationList.get_by_filters(
            self.context, {}
        )


class Upgrade:
    """A data migration as Nova writes its own: objects, loaded and saved.

    Nova's model and object learn the new column first, as they would in the
    release that adds it. The next rows are found as Nova finds them, by what
    is not done yet and a LIMIT.
    """

    def __init__(self, url: str):
        nova_models.Migration.state = sa.Column(sa.String(32))
        self._object = nova_base.NovaObjectRegistry.register(
            type(
                'Migration',
                (nova_migration_object.Migration,),
                {'fields': {'state': nova_fields.StringField(nullable=True)}},
            )
        )
        self._context = context_of(url, read_deleted='yes')
        self._done: list[int] = []

    def find(self, limit: int = 50) -> dict[str, float]:
        """Find the next rows; return milliseconds."""
        began = time.perf_counter()
        with nova_db_api.get_context_manager(self._context).reader.using(
            self._context
        ) as session:
            self._next(session, limit)
        return {'ms': 1e3 * (time.perf_counter() - began)}

    def migrate(self, count: int, limit: int = 50) -> dict[str, float]:
        """Migrate so many rows, or those that are left; return rows/s."""
        done = 0
        began = time.perf_counter()
        while done < count:
            more = self._batch(min(limit, count - done))
            if not more:
                break
            done += more
        return {'rows/s': done / (time.perf_counter() - began)}

    def undo(self) -> None:
        """Make the rows that were migrated legacy ones again."""
        model = nova_models.Migration
        writer = nova_db_api.get_context_manager(self._context).writer
        with writer.using(self._context) as session:
            session.query(model).filter(model.id.in_(self._done)).update(
                {'state': None}, synchronize_session=False
            )
        self._done = []

    @staticmethod
    def _next(session: Any, limit: int) -> Any:
        model = nova_models.Migration
        query = session.query(model).filter(model.state.is_(None))
        return query.filter(model.deleted == 0).limit(limit).all()

    def _batch(self, limit: int) -> int:
        writer = nova_db_api.get_context_manager(self._context).writer
        with writer.using(self._context) as session:
            found = [
                self._object._from_db_object(
                    self._context, self._object(self._context), row
                )
                for row in self._next(session, limit)
            ]
        for migration in found:
            migration.state = migration.status
            migration.save()
        self._done += [migration.id for migration in found]
        return len(found)
