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

"""How many rows a batch has: what was measured decides.

Nothing here knows of a database; what a batch took is told to it.
"""

import dataclasses
import math

#: A batch that met a conflict is tried with this part of its rows.
SHRINK = 4

#: How much larger a batch may be than the one before it, until the first
#: conflict and after it: as TCP finds its window.
FAST, SLOW = 2.0, 1.1


@dataclasses.dataclass(frozen=True)
class Limits:
    """Between which sizes a batch may be, in rows, and what it may take.

    :param floor: the smallest size
    :param start: the first size
    :param ceiling: the largest size
    :param target: seconds that a batch should take; that long, at most, does
        a writer wait for one of its rows
    :param rest: seconds of rest after each second of work, or more
    :param alone: what may be done while nobody else writes, as far as can be
        told: there is less of what comes with each batch
    """

    floor: int
    start: int
    ceiling: int
    target: float
    rest: float = 0.0
    alone: 'Limits | None' = None


#: One server that writers use: no writer is to wait for longer than what
#: people take for at once.
SERVER = Limits(
    floor=500,
    start=1000,
    ceiling=10_000,
    target=0.1,
    alone=Limits(floor=500, start=1000, ceiling=50_000, target=1.0),
)

#: Every node applies a batch in one go, in its place in the order of all
#: commits: who commits behind it on another node waits for all of it, and for
#: what it has still to apply of those before.
GALERA = Limits(floor=100, start=250, ceiling=2_000, target=0.02)

#: SQLite writes every page that a batch has changed at its end, and pages
#: of indexes are changed by many batches: large ones pay. Whoever waits for
#: the file looks ten times a second whether it is free, and gives up after
#: five seconds if it has not been told to wait for longer.
FILE = Limits(
    floor=1000,
    start=10_000,
    ceiling=100_000,
    target=1.0,
    rest=0.11,
    alone=Limits(floor=1000, start=10_000, ceiling=200_000, target=2.0),
)


def fixed(size: int, rest: float = 0.0) -> Limits:
    """Return the limits of a size that only a conflict makes smaller."""
    floor = min(size, GALERA.floor)
    return Limits(floor, size, size, math.inf, rest)


class Pace:
    """The size of the next batch, adapted to what the last ones took.

    :param limits: between which :attr:`size` always is
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._size = float(limits.start)
        self._growth = FAST
        self._rate = math.inf

    def use(self, limits: Limits) -> None:
        """Go on within other limits.

        :param limits: what they allow is at once as much as was quick enough
        """
        if limits != self.limits:
            self.limits = limits
            self._set(min(self._size, self._rate * limits.target))

    @property
    def size(self) -> int:
        """How many rows the next batch should have."""
        return int(self._size)

    def succeeded(self, rows: int, seconds: float) -> None:
        """Take in what a batch took.

        :param rows: how many it had; of fewer than :attr:`size`, as at the
            end of a table, it is not known that more would be quick
        """
        self._rate = rows / seconds if seconds else math.inf
        wanted = self._rate * self.limits.target
        most = self._size * (self._growth if rows >= self.size else 1)
        # One slow commit says little; a conflict says more.
        self._set(max(self._size / FAST, min(wanted, most)))

    def conflicted(self) -> None:
        """Shrink sharply: somebody else wanted the same rows."""
        self._growth = SLOW
        self._set(self._size / SHRINK)

    def _set(self, size: float) -> None:
        self._size = max(
            float(self.limits.floor), min(size, float(self.limits.ceiling))
        )
