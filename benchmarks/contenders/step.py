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

"""One event in memory, without a database.

Each contender walks the same path of a machine, from the start to a terminal
state, with what it needs for a walk made before the clock runs.
"""

from collections.abc import Iterator
import gc
import time
from typing import Any

from nova_migration.states import Machine
from nova_migration.states import machine_for

KIND = 'live-migration'


Steps = list[tuple[str, str, str]]


def path(machine: Machine) -> Steps:
    """Return source, event and target along the longest way to an end."""
    return max(
        (way for way in _ways(machine, machine.table.start.name, [])), key=len
    )


def _ways(machine: Machine, state: str, way: Steps) -> Iterator[Steps]:
    if machine.state(state).terminal:
        yield way
    been = {source for source, _event, _target in way} | {state}
    for edge in machine.table.edges:
        if edge.source == state and edge.target not in been:
            step = (state, edge.event, edge.target)
            yield from _ways(machine, edge.target, [*way, step])


class Contender:
    """Walks the path so many times, and says what an event costs."""

    def __init__(self, walks: int):
        self.machine = machine_for(KIND)
        self.path = path(self.machine)
        self.start = self.machine.table.start.name
        self.events = [event for _source, event, _target in self.path]
        self.end = self.path[-1][2]
        self.walks = walks
        self.build()

    def build(self) -> None:
        """Make what is shared by every walk."""

    def one(self) -> Any:
        """Make what one walk needs; not timed."""
        return None

    def walk(self, one: Any) -> str:
        """Send the events and return the state at the end."""
        raise NotImplementedError

    def run(self) -> dict[str, float]:
        """Walk; return microseconds an event."""
        ready = [self.one() for _ in range(self.walks)]
        gc.collect()
        began = time.process_time()
        for one in ready:
            self.walk(one)
        took = time.process_time() - began
        assert self.walk(self.one()) == self.end
        return {'us': took * 1e6 / self.walks / len(self.events)}


class Dict(Contender):
    """A plain dict of (state, event)."""

    def build(self) -> None:
        self.table = {
            (edge.source, edge.event): edge.target
            for edge in self.machine.table.edges
        }

    def walk(self, one: Any) -> str:
        state = self.start
        for event in self.events:
            state = self.table[state, event]
        return state


class Decide(Contender):
    """Ours: ``Machine.decide``."""

    def walk(self, one: Any) -> str:
        state = self.start
        for event in self.events:
            outcome: Any = self.machine.decide(state, event)
            state = outcome.target
        return state


class Step(Contender):
    """Ours: the machine of a type, and ``decide``, as an object asks."""

    def walk(self, one: Any) -> str:
        state = self.start
        for event in self.events:
            outcome: Any = machine_for(KIND, False).decide(state, event)
            state = outcome.target
        return state


class Automaton(Contender):
    """automaton's ``process_event`` on a shallow copy of the machine."""

    def one(self) -> Any:
        copied = self.machine.automaton.copy(shallow=True)
        copied.initialize()
        return copied

    def walk(self, one: Any) -> str:
        for event in self.events:
            one.process_event(event)
        return str(one.current_state)
