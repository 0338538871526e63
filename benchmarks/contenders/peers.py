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

"""Other state machines for Python, driven along our table."""

from typing import Any

import statemachine
import transitions

from benchmarks.contenders import step


class Transitions(step.Contender):
    """The ``transitions`` package: one machine, a model a record."""

    def build(self) -> None:
        table = self.machine.table
        self.shared = transitions.Machine(
            model=None,
            states=[state.name for state in table.states],
            transitions=[
                {'trigger': e.event, 'source': e.source, 'dest': e.target}
                for e in table.edges
            ],
            initial=table.start.name,
            auto_transitions=False,
        )

    def one(self) -> Any:
        class Model:
            state = self.start

        model = Model()
        self.shared.add_model(model)
        return model

    def run(self) -> dict[str, float]:
        result = super().run()
        self.shared.remove_model(list(self.shared.models))
        return result

    def walk(self, one: Any) -> str:
        for event in self.events:
            one.trigger(event)
        return str(one.state)


class StateMachine(step.Contender):
    """The ``python-statemachine`` package: a machine a record."""

    def build(self) -> None:
        table = self.machine.table
        states = {
            state.name: statemachine.State(
                state.name,
                value=state.name,
                initial=state.start,
                final=state.terminal,
            )
            for state in table.states
        }
        members: dict[str, Any] = {
            f'state_{number}': state
            for number, state in enumerate(states.values())
        }
        for event in table.events:
            ways = [
                states[edge.source].to(states[edge.target])
                for edge in table.edges
                if edge.event == event
            ]
            for way in ways[1:]:
                ways[0] |= way
            members[f'event_{event}'] = ways[0]
        self.type = type('Bench', (statemachine.StateMachine,), members)

    def one(self) -> Any:
        return self.type()

    def walk(self, one: Any) -> str:
        for event in self.events:
            one.send(f'event_{event}')
        return str(one.current_state.value)
