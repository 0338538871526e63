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

"""Processes that want the same row at the same time."""

from tests.functional import base
from tests.functional.db import samples
from tests.stress import base as stress_base
from tests.stress import contender
from tests.stress import oracle

#: Out of how many rounds one has the rows change their form meanwhile.
SHIFT_EVERY = 4

#: How many want the row in a round; two are enough for most races.
_HOW_MANY = (2, 2, 3, 4)


@base.on_every_database
class Races(stress_base.StressTest, samples.Expanded):
    """One row, several processes; again and again."""

    PROCESSES = max(_HOW_MANY)

    def setUp(self):
        super().setUp()
        self.expand()
        # The last one migrates and restores the table.
        self.workers = self.useFixture(
            contender.Contenders(self.PROCESSES + 1, self.url)
        )
        self.rounds = 0
        self.outcomes = dict.fromkeys(
            ('moved', 'absorbed', 'conflict', 'invalid'), 0
        )

    def test_one_winner(self):
        """Each round has one winner; the others are told where the row is.

        What the rows say in the end is what the winners were told, reason by
        reason, and a path of the machine.
        """
        wanted = stress_base.ROUNDS // len(base.BACKENDS)
        while self.rounds < wanted:
            self.heat()
        self.tell(
            backend=self.BACKEND,
            rounds=self.rounds,
            processes=self.PROCESSES,
            **self.outcomes,
        )
        for outcome, times in self.outcomes.items():
            self.assertGreater(times, 0, outcome)

    def heat(self):
        """Race each of some rows from its start to its end."""
        told = {}
        for name, model in oracle.MODELS.items():
            kind, cross = stress_base.kinds_of(name)
            values = {'migration_type': kind, 'cross_cell_move': cross}
            for form in (
                {'status': model.legacy[model.start]},
                {'status': model.status[model.start], 'state': model.start},
            ):
                row_id = self.insert(**values, **form)
                told[row_id] = name, [], []
        for row_id, (name, moves, reasons) in told.items():
            self.race(row_id, oracle.MODELS[name], moves, reasons)
        for row in self.rows():
            name, moves, reasons = told.pop(row.id)
            model = oracle.MODELS[name]
            self.assertEqual(model.path(moves)[-1], model.position(row))
            said = row.state_reason.split('; ')
            self.assertEqual(sorted(reasons), sorted(said))
        self.assertEqual({}, told)
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql('DELETE FROM migrations')

    def race(self, row_id, model, moves, reasons):
        """Race a row to its end."""
        here = model.start
        while model.onward(here):
            here = self.round(row_id, model, here, moves, reasons)

    def round(self, row_id, model, here, moves, reasons):
        """Have some processes want something of a row; return where it is."""
        several = self.chance.choice(_HOW_MANY)
        loaded = self.ask([{'do': 'load', 'row': row_id}] * several)
        self.assertEqual([here] * several, [a['state'] for a in loaded])
        wishes = [
            {
                'do': self.chance.choice(('process', 'swap')),
                'event': event,
                'reason': f'{self.rounds}-{position}',
            }
            for position, event in enumerate(self.wanted(model, here, several))
        ]
        answers = self.ask(wishes, shifting=self.rounds % SHIFT_EVERY == 0)
        self.rounds += 1
        there = self.judge(model, here, wishes, answers)
        for wish, answer in zip(wishes, answers, strict=True):
            self.outcomes[answer['outcome']] += 1
            step = here, wish['event']
            if answer['outcome'] == 'moved':
                moves.append((*step, model.moved[step]))
                reasons.append(wish['reason'])
            elif answer['outcome'] == 'absorbed':
                reasons.append(f'late {wish["event"]}: {wish["reason"]}')
        return there

    def ask(self, questions, shifting=False):
        """Ask as many contenders, beside a change of every row's form."""
        if shifting:
            to = self.chance.choice(('canonical', 'legacy'))
            self.workers.send(self.PROCESSES, do='shift', to=to)
        for position, question in enumerate(questions):
            self.workers.send(position, **question)
        answers = [self.workers.receive(p) for p in range(len(questions))]
        if shifting:
            self.workers.receive(self.PROCESSES)
        return answers

    def wanted(self, model, here, several):
        """Choose an event for each; the first one's leads somewhere else."""
        first = self.chance.choice(model.onward(here))
        if self.chance.random() < 0.3:
            return [first] * several
        others = [
            self.chance.choice(
                model.events
                if self.chance.random() < 0.2
                else model.onward(here)
            )
            for _ in range(several - 1)
        ]
        return [first, *others]

    def judge(self, model, here, wishes, answers):
        """Say whether the answers of a round can be; return where it led."""
        steps = [(here, wish['event']) for wish in wishes]
        (there,) = [
            model.moved[step]
            for step, answer in zip(steps, answers, strict=True)
            if answer['outcome'] == 'moved' and model.moved[step] != here
        ]
        for step, wish, answer in zip(steps, wishes, answers, strict=True):
            expected = self.possible(model, step, wish, there)
            self.assertIn(answer, expected, (wish, there))
        return there

    @staticmethod
    def possible(model, step, wish, there):
        """Return the answers that a contender may have had."""
        here, event = step
        target = model.moved.get(step)
        alone = wish['do'] == 'swap' and target is not None
        if (there, event) in model.absorbed and not alone:
            late = {'outcome': 'absorbed', 'state': there}
        else:
            late = {'outcome': 'conflict', 'expected': here, 'actual': there}
        if target is not None:
            return {'outcome': 'moved', 'state': target}, late
        if step in model.absorbed:
            return {'outcome': 'absorbed', 'state': here}, late
        return ({'outcome': 'invalid', 'state': here},)
