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

"""A machine made from a table: shared, frozen, asked and never changed."""

from collections.abc import Mapping
import functools

from automaton import machines

from nova_migration.states import table as table_mod
from nova_migration.states import words

#: What a machine answers: the edge to take, the absorbed pair that says why
#: nothing is to be done, or None for a step that is refused.
Outcome = table_mod.Edge | table_mod.Absorbed | None


def build(table: table_mod.Table) -> machines.FiniteMachine:
    """Make the frozen automaton machine that a table declares."""
    space: list[machines.State | machines.StateDict] = [
        machines.State(
            state.name,
            is_terminal=state.terminal,
            next_states={
                edge.event: edge.target
                for edge in table.edges
                if edge.source == state.name
            },
        )
        for state in table.states
    ]
    machine = machines.FiniteMachine.build(space)
    machine.default_start_state = table.start.name
    machine.freeze()
    return machine


class Machine:
    """One kind of record's machine, with the table it was made from.

    It holds no current state, so that one is enough for every record of its
    kind; :attr:`automaton` can be copied where a stateful one is wanted.
    """

    def __init__(self, table: table_mod.Table):
        self.table = table
        self.name = table.name
        self.automaton = build(table)
        edges = {(edge.source, edge.event): edge for edge in table.edges}
        self._outcomes: dict[tuple[str, str], Outcome] = {
            (source, event): edges[source, event]
            for source, event, _target in self.automaton
        }
        self._outcomes.update(
            ((pair.state, pair.event), pair) for pair in table.absorbed
        )

    def __repr__(self) -> str:
        return f'<Machine {self.name}>'

    @functools.cached_property
    def states(self) -> Mapping[str, table_mod.State]:
        """The states by name."""
        return self.table.by_name

    @functools.cached_property
    def legacy(self) -> Mapping[str, table_mod.State]:
        """The states by legacy string."""
        return self.table.by_legacy

    def state(self, name: str) -> table_mod.State:
        """Return the state of a name.

        :raises UnknownWord: naming the nearest valid states
        """
        return table_mod.find(f'{self.name} state', name, self.states)

    def state_of_legacy(self, status: str) -> table_mod.State:
        """Return the state that a legacy status string means, exactly.

        :raises UnknownWord: naming the nearest valid strings
        """
        return table_mod.find(f'{self.name} status', status, self.legacy)

    def decide(self, state: str, event: str) -> Outcome:
        """Say what an event does to a record in a state.

        :returns: the edge, the absorbed pair, or None when it is refused
        :raises UnknownWord: for a state or an event the machine has not
        """
        try:
            return self._outcomes[state, event]
        except (KeyError, TypeError):
            # A TypeError says that what came in is no word at all.
            self.state(state)
            if event not in self.table.events:
                raise words.UnknownWord(
                    what=f'{self.name} event',
                    word=event,
                    valid=self.table.events,
                ) from None
            return None

    def events_from(self, state: str) -> tuple[str, ...]:
        """Return the events that lead out of a state, in table order."""
        self.state(state)
        return tuple(e.event for e in self.table.edges if e.source == state)

    def report(self, state: str, target: str) -> Outcome:
        """Say what a report that names a target does to a record in a state.

        Programs that were not ported name where they think the record should
        be, not what happened. The edge leads there, unless the table says
        that they are wrong about it. A report of the state that the record
        is in already is late, and absorbed.
        """
        self.state(state)
        self.state(target)
        events = [e.event for e in self.table.edges if e.named == target]
        answers = [self._outcomes.get((state, event)) for event in events]
        for answer in answers:
            if isinstance(answer, table_mod.Edge) and answer.named == target:
                return answer
        for answer in answers:
            if isinstance(answer, table_mod.Absorbed):
                return answer
        if state == target:
            event = events[0] if events else f'report of {target}'
            return table_mod.Absorbed(
                state, event, 'The row is there already.'
            )
        return None
