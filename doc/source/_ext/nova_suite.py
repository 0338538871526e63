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

"""Tables of what Nova's own tests asked of the machines.

They are made from the results of the whole runs, which are in the tree.
"""

import collections
from collections.abc import Iterator
import functools
import json
import pathlib
import tomllib
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
import qemu_streams

from nova_migration.states import MACHINES

_SUITE = pathlib.Path(__file__).resolve().parents[3] / 'tests' / 'nova_suite'

Asked = tuple[str, str, str, str]


@functools.cache
def runs() -> tuple[dict[str, Any], ...]:
    """Return the results of the whole runs."""
    paths = sorted((_SUITE / 'results').glob('*.json'))
    return tuple(json.loads(path.read_text('utf-8')) for path in paths)


def _of(run: dict[str, Any], part: str) -> str:
    return str(run['way'][part])


def _counted(run: dict[str, Any]) -> collections.Counter[str]:
    counts: collections.Counter[str] = collections.Counter()
    for edge in run['edges']:
        counts[edge['result']] += edge['count']
    return counts


def _totals() -> Iterator[tuple[object, ...]]:
    for run in runs():
        counts = _counted(run)
        outcomes = run['outcomes']
        yield (
            _of(run, 'status_format'),
            _of(run, 'mode'),
            outcomes.get('success', 0),
            outcomes.get('skip', 0),
            len(run['prevented']),
            len(run['unexpected']),
            *(counts[result] for result in _RESULTS),
        )


#: What a transition comes to, in the words of the drop-in.
_RESULTS = (
    'created',
    'moved',
    'unchanged',
    'absorbed',
    'refused',
    'let-through',
)


def _asked() -> dict[Asked, list[int]]:
    """Return how often each transition was asked for, run by run."""
    found: dict[Asked, list[int]] = {}
    for number, run in enumerate(runs()):
        for edge in run['edges']:
            key = (
                edge['machine'],
                edge['before'] or '',
                edge['asked'] or '',
                edge['result'],
            )
            counts = found.setdefault(key, [0] * len(runs()))
            counts[number] += edge['count']
    return found


def _edges() -> Iterator[tuple[object, ...]]:
    order = list(MACHINES)
    found = _asked()
    for key in sorted(found, key=lambda key: (order.index(key[0]), key)):
        machine, before, asked, result = key
        yield machine, before, asked, result, *found[key]


def _unseen() -> Iterator[tuple[object, ...]]:
    """Return the edges that no test asked for."""
    moved = {key[:3] for key in _asked() if key[3] == 'moved'}
    for name, machine in MACHINES.items():
        for edge in machine.table.edges:
            before = machine.state(edge.source).spellings
            after = machine.state(edge.named).spellings
            if not any((name, b, a) in moved for b in before for a in after):
                yield name, edge.source, edge.event, edge.target, edge.why


def _prevented() -> Iterator[tuple[object, ...]]:
    listed = tomllib.loads((_SUITE / 'prevented.toml').read_text('utf-8'))
    for entry in listed['prevented']:
        yield entry['test'], ', '.join(entry['modes']), entry['reason']


def _nothing() -> list[nodes.Node]:
    """Return the sentence for a tree without results."""
    return [nodes.paragraph('', 'No whole run has been recorded yet.')]


class Runs(Directive):
    """``.. nova-suite-runs::``: how each whole run ended."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        if not runs():
            return _nothing()
        columns = (
            *('Rows', 'Mode', 'Passed', 'Skipped', 'Prevented', 'Unexpected'),
            *(result.capitalize() for result in _RESULTS),
        )
        words = frozenset({0, 1})
        title = f'{len(runs())} runs'
        return [qemu_streams.table_of(title, columns, _totals(), words)]


class Edges(Directive):
    """``.. nova-suite-edges::``: what was asked for, and how often."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        if not runs():
            return _nothing()
        ways = (
            f'{_of(run, "status_format")}, {_of(run, "mode")}'
            for run in runs()
        )
        columns = ('Machine', 'From', 'Asked', 'Result', *ways)
        words = frozenset({0, 1, 2})
        title = 'Transitions that Nova asked for'
        return [qemu_streams.table_of(title, columns, _edges(), words)]


class Unseen(Directive):
    """``.. nova-suite-unseen::``: the edges that no test takes."""

    def run(self) -> list[nodes.Node]:
        """Return the table, which without a run would be of every edge."""
        if not runs():
            return []
        columns = ('Machine', 'From', 'Event', 'To', 'Circumstance')
        words = frozenset({0, 1, 2, 3})
        title = "Edges that none of Nova's tests takes"
        return [qemu_streams.table_of(title, columns, _unseen(), words)]


class Prevented(Directive):
    """``.. nova-suite-prevented::``: the tests that have to fail."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        columns = ('Test', 'Modes', 'Reason')
        words = frozenset({0})
        title = 'Tests that assert what is prevented'
        return [qemu_streams.table_of(title, columns, _prevented(), words)]


def setup(app):
    """Register the directives."""
    app.add_directive('nova-suite-runs', Runs)
    app.add_directive('nova-suite-edges', Edges)
    app.add_directive('nova-suite-unseen', Unseen)
    app.add_directive('nova-suite-prevented', Prevented)
    return {'parallel_read_safe': True}
