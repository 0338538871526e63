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

"""The upgrade of a Galera cluster, beside a writer on each of its nodes.

Three nodes of its own are started on this machine, so that every figure has
the work of three servers in it. Only what stands in one table is comparable.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import importlib
import statistics
import time
from typing import Any
import unittest

import sqlalchemy as sa

from benchmarks import databases
from benchmarks import measure
from benchmarks import scenarios
from benchmarks import worker

_OURS = 'benchmarks.contenders.upgrade:Ours'
_WRITER = 'benchmarks.contenders.writer:Writer'

#: Rows in a batch; None is what the command does by itself. The first one is
#: what the others are compared to.
SIZES = (1_000, None, 5_000, 10_000)
_SMOKE_SIZES = (100, None)

#: Seconds after which a migration that does not get through is given up.
PATIENCE = 300

#: Answers of a node after which a service tries again.
AGAIN = (1213, 1205, 1020, 1047, 1412)

#: A step that cannot lock the table in time is refused, and tried again.
_TRIES = 3

#: Seconds that a node has to apply what another one has committed.
_PATIENCE = 300

#: What one piece of work did, and what the writer of each node saw.
Beside = tuple[measure.Sample, list[measure.Latency]]


def run(plan: scenarios.Plan) -> Iterator[measure.Result]:
    """Upgrade a table of the first node."""
    count = plan.choose(plan.rows, 300_000, 300)
    with _cluster() as nodes:
        server = sa.make_url(nodes[0].admin_url)
        plan.about['server'] = databases.version(server)
        with (
            databases.filled(server, count) as cell,
            _workers(nodes, cell) as field,
        ):
            yield from _quiet(field, 0.5 if plan.smoke else 5)
            yield from _schema(field, 'expand')
            yield from _migrations(field, plan)
            field.ours.call('run')
            yield from _schema(field, 'contract')


@contextlib.contextmanager
def _cluster() -> Iterator[list[Any]]:
    """Start the nodes; yield them.

    :raises scenarios.Missing: they cannot be started here
    """
    # Only this needs what the tests' servers need.
    galera = importlib.import_module('tests.servers.galera')
    try:
        cluster = galera.Cluster('--innodb-buffer-pool-size=256M')
    except (unittest.SkipTest, RuntimeError) as error:
        raise scenarios.Missing(f'galera: {error}') from error
    with cluster:
        yield cluster.nodes


@dataclasses.dataclass(frozen=True)
class _Field:
    """A table on three nodes, and who works on it."""

    nodes: list[Any]
    cell: databases.Cell
    ours: worker.Worker
    writers: list[worker.Worker]

    def level(self) -> None:
        """Wait until each node has what the first one has committed."""
        first, *others = self.nodes
        there = int(first.status('last_committed'))
        until = time.monotonic() + _PATIENCE
        for node in others:
            while int(node.status('last_committed')) < there:
                if time.monotonic() > until:
                    raise TimeoutError(f'{node.name} does not catch up')
                time.sleep(0.05)

    def beside(self, work: Callable[[], measure.Sample]) -> Beside:
        """Work while the writers write."""
        self.level()
        for writer in self.writers:
            writer.call('start')
        sample = work()
        for writer in self.writers:
            writer.begin('stop')
        return sample, [writer.answer() for writer in self.writers]

    def results(
        self, waits: Sequence[measure.Latency], **values: Any
    ) -> Iterator[measure.Result]:
        """Yield a result for each node."""
        for node, writer in enumerate(waits, start=1):
            yield measure.Result(
                scenario='galera',
                database='Galera',
                rows=self.cell.count,
                node=node,
                writer=writer,
                **values,
            )


@contextlib.contextmanager
def _workers(nodes: list[Any], cell: databases.Cell) -> Iterator[_Field]:
    """Start who works on the table of the nodes."""
    database = sa.make_url(cell.url).database
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(
                worker.Worker(
                    _WRITER,
                    url=node.url_of(database),
                    highest=cell.count,
                    seed=number,
                    again=AGAIN,
                )
            )
            for number, node in enumerate(nodes)
        ]
        ours = stack.enter_context(worker.Worker(_OURS, url=cell.url))
        yield _Field(nodes, cell, ours, writers)


def _quiet(field: _Field, seconds: float) -> Iterator[measure.Result]:
    def nothing() -> measure.Sample:
        time.sleep(seconds)
        return {'s': seconds, 'refused': False}

    return _step(field, 'nothing', nothing)


def _schema(field: _Field, step: str) -> Iterator[measure.Result]:
    def change() -> measure.Sample:
        time.sleep(0.3)
        sample: measure.Sample = field.ours.call('schema', step)
        time.sleep(0.3)
        return sample

    return _step(field, step, change)


def _step(
    field: _Field, step: str, work: Callable[[], measure.Sample]
) -> Iterator[measure.Result]:
    refused = 0
    sample, waits = field.beside(work)
    while sample['refused'] and refused < _TRIES:
        refused += 1
        sample, waits = field.beside(work)
    if sample['refused']:
        raise TimeoutError(f'{step} was refused {refused + 1} times')
    note = f'refused, no lock within 10 s: {refused} x' if refused else ''
    return field.results(
        waits,
        group='a step of the schema, a writer on each node',
        contender=step,
        unit='s',
        median=sample['s'],
        note=note,
    )


def _migrations(
    field: _Field, plan: scenarios.Plan
) -> Iterator[measure.Result]:
    """Yield the rates, and what the writers waited, by batch size."""
    rounds = plan.choose(plan.rounds, 3, 1)
    sizes = {
        f'batches of {size:,}' if size else 'ours: migrate, as it is': size
        for size in (_SMOKE_SIZES if plan.smoke else SIZES)
    }
    seen: dict[str, list[list[measure.Latency]]] = {name: [] for name in sizes}
    samples = measure.in_turn(
        {
            name: functools.partial(_migrate, field, size, seen[name])
            for name, size in sizes.items()
        },
        rounds,
        warm=0,
    )
    for name, numbers in measure.compared(samples, 'rows/s'):
        yield from field.results(
            [over_rounds(waits) for waits in zip(*seen[name], strict=True)],
            group='migrate, a writer on each node',
            contender=name,
            unit='rows/s',
            rounds=rounds,
            x=sizes[name],
            conflicts=int(sum(one['conflicts'] for one in samples[name])),
            note=given_up(samples[name], field.cell.count),
            **numbers,
        )


def _migrate(
    field: _Field, size: int | None, seen: list[list[measure.Latency]]
) -> measure.Sample:
    """Migrate beside the writers, and go back without them."""
    sample, waits = field.beside(
        lambda: field.ours.call('migrate', size, PATIENCE)
    )
    seen.append(waits)
    field.ours.call('run', True)
    field.cell.settle()
    return sample


def over_rounds(waits: Sequence[measure.Latency]) -> measure.Latency:
    """Return one writer's medians, worst values and sums over rounds."""
    median = statistics.median
    return measure.Latency(
        writes=sum(one.writes for one in waits),
        p50=median(one.p50 for one in waits),
        p99=median(one.p99 for one in waits),
        worst_p99=max(one.p99 for one in waits),
        max=max(one.max for one in waits),
        due_p99=median(one.due_p99 for one in waits),
        errors=sum(one.errors for one in waits),
    )


def given_up(samples: Sequence[measure.Sample], count: int) -> str:
    """Say how far the rounds came that did not get through."""
    short = [f'{one["rows"]:,}' for one in samples if one['rows'] < count]
    return f'given up, rows done: {"; ".join(short)}' if short else ''
