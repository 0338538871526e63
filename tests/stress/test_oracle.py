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

"""The model that the other tests check histories with."""

from nova_migration.states import MACHINES
from tests import base
from tests.stress import oracle

_LIVE = oracle.MODELS['live-migration']
_BEGIN = [
    ('queued', 'prepare', 'preparing'),
    ('accepted', 'queue', 'queued'),
]


class OracleTest(base.TestCase):
    """What the model takes for a history, and what it does not."""

    def test_path(self):
        """Moves in any order are a path, if they are one."""
        self.assertEqual(
            ['accepted', 'queued', 'preparing'], _LIVE.path(_BEGIN)
        )

    def test_path_through_an_error(self):
        """A state may be left twice, if it was come to twice."""
        moves = [
            *_BEGIN,
            ('preparing', 'fail', 'error'),
            ('error', 'prepare', 'preparing'),
            ('preparing', 'run', 'running'),
        ]

        path = _LIVE.path(moves)

        self.assertEqual(
            ['accepted', 'queued', 'preparing', 'error'], path[:4]
        )
        self.assertEqual(['preparing', 'running'], path[4:])

    def test_no_path(self):
        """A wrong step, a gap, or two ways out of a state is no path."""
        for moves in (
            [*_BEGIN, ('preparing', 'run', 'completed')],
            [*_BEGIN, ('preparing', 'complete', 'completed')],
            [*_BEGIN, ('preparing', 'claim', 'preparing')],
            [*_BEGIN, ('running', 'complete', 'completed')],
            [*_BEGIN, ('queued', 'cancel', 'cancelled')],
            [*_BEGIN, ('queued', 'fail', 'error')],
            [*_BEGIN, _BEGIN[0]],
        ):
            self.assertRaises(AssertionError, _LIVE.path, moves)

    def test_library(self):
        """The library's table and the list that was typed by hand agree."""
        self.assertEqual(MACHINES.keys(), oracle.MODELS.keys())
        for name, model in oracle.MODELS.items():
            table = MACHINES[name].table
            self.assertEqual(
                {(e.source, e.event): e.target for e in table.edges},
                model.moved,
            )
            self.assertEqual(
                {(pair.state, pair.event) for pair in table.absorbed},
                model.absorbed,
            )
