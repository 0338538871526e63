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

"""The data migration and the way back, beside the limit and Nova's way."""

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterator
import contextlib
import dataclasses
import statistics
import time
from typing import Any

from benchmarks import databases
from benchmarks import measure
from benchmarks import scenarios
from benchmarks import worker
from benchmarks.scenarios import turns

_OURS = 'benchmarks.contenders.upgrade:Ours'
_LIMIT = 'benchmarks.contenders.upgrade:Limit'
_NOVA = 'benchmarks.contenders.nova:Upgrade'
_WRITER = 'benchmarks.contenders.writer:Writer'

#: Batch sizes beside a writer; None is what the commands do by themselves.
SIZES = (None, 100, 1_000, 5_000, 10_000, 50_000)
_SMOKE_SIZES = (None, 100)

#: Where the cost of a batch is looked at, in percent of the rows.
PROGRESS = (0, 10, 25, 50, 75, 95)
_BATCH = 1_000
_NOVA_NAME = 'Nova: object by object'
_NOVA_BATCH = 50

#: Of Nova's way: the percent of rows done, and the milliseconds of a row.
Costs = list[tuple[float, float]]


def run(plan: scenarios.Plan) -> Iterator[measure.Result]:
    """Upgrade a table again and again."""
    count = scenarios.table_size(plan)
    with (
        databases.filled(plan.server, count) as cell,
        _workers(cell) as field,
    ):
        field.ours.call('schema', 'expand')
        costs = yield from _progress(field, plan)
        yield from _memory(field, plan)
        yield from _alone(field, plan, costs)
        yield from _beside_a_writer(field, plan)


@dataclasses.dataclass(frozen=True)
class _Field:
    """A table, and who works on it."""

    cell: databases.Cell
    ours: worker.Worker
    limit: worker.Worker
    nova: worker.Worker

    def result(self, **values: Any) -> measure.Result:
        """Return a result on this table."""
        common = {
            'scenario': 'upgrade',
            'database': self.cell.label,
            'rows': self.cell.count,
        }
        return measure.Result(**{**common, **values})

    def back(self) -> None:
        """Give every row its string back, by the shortest way."""
        self.limit.call('run', True)
        self.cell.settle()


@contextlib.contextmanager
def _workers(cell: databases.Cell) -> Iterator[_Field]:
    with (
        worker.Worker(_OURS, url=cell.url) as ours,
        worker.Worker(_LIMIT, url=cell.url) as limit,
        worker.Worker(_NOVA, url=cell.url) as nova,
    ):
        yield _Field(cell, ours, limit, nova)


def _memory(field: _Field, plan: scenarios.Plan) -> Iterator[measure.Result]:
    """Yield the peak of a process that migrates a tenth, and the whole.

    The whole has been migrated, once, by the process that is asked.
    """
    small = field.cell.count // 10
    with (
        databases.filled(plan.server, small) as cell,
        worker.Worker(_OURS, url=cell.url) as ours,
    ):
        ours.call('schema', 'expand')
        ours.call('run')
        peaks = [(small, ours.call('peak'))]
    peaks.append((field.cell.count, field.ours.call('peak')))
    for count, peak in peaks:
        yield field.result(
            group='peak memory',
            contender='ours: migrate',
            unit='MiB',
            median=peak,
            ratio=peak / peaks[0][1],
            rows=count,
        )


def _progress(
    field: _Field, plan: scenarios.Plan
) -> Generator[measure.Result, None, Costs]:
    """Yield what a batch and a row cost, by how much is done.

    Returns what a row costs Nova.
    """
    batch = min(_BATCH, max(10, field.cell.count // 100))
    total = field.cell.count // batch
    field.ours.call('begin', batch)
    done = 0
    costs: Costs = []
    # What a process does once is not part of the first figure.
    _migrated_by_nova(field, 1)
    for percent in PROGRESS:
        until = total * percent // 100
        field.ours.call('go_on', max(0, until - done))
        found = [field.nova.call('find')['ms'] for _ in range(3)]
        rate = _migrated_by_nova(field, 20 if plan.smoke else 200)['rows/s']
        costs.append((percent, 1e3 / rate))
        some = max(1, min(20, total // 50))
        took = field.ours.call('go_on', some)
        done = max(done, until) + some
        for name, values in (
            (f'ours: {batch} rows found and written', took),
            (f'Nova: {_NOVA_BATCH} rows found', found),
        ):
            yield field.result(
                group='a batch, by percent of rows done',
                contender=name,
                unit='ms',
                median=statistics.median(values),
                x=percent,
                rounds=len(values),
            )
    for at, cost in costs:
        yield field.result(
            group='a row, by percent of rows done',
            contender=_NOVA_NAME,
            unit='ms',
            median=cost,
            x=at,
        )
    field.ours.call('go_on', total)
    field.back()
    return costs


def _migrated_by_nova(field: _Field, count: int) -> measure.Sample:
    """Let Nova migrate the next rows; they are to be migrated again."""
    sample: measure.Sample = field.nova.call('migrate', count, _NOVA_BATCH)
    field.nova.call('undo')
    return sample


def _alone(
    field: _Field, plan: scenarios.Plan, costs: Costs
) -> Iterator[measure.Result]:
    """Yield the rates, there and back, without anybody beside."""
    rounds = plan.choose(plan.rounds, 3, 1)
    samples = measure.in_turn(
        {
            'one UPDATE': _there_and_back(field, field.limit),
            'ours': _there_and_back(field, field.ours),
        },
        rounds,
        warm=0,
    )
    samples[_NOVA_NAME] = _nova(field, plan, rounds)
    over_all = 1e3 / measure.mean_over(costs, 100)
    samples[f'{_NOVA_NAME}, over the whole table'] = [
        {'rows/s': over_all}
    ] * rounds
    yield from turns.results(
        samples,
        {
            'rows/s': 'migrate, nobody beside',
            'rows/s back': 'restore, nobody beside',
            'rows/s settled': 'migrate, with what the server does afterwards',
            'rows/s back settled': (
                'restore, with what the server does afterwards'
            ),
        },
        scenario='upgrade',
        database=field.cell.label,
        rows=field.cell.count,
    )


def _there_and_back(
    field: _Field, at_work: worker.Worker
) -> Callable[[], measure.Sample]:
    def one() -> measure.Sample:
        rates = {}
        for unit, back in (('rows/s', False), ('rows/s back', True)):
            sample = at_work.call('run', back)
            assert sample['rows'] == field.cell.count, sample
            rates[unit] = sample['rows/s']
            began = time.perf_counter()
            field.cell.settle()
            took = sample['s'] + time.perf_counter() - began
            rates[f'{unit} settled'] = sample['rows'] / took
        return rates

    return one


def _nova(
    field: _Field, plan: scenarios.Plan, rounds: int
) -> list[measure.Sample]:
    """Let Nova migrate the first rows, where its way is at its fastest."""
    count = 20 if plan.smoke else 1_000
    samples = [_migrated_by_nova(field, count) for _ in range(rounds)]
    field.cell.settle()
    return samples


def _beside_a_writer(
    field: _Field, plan: scenarios.Plan
) -> Iterator[measure.Result]:
    """Yield the rates and the writer's waits, by batch size.

    Half of the rows, which are the ones that the writer writes to.
    """
    half = field.cell.count // 2
    runs: list[tuple[str, int | None, worker.Worker, tuple[Any, ...]]] = [
        ('one UPDATE', None, field.limit, (False, half))
    ]
    for size in _SMOKE_SIZES if plan.smoke else SIZES:
        name = f'batches of {size:,}' if size else 'ours: migrate, as it is'
        runs.append((name, size, field.ours, (False, size, half)))
    reference = None
    with worker.Worker(_WRITER, url=field.cell.url, highest=half) as writer:
        for name, size, at_work, arguments in runs:
            writer.call('start')
            rate = at_work.call('run', *arguments)['rows/s']
            reference = reference or rate
            yield field.result(
                group='migrate, a writer beside',
                contender=name,
                unit='rows/s',
                median=rate,
                ratio=rate / reference,
                x=size,
                rows=half,
                writer=writer.call('stop'),
            )
            field.back()
