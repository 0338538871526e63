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


"""Writers on every node, which go on while something else is done."""

import threading

import fixtures
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import engine
from nova_migration.db import models
from tests.functional.db import test_guard as single
from tests.functional.db import worker
from tests.galera import base

_T = models.MIGRATIONS


class Writers(fixtures.Fixture):
    """Threads that do something again and again until the end.

    :attr:`errors` has what they raised; none of them goes on after that.
    """

    def __init__(self, *actions):
        super().__init__()
        self.actions = actions
        self.errors = []

    def _setUp(self):
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on, args=(action,), daemon=True)
            for action in self.actions
        ]
        self.addCleanup(self.stop)
        for thread in self._threads:
            thread.start()

    def _go_on(self, action):
        try:
            while not self._end.is_set():
                action()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.errors.append(error)

    def stop(self):
        """End them, each after what it is doing."""
        self._end.set()
        for thread in self._threads:
            thread.join()


class Counter:
    """Counts in rows of its own as Nova writes: without a guard.

    :attr:`confirmed` is what it was told had been written, by row;
    :attr:`open` how often it was told that nobody knows.
    """

    def __init__(self, url, ids):
        self.url = url
        self.ids = ids
        self.confirmed = dict.fromkeys(ids, 0)
        self.open = 0
        self._turn = 0

    def __call__(self):
        database = self._database = getattr(
            self, '_database', None
        ) or engine.from_url(self.url, max_retries=0)
        row_id = self.ids[self._turn % len(self.ids)]
        self._turn += 1
        count = sa.func.coalesce(_T.c.memory_total, 0) + 1
        update = _T.update().where(_T.c.id == row_id)
        try:
            database.run(
                lambda connection: connection.execute(
                    update.values(memory_total=count)
                )
            )
        except exception.OutcomeUnknown:
            self.open += 1
        except exception.DatabaseUnavailable:
            return
        else:
            self.confirmed[row_id] += 1


class Walker:
    """Has a process on a node move rows at random, with the guard."""

    def __init__(self, test, url, ids, seed):
        self.process = test.useFixture(worker.Workers(1, url))
        self.ids = ids
        self.seed = seed
        self.history = []

    def __call__(self):
        self.seed += 3
        self.process.send(
            0,
            do='walk',
            rows=dict.fromkeys(self.ids, base.LIVE.name),
            steps=20,
            seed=self.seed,
        )
        self.history += self.process.receive(0)['history']


def paths_of(walkers, start):
    """Return the state that each row was moved to last, and the count.

    :raises AssertionError: what the walkers were told is no path
    """
    moves = {}
    for walker in walkers:
        for row_id, source, _event, target in walker.history:
            moves.setdefault(row_id, []).append((source, target))
    return {
        row_id: single.path_of(pairs, start)[-1]
        for row_id, pairs in moves.items()
    }
