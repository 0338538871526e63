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


"""Processes on all three nodes that want the same rows."""

import random

from nova_migration.db import guard
from tests.functional.db import test_guard as single
from tests.functional.db import worker
from tests.galera import base

ROUNDS = 100 * base.SCALE


class Races(base.GaleraTest):
    """A process on each node."""

    def setUp(self):
        super().setUp()
        self.create_tables()
        self.workers = [
            self.useFixture(worker.Workers(1, url)) for url in self.urls
        ]

    def ask_each(self, questions):
        """Ask the process of each node a question, all at once."""
        for process, question in zip(self.workers, questions, strict=True):
            process.send(0, **question)
        return [process.receive(0) for process in self.workers]

    def test_one_winner(self):
        """Each round has one winner; the losers are told where the row is."""
        chance = random.Random(6)
        alive = {}
        for _round in range(ROUNDS):
            if not alive:
                ids = self.put(base.START, 6)
                alive = dict.fromkeys(ids, base.START)
            row_id = chance.choice(list(alive))
            here = alive.pop(row_id)
            answers = self.ask_each(
                {
                    'do': 'move',
                    'row': row_id,
                    'machine': base.LIVE.name,
                    'source': here,
                    'event': chance.choice(base.LIVE.events_from(here)),
                }
                for _worker in self.workers
            )
            (winner,) = [a for a in answers if a['outcome'] == 'moved']
            there = winner['target']
            lost = {'outcome': 'conflict', 'expected': here, 'actual': there}
            self.assertEqual(
                [lost] * 2, [a for a in answers if a is not winner]
            )
            if base.LIVE.events_from(there):
                alive[row_id] = there

    def test_free_for_all(self):
        """What walkers on three nodes were told is a path of the machine."""
        ids = self.put(base.START, 20)
        answers = self.ask_each(
            {
                'do': 'walk',
                'rows': dict.fromkeys(ids, base.LIVE.name),
                'steps': ROUNDS,
                'seed': position,
            }
            for position in range(3)
        )
        for row_id in ids:
            moves = [
                (source, target)
                for answer in answers
                for row, source, _event, target in answer['history']
                if row == row_id
            ]
            path = single.path_of(moves, base.START)
            for database in self.dbs:
                found = guard.position(database, row_id, base.LIVE)
                self.assertEqual(path[-1], found.state)
