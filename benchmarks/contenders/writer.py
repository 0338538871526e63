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

"""A service that goes on writing while something else is done to the table."""

from collections.abc import Collection
import random
import threading
import time
from typing import Any

from benchmarks import measure
from benchmarks.contenders import drivers


class Writer:
    """Reports the progress of random moves, on a connection of its own.

    :param highest: the rows have the ids from 1 to this one
    :param rate: statements a second, one commit each
    :param seed: two writers with the same one write the same rows
    :param again: errors of the server after which a statement is tried again,
        in the time of the first try
    """

    def __init__(
        self,
        url: str,
        highest: int,
        rate: int = 50,
        seed: int = 50,
        again: Collection[int] = (),
    ):
        self._url = url
        self._highest = highest
        self._pause = 1 / rate
        self._seed = seed
        self._again = again
        self._stop = threading.Event()
        self._took: list[float] = []
        self._late: list[float] = []
        self._errors = 0
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._stop.clear()
        self._took, self._late, self._errors = [], [], 0
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def stop(self) -> measure.Latency:
        """End, and tell how long the statements took."""
        self._stop.set()
        self._thread.join()
        return measure.Latency(
            writes=len(self._took),
            p50=1e3 * measure.percentile(self._took, 0.5),
            p99=1e3 * measure.percentile(self._took, 0.99),
            max=1e3 * max(self._took),
            due_p99=1e3 * measure.percentile(self._late, 0.99),
            errors=self._errors,
        )

    def _write(self) -> None:
        connection = drivers.connect(self._url)
        cursor = connection.cursor()
        statement = drivers.placed(
            self._url,
            'UPDATE migrations SET memory_remaining = %s WHERE id = %s',
        )
        chance = random.Random(self._seed)
        due = time.perf_counter()
        while not (self._took and self._stop.is_set()):
            values = (chance.randrange(2**40), self._random(chance))
            began = time.perf_counter()
            self._persist(cursor, statement, values)
            ended = time.perf_counter()
            self._took.append(ended - began)
            self._late.append(ended - due)
            due += self._pause
            self._stop.wait(max(0, due - time.perf_counter()))
        connection.close()

    def _persist(
        self, cursor: Any, statement: str, values: tuple[int, int]
    ) -> None:
        while True:
            try:
                cursor.execute(statement, values)
            except drivers.ERRORS as error:
                self._errors += 1
                if error.args[0] in self._again and not self._stop.is_set():
                    continue
            return

    def _random(self, chance: random.Random) -> int:
        return chance.randint(1, self._highest)
