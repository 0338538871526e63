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

"""A machine as a list, as mermaid, as Graphviz and as a picture."""

from collections.abc import Iterator
import subprocess
from typing import Any

from automaton.converters import pydot

from nova_migration.states.machine import Machine
from nova_migration.states.table import Absorbed
from nova_migration.states.table import Edge

EDGE_COLUMNS = ('From', 'Event', 'To', 'Outcome', 'Why')
STATE_COLUMNS = ('State', 'Legacy', 'Status', 'Flags', 'Terminal', 'Meaning')


def edge_rows(machine: Machine) -> Iterator[tuple[str, ...]]:
    """Yield the edges, then the absorbed reports, as :data:`EDGE_COLUMNS`."""
    for edge in machine.table.edges:
        ends = str(edge.source), edge.event, str(edge.target)
        yield (*ends, 'moved', edge.why)
    for pair in machine.table.absorbed:
        stays = str(pair.state)
        yield (stays, pair.event, stays, 'absorbed', pair.why)


def state_rows(machine: Machine) -> Iterator[tuple[str, ...]]:
    """Yield the states as :data:`STATE_COLUMNS`."""
    for state in machine.table.states:
        yield (
            str(state.name),
            ', '.join(state.spellings),
            str(state.status),
            ', '.join(sorted(state.flags)),
            'yes' if state.terminal else 'no',
            state.meaning,
        )


def mermaid(machine: Machine) -> str:
    """Return a mermaid state diagram; absorbed reports are notes in it."""
    lines = ['stateDiagram-v2']
    for state in machine.table.states:
        lines.append(f'    state "{state.name}" as {_identifier(state.name)}')
    lines.append(f'    [*] --> {_identifier(machine.table.start.name)}')
    for edge in machine.table.edges:
        lines.append(_arrow(edge))
    for state in machine.table.states:
        if state.terminal:
            lines.append(f'    {_identifier(state.name)} --> [*]')
    for pair in machine.table.absorbed:
        lines.append(_note(pair))
    return '\n'.join(lines) + '\n'


def _identifier(name: str) -> str:
    return name.replace('-', '_')


def _arrow(edge: Edge) -> str:
    source, target = _identifier(edge.source), _identifier(edge.target)
    return f'    {source} --> {target} : {edge.event}'


def _note(pair: Absorbed) -> str:
    state = _identifier(pair.state)
    return f'    note right of {state} : absorbs {pair.event}'


def _graph(machine: Machine) -> Any:
    def node(name: str) -> dict[str, Any]:
        state = machine.states[name]
        return {
            'shape': 'box',
            'style': '"rounded,bold"' if state.terminal else 'rounded',
            'tooltip': f'"{state.meaning}"',
            'label': f'"{state.name}\\n({state.status})"',
        }

    def edge(_source: str, event: str, _target: str) -> dict[str, Any]:
        return {'label': f'" {event} "', 'fontsize': 10}

    graph = pydot.convert(
        machine.automaton,
        f'"{machine.name}"',
        graph_attrs={'rankdir': 'TB', 'fontname': 'sans-serif'},
        node_attrs_cb=node,
        edge_attrs_cb=edge,
    )
    return graph


def dot(machine: Machine) -> str:
    """Return the machine in Graphviz's language."""
    return str(_graph(machine).to_string())


def svg(machine: Machine) -> str:
    """Return the machine as an SVG picture.

    :raises OSError: Graphviz's ``dot`` is not installed
    :raises subprocess.CalledProcessError: it fails
    """
    run = subprocess.run(
        ['dot', '-Tsvg'],
        input=dot(machine),
        capture_output=True,
        check=True,
        text=True,
    )
    return run.stdout
