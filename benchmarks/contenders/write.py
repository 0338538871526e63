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

"""One guarded transition, written in every way there is.

Each contender takes its own rows, one statement and one commit a row, from
the start state of a machine along its first edge.
"""

from collections.abc import Sequence
import gc
import time
from typing import Any

from oslo_context import context
from oslo_db.sqlalchemy import enginefacade
from oslo_utils import timeutils
import sqlalchemy as sa

from benchmarks.contenders import drivers
from nova_migration.db import engine
from nova_migration.db import guard
from nova_migration.db import models
from nova_migration.states import machine_for

KIND = 'live-migration'
MACHINE = machine_for(KIND)
EDGE = next(
    edge
    for edge in MACHINE.table.edges
    if edge.source == MACHINE.table.start.name
)
SOURCE = MACHINE.state(EDGE.source)
TARGET = MACHINE.state(EDGE.target)


class Contender:
    """Moves rows and says how long that took, by the clock and the CPU.

    :param ids: the rows that are its own
    """

    def __init__(self, url: str, ids: Sequence[int]):
        self.url = url
        self.ids = ids
        self.connect()

    def connect(self) -> None:
        """Open what is kept open between the writes."""

    def prepare(self) -> None:
        """Have in hand what a program has that is about to write."""

    def move(self, row_id: int) -> None:
        """Take one row from the source state to the target state."""
        raise NotImplementedError

    def run(self) -> dict[str, float]:
        """Move every row; return microseconds a row."""
        self.prepare()
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        for row_id in self.ids:
            self.move(row_id)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        share = 1e6 / len(self.ids)
        return {'us': wall * share, 'CPU us': cpu * share}


class Driver(Contender):
    """The driver alone, autocommit; Nova's two columns."""

    statement = (
        'UPDATE migrations SET status = %s, updated_at = %s'
        ' WHERE id = %s AND status = %s'
    )

    def connect(self) -> None:
        self.connection = drivers.connect(self.url)
        self.cursor = self.connection.cursor()
        self.statement = drivers.placed(self.url, self.statement)

    def values(self, row_id: int) -> tuple[Any, ...]:
        """Return what the statement is sent with."""
        return TARGET.legacy, now(), row_id, SOURCE.legacy

    def move(self, row_id: int) -> None:
        self.cursor.execute(self.statement, self.values(row_id))
        assert self.cursor.rowcount == 1


class DriverState(Driver):
    """The driver alone, autocommit; the columns that ours writes."""

    statement = (
        'UPDATE migrations SET status = %s, legacy_status = NULL,'
        ' state_changed_at = %s, updated_at = %s, state = %s'
        ' WHERE id = %s AND state = %s'
    )

    def values(self, row_id: int) -> tuple[Any, ...]:
        time_ = now()
        return TARGET.status, time_, time_, TARGET.name, row_id, SOURCE.name


def now() -> Any:
    """Return the time as it is stored; sqlite3 wants to be told how."""
    return timeutils.utcnow().isoformat(' ')


class Core(Contender):
    """SQLAlchemy Core: ``engine.begin()`` and a statement built once."""

    def connect(self) -> None:
        table = models.MIGRATIONS
        self.engine = sa.create_engine(self.url)
        self.statement = (
            sa.update(table)
            .where(
                table.c.id == sa.bindparam('row_id'),
                table.c.status == sa.bindparam('source'),
            )
            .values(
                status=sa.bindparam('target'), updated_at=sa.bindparam('now')
            )
        )

    def values(self, row_id: int) -> dict[str, Any]:
        """Return what the statement is sent with."""
        return {
            'row_id': row_id,
            'source': SOURCE.legacy,
            'target': TARGET.legacy,
            'now': timeutils.utcnow(),
        }

    def move(self, row_id: int) -> None:
        with self.engine.begin() as connection:
            done = connection.execute(self.statement, self.values(row_id))
            assert done.rowcount == 1


@enginefacade.transaction_context_provider
class _Context(context.RequestContext):
    """What an enginefacade hangs its connection on."""


class Facade(Core):
    """The same through oslo.db's ``enginefacade.writer.connection``."""

    def connect(self) -> None:
        super().connect()
        manager = enginefacade.transaction_context()
        manager.configure(connection=self.url)
        self.writer = manager.writer

        self.context = _Context()

    def move(self, row_id: int) -> None:
        with self.writer.connection.using(self.context) as connection:
            done = connection.execute(self.statement, self.values(row_id))
            assert done.rowcount == 1


class UpdateOnMatch(Facade):
    """oslo.db's own compare-and-swap, on a mapped class."""

    def move(self, row_id: int) -> None:
        with self.writer.using(self.context) as session:
            specimen: Any = models.Migration()
            specimen.id, specimen.status = row_id, SOURCE.legacy
            session.query(models.Migration).update_on_match(
                specimen,
                'id',
                {'status': TARGET.legacy, 'updated_at': timeutils.utcnow()},
            )


class Guard(Contender):
    """Ours without an object: ``guard.move``."""

    def connect(self) -> None:
        self.database = engine.from_url(self.url)

    def move(self, row_id: int) -> None:
        guard.move(self.database, row_id, MACHINE, EDGE)
