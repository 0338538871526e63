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

"""What the scenarios have in common whose contenders only take turns."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
from typing import Any

from benchmarks import measure
from benchmarks import worker


@contextlib.contextmanager
def workers(
    contenders: Mapping[str, str],
    arguments: Callable[[str], Mapping[str, Any]],
) -> Iterator[dict[str, worker.Worker]]:
    """Start a process for each contender.

    :param contenders: ``module:Class``, below ``benchmarks.contenders``
    :param arguments: what the contender of a name is made with
    """
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                worker.Worker(
                    f'benchmarks.contenders.{factory}', **arguments(name)
                )
            )
            for name, factory in contenders.items()
        }


def runs(
    at_work: Mapping[str, worker.Worker],
) -> dict[str, Callable[[], measure.Sample]]:
    """Return what starts a round of each."""
    return {
        name: functools.partial(one.call, 'run')
        for name, one in at_work.items()
    }


def results(
    samples: Mapping[str, list[measure.Sample]],
    units: Mapping[str, str],
    **common: Any,
) -> Iterator[measure.Result]:
    """Yield a result for each contender and unit.

    :param units: what a unit is called as a group
    :param common: what is the same for all of them
    """
    rounds = len(next(iter(samples.values())))
    for unit, group in units.items():
        for name, numbers in measure.compared(samples, unit):
            known: dict[str, Any] = {**common, **numbers}
            yield measure.Result(
                group=group,
                contender=name,
                unit=unit.removesuffix(' settled').removesuffix(' back'),
                rounds=rounds,
                **known,
            )
