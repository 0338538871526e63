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

"""The upgrade of a table: ours, and the one UPDATE that is the limit."""

from collections.abc import Iterator
import itertools
import resource
import time

import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import batches
from nova_migration.db import engine
from nova_migration.db import mapping
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade

_T = models.MIGRATIONS


class Ours:
    """What ``db upgrade`` and ``db restore`` run."""

    def __init__(self, url: str):
        self._database = engine.from_url(url)
        self._walk: Iterator[upgrade.Batch] = iter(())

    def _batches(
        self, back: bool, batch_size: int | None
    ) -> Iterator[upgrade.Batch]:
        way = upgrade.restore if back else upgrade.migrate
        if batch_size is None:
            return way(self._database)
        return way(self._database, batch_size=batch_size)

    def run(
        self,
        back: bool = False,
        batch_size: int | None = None,
        most: int | None = None,
    ) -> dict[str, float]:
        """Go one way, for so many rows if told; return rows a second."""
        done = 0
        began = time.perf_counter()
        for batch in self._batches(back, batch_size):
            done += batch.changed
            if most is not None and done >= most:
                break
        took = time.perf_counter() - began
        return {'rows/s': done / took, 'rows': done, 's': took}

    def migrate(
        self, batch_size: int | None, patience: float
    ) -> dict[str, float]:
        """Migrate for so many seconds at most; return rows a second.

        It ends before it is done, too, where a batch is refused. Conflicts are
        tries beyond the first.
        """
        done = conflicts = 0
        began = time.perf_counter()
        try:
            for batch in self._batches(False, batch_size):
                done += batch.changed
                conflicts += batch.tries - 1
                if time.perf_counter() - began > patience:
                    break
        except exception.BatchRefused:
            conflicts += batches.ATTEMPTS - 1
        took = time.perf_counter() - began
        return {'rows/s': done / took, 'rows': done, 'conflicts': conflicts}

    def begin(self, batch_size: int) -> None:
        """Begin to migrate; :meth:`go_on` does it."""
        self._walk = self._batches(False, batch_size)

    def go_on(self, count: int) -> list[float]:
        """Run so many batches; return the milliseconds of each."""
        took = []
        began = time.perf_counter()
        for _batch in itertools.islice(self._walk, count):
            ended = time.perf_counter()
            took.append(1e3 * (ended - began))
            began = ended
        return took

    def peak(self) -> float:
        """Return the most memory that the process has had, in MiB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def schema(self, step: str) -> dict[str, float]:
        """Run a step of the schema's; return seconds, and if it was refused.

        It is where somebody else has the table for too long.
        """
        began = time.perf_counter()
        refused = False
        try:
            getattr(schema, step)(self._database)
        except exception.LockTimeout:
            refused = True
        return {'s': time.perf_counter() - began, 'refused': refused}


class Limit:
    """One UPDATE over the table, which sets the same columns."""

    def __init__(self, url: str):
        self._engine = sa.create_engine(url)

    def run(
        self, back: bool = False, most: int | None = None
    ) -> dict[str, float]:
        """Go one way, up to an id if told; return rows a second."""
        statement = (
            upgrade.to_legacy(_T)
            if back
            else upgrade.to_canonical(_T, mapping.meanings_with())
        )
        if most is not None:
            statement = statement.where(_T.c.id <= most)
        began = time.perf_counter()
        with self._engine.begin() as connection:
            done = connection.execute(statement).rowcount
        took = time.perf_counter() - began
        return {'rows/s': done / took, 'rows': done, 's': took}
