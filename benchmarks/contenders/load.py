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

"""A list of rows, loaded in every way there is."""

import gc
import time
from typing import Any

import sqlalchemy as sa

from benchmarks.contenders import drivers
from nova_migration.db import nova_schema


class Contender:
    """Loads the rows of a table that are not soft-deleted."""

    def __init__(self, url: str):
        self.url = url
        self.connect()

    def connect(self) -> None:
        """Open what is kept open between the loads."""

    def load(self) -> Any:
        """Return every row."""
        raise NotImplementedError

    def run(self) -> dict[str, float]:
        """Load; return microseconds a row."""
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        found = self.load()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        share = 1e6 / len(found)
        return {'us': wall * share, 'CPU us': cpu * share}


class Driver(Contender):
    """The driver alone: tuples of the 27 columns of Nova's."""

    def connect(self) -> None:
        names = nova_schema.define(sa.MetaData())[0].c.keys()
        self.connection = drivers.connect(self.url)
        self.query = (
            f'SELECT {", ".join(names)} FROM {nova_schema.MAIN}'
            ' WHERE deleted = 0'
        )

    def load(self) -> Any:
        cursor = self.connection.cursor()
        cursor.execute(self.query)
        return cursor.fetchall()


class Core(Contender):
    """SQLAlchemy Core: rows of the 27 columns of Nova's."""

    def connect(self) -> None:
        self.engine = sa.create_engine(self.url)
        table = nova_schema.define(sa.MetaData())[0]
        self.query = sa.select(table).where(table.c.deleted == 0)

    def load(self) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(self.query).all()
