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

"""One guarded transition: ours, the raw driver, Core, oslo.db, Nova."""

from collections.abc import Callable
from collections.abc import Iterator
import functools

import sqlalchemy as sa

from benchmarks import databases
from benchmarks import measure
from benchmarks import scenarios
from benchmarks import worker
from benchmarks.contenders import write
from benchmarks.scenarios import turns
from nova_migration.db import engine
from nova_migration.db import models
from nova_migration.db import schema

_T = models.MIGRATIONS


#: By the name in the tables; the first is what the others are compared to.
CONTENDERS = {
    'driver, autocommit': 'write:Driver',
    'driver, our columns': 'write:DriverState',
    'Core, engine.begin()': 'write:Core',
    'oslo.db writer.connection': 'write:Facade',
    'oslo.db update_on_match': 'write:UpdateOnMatch',
    'ours: guard.move': 'write:Guard',
    'ours: process_event': 'ours:Event',
    'Nova: Migration.save()': 'nova:Save',
}


def run(plan: scenarios.Plan) -> Iterator[measure.Result]:
    """Let each contender move rows of its own."""
    rounds = plan.choose(plan.rounds, 15, 2)
    each = 5 if plan.smoke else 200
    count = plan.choose(plan.rows, 20_000, 100)
    count = max(count, each * len(CONTENDERS))
    with databases.filled(plan.server, count) as cell:
        database = engine.from_url(cell.url)
        schema.expand(database, create=True)
        database.engine.dispose()
        ids = {
            name: list(range(1 + each * number, 1 + each * (number + 1)))
            for number, name in enumerate(CONTENDERS)
        }
        with turns.workers(
            CONTENDERS, lambda name: {'url': cell.url, 'ids': ids[name]}
        ) as at_work:
            samples = measure.in_turn(
                {
                    name: _round(cell, at_work[name], ids[name])
                    for name in CONTENDERS
                },
                rounds,
            )
        yield from turns.results(
            samples,
            {'us': 'a guarded transition', 'CPU us': 'its client CPU'},
            scenario='write',
            database=cell.label,
            rows=count,
        )


def _round(
    cell: databases.Cell, at_work: worker.Worker, ids: list[int]
) -> Callable[[], measure.Sample]:
    own = _T.c.id.between(ids[0], ids[-1])
    back = (
        sa.update(_T)
        .where(own)
        .values(
            migration_type=write.KIND,
            cross_cell_move=False,
            deleted=0,
            status=write.SOURCE.status,
            state=write.SOURCE.name,
        )
    )
    moved = sa.select(sa.func.count()).where(
        own, _T.c.status == write.TARGET.status
    )

    def one() -> measure.Sample:
        cell.execute(back)
        sample: measure.Sample = at_work.call('run')
        with cell.engine.connect() as connection:
            assert connection.scalar(moved) == len(ids)
        return sample

    return functools.partial(one)
