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

"""A list of 10,000 rows: ours, Nova's, and rows without objects."""

from collections.abc import Iterator

import sqlalchemy as sa

from benchmarks import databases
from benchmarks import measure
from benchmarks import scenarios
from benchmarks.scenarios import turns
from nova_migration.db import engine
from nova_migration.db import schema
from nova_migration.db import upgrade

#: By the name in the tables; the first is what the others are compared to.
CONTENDERS = {
    'Nova: MigrationList': 'nova:List',
    'ours: MigrationList': 'ours:List',
    'Core rows': 'load:Core',
    'driver tuples': 'load:Driver',
}


def run(plan: scenarios.Plan) -> Iterator[measure.Result]:
    """Let each contender load the same rows."""
    rounds = plan.choose(plan.rounds, 11, 2)
    count = plan.choose(plan.rows, 10_000, 200)
    with databases.filled(plan.server, count) as cell:
        cell.execute(sa.update(cell.main).values(deleted=0))
        database = engine.from_url(cell.url)
        schema.expand(database, create=True)
        with turns.workers(
            CONTENDERS, lambda _name: {'url': cell.url}
        ) as at_work:
            for form in ('legacy', 'canonical'):
                samples = measure.in_turn(turns.runs(at_work), rounds)
                yield from turns.results(
                    samples,
                    {
                        'us': f'a {form} row loaded',
                        'CPU us': f'the client CPU of a {form} row loaded',
                    },
                    scenario='load',
                    database=cell.label,
                    rows=count,
                )
                for _batch in upgrade.migrate(database):
                    pass
        database.engine.dispose()
