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

"""What a migration may do, written down a second time.

Nothing here comes from the library, so that both cannot be wrong together:
``edges.csv`` was typed by hand from what is known of Nova, edge by edge, and
the words are those that the unit tests compare the library's table with.
"""

import collections
import csv
import dataclasses

from tests import base
from tests import trail

_FOLDER = base.ROOT / 'tests'
_EDGES = _FOLDER / 'stress' / 'edges.csv'
_WORDS = _FOLDER / 'unit' / 'states' / 'vocabulary.csv'


def _rows(path):
    """Yield the rows of a file, one for each machine that they name."""
    with path.open(newline='', encoding='utf-8') as lines:
        for row in csv.DictReader(lines):
            for machine in row['machines'].split():
                yield machine, row


@dataclasses.dataclass
class Model:
    """One machine: where each event leads to, and what is late where."""

    start: str
    moved: dict
    absorbed: set
    legacy: dict
    status: dict

    @property
    def states(self):
        return list(self.legacy)

    @property
    def events(self):
        """Every event of the machine."""
        return sorted(
            {event for _state, event in [*self.moved, *self.absorbed]}
        )

    def onward(self, state):
        """Return the events that lead somewhere else from a state."""
        return [
            event
            for (source, event), target in self.moved.items()
            if source == state != target
        ]

    def position(self, row):
        """Return the state of a raw row, of either form.

        :raises AssertionError: the row is in neither form whole
        """
        if row.state is None:
            (state,) = [s for s, w in self.legacy.items() if w == row.status]
            return state
        if self.status.get(row.state) != row.status:
            raise AssertionError(f'half-written: {row}')
        return row.state

    def path(self, moves, start=None):
        """Return the states that moves lead through, from the start.

        :param moves: (state, event, state), in any order
        :raises AssertionError: they are not one path
        """
        for source, event, target in moves:
            if self.moved.get((source, event)) != target:
                raise AssertionError(f'{source} {event} -> {target}')
        steps = [(source, target) for source, _event, target in moves]
        return trail.of(steps, start or self.start)


def _models():
    made = collections.defaultdict(lambda: Model('', {}, set(), {}, {}))
    for machine, row in _rows(_WORDS):
        made[machine].legacy[row['state']] = row['legacy']
        made[machine].status[row['state']] = row['status']
        if row['start'] == 'yes':
            made[machine].start = row['state']
    for machine, row in _rows(_EDGES):
        step = row['state'], row['event']
        if row['outcome'] == 'absorbed':
            made[machine].absorbed.add(step)
        else:
            made[machine].moved[step] = row['target']
    return dict(made)


#: By the name of the machine.
MODELS = _models()
