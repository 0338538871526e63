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
    """

    floor: int
    start: int
    ceiling: int
    target: float


#: One server that writers use. A writer meets a batch as seldom as the batch
#: is a small part of the table: 1 of 100 updates of random rows took 54 ms
#: beside batches of 1,000 of a million rows, and 81 beside 5,000. For those,
#: commits and round trips are a twentieth of the work; for 1,000 a seventh.
SERVER = Limits(floor=500, start=1000, ceiling=10_000, target=0.2)

#: Every node applies a batch in one go, in its place in the order of all
#: commits: who commits behind it on another node waits for all of it. There
#: it was 56 to 107 ms of 100 commits for 1,000 rows, and 142 to 225 for 5,000.
GALERA = Limits(floor=100, start=250, ceiling=2_000, target=0.02)

#: SQLite writes every page that a batch has changed at its end, and pages
#: of indexes are changed by many batches: large ones pay.
FILE = Limits(floor=1000, start=10_000, ceiling=100_000, target=1.0)


def fixed(size: int) -> Limits:
    """Return the limits of a size that only a conflict makes smaller."""
    floor = min(size, GALERA.floor)
    return Limits(floor, size, size, math.inf)


class Pace:
    """The size of the next batch, adapted to what the last ones took.

    :param limits: between which :attr:`size` always is
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._size = float(limits.start)
        self._growth = FAST

    @property
    def size(self) -> int:
        """How many rows the next batch should have."""
        return int(self._size)

    def succeeded(self, rows: int, seconds: float) -> None:
        """Take in what a batch took.

        :param rows: how many it had; of fewer than :attr:`size`, as at the
            end of a table, it is not known that more would be quick
        """
        wanted = rows * self.limits.target / seconds if seconds else math.inf
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
