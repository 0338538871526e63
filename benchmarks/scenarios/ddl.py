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

"""How long expand and contract, and the ways back, block a writer."""

from collections.abc import Callable
from collections.abc import Iterator
import time

from benchmarks import databases
from benchmarks import measure
from benchmarks import scenarios
from benchmarks import worker

#: The steps in their order; rows are migrated and restored between them.
STEPS = ('expand', 'contract', 'revert_contract', 'revert_expand')

#: A step that cannot lock the table in time is refused, and tried again.
_TRIES = 3


def run(plan: scenarios.Plan) -> Iterator[measure.Result]:
    """Let a writer meet each step."""
    count = scenarios.table_size(plan)
    with (
        databases.filled(plan.server, count) as cell,
        worker.Worker(
            'benchmarks.contenders.upgrade:Ours', url=cell.url
        ) as ours,
        worker.Worker(
            'benchmarks.contenders.writer:Writer',
            url=cell.url,
            highest=count,
        ) as writer,
    ):
        yield _beside(cell.label, count, 'nothing', _quiet, ours, writer)
        for step in STEPS:
            if step in ('contract', 'revert_expand'):
                ours.call('run', step == 'revert_expand')
                cell.settle()
            yield _beside(cell.label, count, step, _step, ours, writer)


def _quiet(ours: worker.Worker, _step: str) -> dict[str, float]:
    time.sleep(1)
    return {'s': 1}


def _step(ours: worker.Worker, step: str) -> dict[str, float]:
    sample: dict[str, float] = ours.call('schema', step)
    return sample


def _beside(
    label: str,
    count: int,
    step: str,
    work: Callable[[worker.Worker, str], dict[str, float]],
    ours: worker.Worker,
    writer: worker.Worker,
) -> measure.Result:
    refused = 0
    while refused < _TRIES:
        writer.call('start')
        time.sleep(0.3)
        sample = work(ours, step)
        time.sleep(0.3)
        waits = writer.call('stop')
        if not sample.get('refused'):
            break
        refused += 1
    else:
        # It has to be done for the next one to be possible.
        work(ours, step)
    return measure.Result(
        scenario='ddl',
        database=label,
        group='a step of the schema',
        contender=step,
        unit='s',
        median=sample['s'],
        rows=count,
        writer=waits,
        note=f'refused, no lock within 10 s: {refused} x' if refused else '',
    )
