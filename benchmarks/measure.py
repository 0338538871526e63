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

"""Rounds in which the contenders take turns, and what comes of them.

The machine is never quiet. What disturbs one contender disturbs the others of
the same round, so that the ratios within a round say more than any time does.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import statistics
import sys

#: What one contender did in one round, by unit.
Sample = Mapping[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """How long the statements of a writer took, in milliseconds.

    :param due_p99: counted from when a statement was due, which a stall of
        the one before it may have put off
    :param worst_p99: of the rounds, where the others are of all of them
    :param errors: what a statement ended with, or was tried again after
    """

    writes: int
    p50: float
    p99: float
    max: float
    due_p99: float
    errors: int = 0
    worst_p99: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One line of a table: one contender in one setting.

    :param group: what was compared; its first contender is the reference
    :param median: of the rounds, in the unit
    :param ratio: the median of the rounds' ratios to the reference
    :param low: the tenth percentile of those ratios
    :param high: the ninetieth
    :param x: where on a plot's axis: a batch size, a progress
    :param node: of a cluster, which one the writer writes to
    :param conflicts: how often a batch was tried again, in all rounds
    """

    scenario: str
    database: str
    group: str
    contender: str
    unit: str
    median: float
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 1
    rows: int | None = None
    x: float | None = None
    writer: Latency | None = None
    node: int | None = None
    conflicts: int | None = None
    note: str = ''


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values is."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    part = position - below
    return ordered[below] * (1 - part) + ordered[above] * part


def mean_over(points: Sequence[tuple[float, float]], end: float) -> float:
    """Return the mean height of the line through points, in their order.

    :param end: where it ends; from the last point on it is level
    """
    points = [*points, (end, points[-1][1])]
    area = sum(
        (right - left) * (one + other) / 2
        for (left, one), (right, other) in itertools.pairwise(points)
    )
    return area / (end - points[0][0])


def say(text: str) -> None:
    """Tell whoever waits what is being done; results go to stdout."""
    print(text, file=sys.stderr, flush=True)


def in_turn(
    contenders: Mapping[str, Callable[[], Sample]], rounds: int, warm: int = 1
) -> dict[str, list[Sample]]:
    """Let the contenders take turns, beginning with another one each round.

    :param warm: how many rounds come before those that count
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(-warm, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            sample = contenders[name]()
            if number >= 0:
                samples[name].append(sample)
    return samples


def compared(
    samples: Mapping[str, Sequence[Sample]], unit: str
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each contender with its median, and its ratios to the first."""
    reference = next(iter(samples.values()))
    for name, own in samples.items():
        if unit not in own[0]:
            continue
        values = [sample[unit] for sample in own]
        ratios = [
            sample[unit] / other[unit]
            for sample, other in zip(own, reference, strict=True)
        ]
        yield (
            name,
            {
                'median': statistics.median(values),
                'ratio': statistics.median(ratios),
                'low': percentile(ratios, 0.1),
                'high': percentile(ratios, 0.9),
            },
        )
