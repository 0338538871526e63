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

"""The declaration, held against what was read off and recorded from Nova.

``edges.csv`` is the list of transitions in Nova's source, ``vocabulary.csv``
the meaning of its strings; both were written by people, not derived. The
recorded histories come from Nova's functional tests.
"""

import collections
import csv
import itertools
import json
import pathlib

from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState
from nova_migration.states import MigrationStatus
from nova_migration.states import machine_for
from nova_migration.states import migration
from tests import base

HERE = pathlib.Path(__file__).resolve().parent
HISTORIES = base.ROOT / 'nova_migration' / 'data' / 'nova-transitions.jsonl'

#: The machines that a row of edges.csv is about.
TYPES = {
    'T': ('resize', 'migration', 'cross-cell'),
    'T(xcell target row)': ('cross-cell',),
    'T(xcell source row)': ('cross-cell',),
    'L': ('live-migration',),
    'E': ('evacuation',),
    'all': tuple(MACHINES),
    'any': tuple(MACHINES),
}

#: What Nova's resource tracker does not turn into an error (rt:1601-1611).
NOVA_OVER = (
    'cancelled',
    'completed',
    'confirmed',
    'done',
    'failed',
    'reverted',
)

#: Rows that Nova inserts elsewhere than at the start; no event does that.
INSERTED = {
    # _create_migration, when the conductor found no accepted row.
    ('E', '', 'pre-migrating'),
    # A cross-cell move copies the server's older rows as they are.
    ('any', '', '<any>'),
}

#: What a report does that only a race writes, and that is refused: the user
#: has decided otherwise, or a guest may run on two hosts.
REFUSED = {
    ('T', 'confirmed', 'confirming'),
    ('T', 'confirming', 'reverting'),
    ('T', 'reverting', 'confirming'),
    ('T', 'confirmed', 'reverted'),
    ('T', 'reverted', 'confirmed'),
    ('E', 'failed', 'done'),
}

#: Machine, state and event of what is absorbed although it contradicts.
CONTRADICTING = {
    ('live-migration', 'completed', 'cancel'),
    ('live-migration', 'completed', 'roll_back'),
    ('live-migration', 'cancelled', 'complete'),
    ('live-migration', 'failed', 'complete'),
    ('evacuation', 'evacuated', 'roll_back'),
    ('evacuation', 'completed', 'roll_back'),
    ('evacuation', 'completed', 'fail'),
    ('evacuation', 'failed', 'complete'),
}


def rows_of(name):
    """Return the rows of a CSV file beside this module."""
    with (HERE / name).open(newline='') as file:
        return list(csv.DictReader(file))


def _sources(machine, word):
    if word == '<not terminal>':
        return [
            row.name
            for row in machine.states.values()
            if row.legacy not in NOVA_OVER
        ]
    return [machine.state_of_legacy(word).name]


def pairs(wanted):
    """Yield machine, source, target of the rows of some kinds, as states."""
    for row in rows_of('edges.csv'):
        if not set(row['kind'].split('/')) <= set(wanted) or not row['from']:
            continue
        for name in TYPES[row['types']]:
            machine = MACHINES[name]
            target = machine.state_of_legacy(row['to']).name
            for source in _sources(machine, row['from']):
                yield machine, source, target


#: The kinds of the facts about Nova: normal, on an error, on deleting, at a
#: start, periodic, on stopping; and W, by a worker that goes on after the
#: resource tracker or somebody else has written error.
LEGAL = 'NEDIPSW'
RACE = 'R'


class NovasEdgesTest(base.TestCase):
    """The table and the list of Nova's transitions say the same."""

    def test_every_row_is_of_a_known_kind(self):
        """The list has no row that the tests below would not look at."""
        for row in rows_of('edges.csv'):
            kinds = set(row['kind'].split('/'))
            self.assertLessEqual(kinds, set(LEGAL + RACE))
            self.assertIn(row['types'], TYPES)

    def test_every_legal_row_is_accepted(self):
        """What Nova writes in its normal course is moved or absorbed."""
        for machine, source, target in pairs(LEGAL):
            self.assertIsNotNone(
                machine.report(source, target), (machine, source, target)
            )

    def test_race_moves_nothing(self):
        """What only a race writes does not move a row."""
        legal = {(m.name, s, t) for m, s, t in pairs(LEGAL)}
        looked_at = 0
        for machine, source, target in pairs(RACE):
            if (machine.name, source, target) not in legal:
                looked_at += 1
                self.assertNotIsInstance(
                    machine.report(source, target),
                    Edge,
                    (machine, source, target),
                )

        self.assertGreater(looked_at, 4)

    def test_race_that_is_refused(self):
        """What contradicts a decision is refused; other races are late."""
        for row in rows_of('edges.csv'):
            key = (row['types'], row['from'], row['to'])
            if row['kind'] != RACE:
                self.assertNotIn(key, REFUSED)
                continue
            for name in TYPES[row['types']]:
                machine = MACHINES[name]
                answer = machine.report(
                    machine.state_of_legacy(row['from']).name,
                    machine.state_of_legacy(row['to']).name,
                )
                self.assertEqual(key in REFUSED, answer is None, (name, key))

    def test_insertion_is_at_the_start(self):
        """Nova creates rows in the start state, with two exceptions."""
        for row in rows_of('edges.csv'):
            key = (row['types'], row['from'], row['to'])
            if row['from'] or key in INSERTED:
                continue
            for name in TYPES[row['types']]:
                machine = MACHINES[name]
                self.assertEqual(
                    machine.table.start, machine.state_of_legacy(row['to'])
                )

    def test_exceptional_insertions_are_listed(self):
        """Each exception is a row of the list, so that none outlives it."""
        listed = {
            (row['types'], row['from'], row['to'])
            for row in rows_of('edges.csv')
        }

        self.assertEqual(set(), INSERTED - listed)

    def test_every_edge_is_novas(self):
        """The table has no edge that Nova does not take legally."""
        legal = {(m.name, s, t) for m, s, t in pairs(LEGAL)}
        for machine in MACHINES.values():
            for edge in machine.table.edges:
                self.assertIn((machine.name, edge.source, edge.target), legal)
                self.assertIn((machine.name, edge.source, edge.named), legal)

    def test_every_absorbed_report_is_novas(self):
        """What is absorbed is something that Nova writes."""
        written = {(m.name, s, t) for m, s, t in pairs(LEGAL + RACE)}
        for machine in MACHINES.values():
            for pair in machine.table.absorbed:
                said = {
                    (machine.name, pair.state, edge.named)
                    for edge in machine.table.edges
                    if edge.event == pair.event
                }
                self.assertNotEqual(set(), said & written, pair)

    def test_every_second_end_is_decided(self):
        """Of a move that is over, each other end was thought about."""
        written = {(m.name, s, t) for m, s, t in pairs(LEGAL + RACE)}
        for kind in MIGRATION_TYPES:
            over = [
                name
                for name, state in MACHINES[kind].states.items()
                if MigrationFlag.IN_PROGRESS not in state.flags
            ]
            for here, there in itertools.permutations(over, 2):
                self.assertIn((kind, here, there), written)

    def test_what_contradicts(self):
        """Somebody is told of a report that cannot be true of its row."""
        contradicting = {
            (machine.name, pair.state, pair.event)
            for machine in MACHINES.values()
            for pair in machine.table.absorbed
            if pair.contradicts
        }

        self.assertEqual(CONTRADICTING, contradicting)

    def test_rebuild_in_place(self):
        """done of what nobody claimed says that nothing was evacuated.

        Whoever says failed of it means the same and takes another edge.
        """
        machine = MACHINES['evacuation']

        for said, event in (
            ('evacuated', 'finish_rebuild'),
            ('failed', 'roll_back'),
        ):
            edge = machine.report('accepted', said)
            self.assertEqual((event, 'failed'), (edge.event, edge.target))

    def test_error_goes_on(self):
        """Of an error, whatever a worker reports is believed.

        What users decide is not: they are asked for what awaits it.
        """
        for machine in MACHINES.values():
            for state in machine.states.values():
                answer = machine.report('error', state.name)
                decision = state.name in ('confirming', 'reverting')
                if state.name == 'error':
                    self.assertIsInstance(answer, Absorbed)
                elif decision or state.name == 'accepted':
                    self.assertIsNone(answer, (machine, state))
                else:
                    self.assertIsInstance(answer, Edge, (machine, state))

    def test_cross_cell_has_three_edges_more(self):
        """A cross-cell move can do what any other can, and three things."""
        own = {(e.source, e.target) for e in MACHINES['resize'].table.edges}
        cross = {
            (e.source, e.target) for e in MACHINES['cross-cell'].table.edges
        }
        listed = {
            (source, target)
            for row in rows_of('edges.csv')
            if row['types'].startswith('T(')
            for machine in [MACHINES['cross-cell']]
            for source in _sources(machine, row['from'])
            for target in [machine.state_of_legacy(row['to']).name]
        }

        self.assertEqual(set(), own - cross)
        self.assertEqual(listed, cross - own)
        self.assertEqual(3, len(listed))

    def test_resize_and_cold_migration_are_alike(self):
        """A cold migration takes the steps of a resize."""
        resize, cold = MACHINES['resize'].table, MACHINES['migration'].table

        self.assertEqual(resize.states, cold.states)
        self.assertEqual(resize.edges, cold.edges)
        self.assertEqual(resize.absorbed, cold.absorbed)


class VocabularyTest(base.TestCase):
    """Each string means what the vocabulary says, and nothing more."""

    def test_meaning_of_every_state(self):
        """A state has its legacy string, its status and its questions."""
        spoken = collections.defaultdict(list)
        for row in rows_of('vocabulary.csv'):
            for name in row['machines'].split():
                spoken[name].append(
                    (
                        row['state'],
                        row['legacy'],
                        row['status'],
                        row['in_progress'] == 'yes',
                        row['tracked'] == 'yes',
                        row['start'] == 'yes',
                    )
                )
        declared = {
            machine.name: [
                (
                    row.name,
                    row.legacy,
                    row.status,
                    MigrationFlag.IN_PROGRESS in row.flags,
                    MigrationFlag.TRACKED in row.flags,
                    row.start,
                )
                for row in machine.states.values()
            ]
            for machine in MACHINES.values()
        }

        self.assertEqual(
            {name: sorted(rows) for name, rows in spoken.items()},
            {name: sorted(rows) for name, rows in declared.items()},
        )

    def test_three_words_for_success_stay_three_states(self):
        """finished, done and completed are one status and three states."""
        states = {
            MACHINES[kind].state_of_legacy(word)
            for kind, word in (
                ('resize', 'finished'),
                ('evacuation', 'done'),
                ('evacuation', 'completed'),
            )
        }

        self.assertEqual(3, len({row.name for row in states}))
        self.assertEqual({'completed'}, {row.status for row in states})

    def test_every_word_is_an_enumerated_one(self):
        """States, statuses and flags are members of their enumerations."""
        for machine in MACHINES.values():
            for row in machine.states.values():
                self.assertIsInstance(row.name, MigrationState)
                self.assertIsInstance(row.status, MigrationStatus)
                for flag in row.flags:
                    self.assertIsInstance(flag, MigrationFlag)

    def test_every_enumerated_word_is_used(self):
        """No state, status or flag is left over from a table of the past."""
        rows = [r for m in MACHINES.values() for r in m.states.values()]

        self.assertEqual(set(MigrationState), {row.name for row in rows})
        self.assertEqual(set(MigrationStatus), {row.status for row in rows})
        self.assertEqual(
            set(MigrationFlag), {flag for row in rows for flag in row.flags}
        )

    def test_names_fit_their_column(self):
        """Every state name fits into 32 characters."""
        self.assertEqual(32, migration.LENGTHS.state)
        for name in MigrationState:
            self.assertLessEqual(len(name), 32)

    def test_error_is_left_by_cleaning_up(self):
        """Every kind of move can fail, and what failed can be cleaned."""
        for machine in MACHINES.values():
            outcome = machine.decide('error', 'clean_up')

            self.assertEqual('failed', outcome.target)

    def test_in_progress_is_tracked(self):
        """The resource tracker accounts for every move that is not over."""
        for machine in MACHINES.values():
            for row in machine.states.values():
                if MigrationFlag.IN_PROGRESS in row.flags:
                    self.assertIn(MigrationFlag.TRACKED, row.flags)
                if row.terminal:
                    self.assertEqual(frozenset(), row.flags)

    def test_postcopy_is_not_abortable(self):
        """A guest that runs on the destination already cannot be aborted."""
        states = MACHINES['live-migration'].states

        self.assertIn(MigrationFlag.ABORTABLE, states['running'].flags)
        self.assertNotIn(MigrationFlag.ABORTABLE, states['postcopy'].flags)

    def test_types_are_novas(self):
        """The types are those of the column's enumeration."""
        self.assertEqual(
            {'migration', 'resize', 'live-migration', 'evacuation'},
            set(MIGRATION_TYPES),
        )


class HistoriesTest(base.TestCase):
    """What a real Nova wrote, put through the machines."""

    def setUp(self):
        super().setUp()
        self.histories = [
            json.loads(line) for line in HISTORIES.read_text().splitlines()
        ]

    def replay(self):
        """Yield machine, state, target and what became of each report."""
        for history in self.histories:
            machine = machine_for(
                history['migration_type'], history['cross_cell_move']
            )
            said = [
                machine.state_of_legacy(step['status']).name
                for step in history['history']
            ]
            here = said[0]
            for target in said[1:]:
                outcome = machine.report(here, target)
                yield machine, here, target, outcome
                if isinstance(outcome, Edge):
                    here = outcome.target

    def test_begins_at_the_start(self):
        """A move begins in the start state; only cross-cell copies do not."""
        for history in self.histories:
            machine = machine_for(
                history['migration_type'], history['cross_cell_move']
            )
            first = machine.state_of_legacy(history['history'][0]['status'])
            if not history['cross_cell_move']:
                self.assertEqual(machine.table.start, first)

    def test_nothing_is_refused(self):
        """Every recorded step moves its row or is absorbed."""
        steps = 0
        for machine, here, target, outcome in self.replay():
            steps += 1
            self.assertIsNotNone(outcome, (machine, here, target))

        recorded = sum(len(h['history']) - 1 for h in self.histories)
        self.assertEqual(recorded, steps)

    def test_what_was_absorbed(self):
        """Two late reports were recorded, and nothing else is absorbed."""
        absorbed = collections.Counter(
            (machine.name, str(here), str(target))
            for machine, here, target, outcome in self.replay()
            if isinstance(outcome, Absorbed)
        )

        self.assertEqual(
            {
                ('evacuation', 'completed', 'evacuated'): 1,
                ('live-migration', 'failed', 'error'): 1,
            },
            absorbed,
        )

    def test_done_after_completed_is_absorbed_each_time(self):
        """done over completed was recorded, and never moves the row back."""
        recorded = sum(
            (first['status'], then['status']) == ('completed', 'done')
            for history in self.histories
            if history['migration_type'] == 'evacuation'
            for first, then in zip(
                history['history'], history['history'][1:], strict=False
            )
        )
        absorbed = [
            outcome
            for machine, here, target, outcome in self.replay()
            if (machine.name, here, target)
            == ('evacuation', 'completed', 'evacuated')
        ]

        self.assertGreater(recorded, 0)
        self.assertEqual(recorded, len(absorbed))
        for outcome in absorbed:
            self.assertIsInstance(outcome, Absorbed)

    def test_every_kind_was_recorded(self):
        """The recording has moves of every machine."""
        self.assertEqual(
            set(MACHINES), {machine.name for machine, *_ in self.replay()}
        )
