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

"""What a machine decides, and that it is automaton's."""

from automaton import exceptions
from automaton import machines
from hypothesis import given
from hypothesis import strategies as st

from nova_migration.states import MACHINES
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import UnknownWord
from nova_migration.states import machine_for
from tests import base

# Every question that can be put to a machine.
QUESTIONS = [
    (machine, state, event)
    for machine in MACHINES.values()
    for state in machine.states
    for event in machine.table.events
]

REPORTS = [
    (machine, state, target)
    for machine in MACHINES.values()
    for state in machine.states
    for target in machine.states
]


def stepped(machine, state, event):
    """Return where automaton goes, or None if it refuses."""
    twin = machine.automaton.copy(shallow=True)
    try:
        twin.initialize(state)
        twin.process_event(event)
    except (exceptions.InvalidState, exceptions.NotFound):
        # The first also for initializing in a terminal state.
        return None
    return twin.current_state


class BuildTest(base.TestCase):
    """The machine is automaton's, made once."""

    def test_is_automatons(self):
        """Every machine is a FiniteMachine of automaton."""
        for machine in MACHINES.values():
            self.assertIs(machines.FiniteMachine, type(machine.automaton))

    def test_is_frozen(self):
        """A machine cannot be changed after it was built."""
        for machine in MACHINES.values():
            self.assertTrue(machine.automaton.frozen)
            self.assertRaises(
                exceptions.FrozenMachine, machine.automaton.add_state, 'more'
            )

    def test_is_shared(self):
        """Every record of a kind gets the same machine."""
        for name in ('resize', 'evacuation'):
            self.assertIs(machine_for(name), machine_for(name, False))
            self.assertIs(machine_for(name), MACHINES[name])

    def test_starts_where_the_table_says(self):
        """A machine that is told nothing else begins in the start state."""
        for machine in MACHINES.values():
            twin = machine.automaton.copy(shallow=True)
            twin.initialize()

            self.assertEqual(machine.table.start.name, twin.current_state)

    def test_has_every_state_and_terminal(self):
        """The machine has the table's states, terminal where they are."""
        for machine in MACHINES.values():
            automaton = machine.automaton
            self.assertEqual(set(machine.states), set(automaton.states))
            for name, row in machine.states.items():
                self.assertEqual(
                    row.terminal, automaton._states[name]['terminal']
                )

    def test_names_itself(self):
        """A machine in a log says which one it is."""
        self.assertEqual('<Machine resize>', repr(MACHINES['resize']))


class DecideTest(base.TestCase):
    """What an event does to a record in a state."""

    def test_agrees_with_automaton(self):
        """For every state and event, decide() moves where automaton does."""
        for machine, state, event in QUESTIONS:
            outcome = machine.decide(state, event)
            moved = isinstance(outcome, Edge)

            self.assertEqual(
                stepped(machine, state, event),
                outcome.target if moved else None,
                (machine, state, event),
            )

    def test_answers_with_the_row_of_the_table(self):
        """The answer is the very row that was declared, or None."""
        for machine, state, event in QUESTIONS:
            outcome = machine.decide(state, event)
            rows = machine.table.edges + machine.table.absorbed
            asked = [
                row
                for row in rows
                if (getattr(row, 'source', None) or row.state) == state
                and row.event == event
            ]

            self.assertEqual([] if outcome is None else [outcome], asked)

    @given(st.data())
    def test_walk_never_leaves_the_machine(self, data):
        """Any walk along decide() is one that automaton takes, too."""
        machine = data.draw(st.sampled_from(list(MACHINES.values())))
        twin = machine.automaton.copy(shallow=True)
        twin.initialize()
        here = twin.current_state
        while not machine.state(here).terminal:
            event = data.draw(st.sampled_from(('', *machine.table.events)))
            if not event:
                break
            outcome = machine.decide(here, event)
            if isinstance(outcome, Edge):
                twin.process_event(event)
                here = outcome.target
            self.assertEqual(here, twin.current_state)

    def test_unknown_event(self):
        """An event that the machine has not is an error with a hint."""
        error = self.assertRaises(
            ValueError, MACHINES['resize'].decide, 'confirming', 'confrim'
        )

        self.assertIn('confirm', error.nearest)
        self.assertIn("did you mean 'confirm'", str(error))

    def test_unknown_state(self):
        """A state that the machine has not is an error with a hint."""
        error = self.assertRaises(
            ValueError, MACHINES['live-migration'].decide, 'runing', 'fail'
        )

        self.assertEqual(['running'], error.nearest)
        self.assertIn("did you mean 'running'", str(error))

    def test_word_of_another_machine(self):
        """A state or an event of another kind of move is unknown here."""
        machine = MACHINES['evacuation']

        self.assertRaises(UnknownWord, machine.decide, 'postcopy', 'fail')
        self.assertRaises(UnknownWord, machine.decide, 'accepted', 'queue')

    @given(st.text(), st.text())
    def test_any_word(self, state, event):
        """Any two words are decided upon or are refused as unknown."""
        for machine in MACHINES.values():
            known = state in machine.states and event in machine.table.events
            if known:
                machine.decide(state, event)
            else:
                self.assertRaises(UnknownWord, machine.decide, state, event)


class LookUpTest(base.TestCase):
    """What a machine knows of its words."""

    def test_events_from(self):
        """The events that lead on are those that automaton can act on."""
        for machine in MACHINES.values():
            for state, row in machine.states.items():
                events = machine.events_from(state)
                self.assertEqual(
                    [
                        e
                        for e in machine.table.events
                        if stepped(machine, state, e)
                    ],
                    sorted(events, key=machine.table.events.index),
                )
                self.assertEqual(row.terminal, not events)

    def test_events_from_nowhere(self):
        """No events are told of a state that is none."""
        self.assertRaises(
            UnknownWord, MACHINES['resize'].events_from, 'evacuated'
        )

    def test_every_spelling_is_understood(self):
        """Each legacy string finds its state, exactly as it is written."""
        for machine in MACHINES.values():
            for row in machine.states.values():
                for word in row.spellings:
                    self.assertIs(row, machine.state_of_legacy(word))
                    self.assertRaises(
                        UnknownWord, machine.state_of_legacy, f'{word} '
                    )
                    self.assertRaises(
                        UnknownWord, machine.state_of_legacy, word.upper()
                    )


class ReportTest(base.TestCase):
    """What a report that names a target does."""

    def test_follows_an_edge_where_there_is_one(self):
        """A report of what an edge leads to takes that edge."""
        for machine, state, target in REPORTS:
            edges = [
                e
                for e in machine.table.edges
                if (e.source, e.named) == (state, target)
            ]
            if edges:
                self.assertIn(machine.report(state, target), edges)

    def test_moves_nowhere_else(self):
        """A report moves to the state that it names or not at all.

        Unless the table knows better where that leads.
        """
        elsewhere = set()
        for machine, state, target in REPORTS:
            outcome = machine.report(state, target)
            if isinstance(outcome, Edge):
                self.assertEqual(
                    (state, target), (outcome.source, outcome.named)
                )
                if outcome.target != target:
                    elsewhere.add((machine.name, state, target))

        self.assertEqual({('evacuation', 'accepted', 'evacuated')}, elsewhere)

    def test_absorbs_what_the_table_absorbs(self):
        """A report without an edge is absorbed if its event would be."""
        for machine, state, target in REPORTS:
            outcome = machine.report(state, target)
            if isinstance(outcome, Absorbed) and state != target:
                self.assertIn(outcome, machine.table.absorbed)
                self.assertIn(
                    target,
                    {
                        e.named
                        for e in machine.table.edges
                        if e.event == outcome.event
                    },
                )

    def test_refuses_the_rest(self):
        """A report of a state that no row leads to is refused."""
        machine = MACHINES['resize']

        self.assertIsNone(machine.report('confirmed', 'confirming'))
        self.assertIsNone(machine.report('failed', 'pre-migrating'))

    def test_report_of_the_same_state(self):
        """A report of where the record is never is refused."""
        for machine in MACHINES.values():
            for state in machine.states:
                outcome = machine.report(state, state)

                self.assertIsNotNone(outcome, (machine, state))
                if isinstance(outcome, Edge):
                    self.assertEqual(state, outcome.target)
                else:
                    self.assertEqual(state, outcome.state)

    def test_report_again_says_why(self):
        """The late report of a state says that the row is there already."""
        outcome = MACHINES['live-migration'].report('completed', 'completed')

        self.assertEqual(
            Absorbed('completed', 'complete', 'The row is there already.'),
            outcome,
        )

    def test_report_names_its_event(self):
        """An absorbed report can be logged by the name of an event."""
        for machine, state, target in REPORTS:
            outcome = machine.report(state, target)
            if outcome is not None:
                self.assertTrue(
                    outcome.event, f'{machine}: {state} -> {target}'
                )

    def test_unknown_words(self):
        """A report from or of a state that is none is an error."""
        machine = MACHINES['resize']

        self.assertRaises(UnknownWord, machine.report, 'done', 'failed')
        self.assertRaises(UnknownWord, machine.report, 'failed', 'done')
