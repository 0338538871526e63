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

"""What a Galera cluster's counters mean."""

from hypothesis import given
from hypothesis import strategies as st

from nova_migration.db import load
from tests import base

PAUSED, RECEIVED, QUEUE = (
    'wsrep_flow_control_paused_ns',
    'wsrep_flow_control_recv',
    'wsrep_local_recv_queue',
)

COUNTERS = st.fixed_dictionaries(
    {name: st.integers(0, 10**12) for name in (PAUSED, RECEIVED)}
)


class CongestionTest(base.TestCase):
    """Flow control, told from two readings."""

    def quiet(self, **counters):
        """Return the counters of a node that does nothing."""
        return {PAUSED: 0, RECEIVED: 0, QUEUE: 0, **counters}

    def test_quiet(self):
        """Nothing has changed and nothing waits: nobody asks for a pause."""
        self.assertIsNone(load.congestion(self.quiet(), self.quiet()))

    def test_first_reading(self):
        """What was asked for before we came is not for us."""
        now = self.quiet(**{PAUSED: 10**9, RECEIVED: 7})
        self.assertIsNone(load.congestion({}, now))

    def test_pause(self):
        """A node that asked for a pause since the last reading is told of."""
        for name in (PAUSED, RECEIVED):
            reason = load.congestion(self.quiet(), self.quiet(**{name: 1}))
            self.assertIn('flow control', reason)

    def test_queue(self):
        """A node that cannot keep up itself is told of, with the figure."""
        full = self.quiet(**{QUEUE: load.QUEUE + 1})
        for before in ({}, full):
            reason = load.congestion(before, full)
            self.assertIn(f'{load.QUEUE + 1} write sets', reason)
        almost = self.quiet(**{QUEUE: load.QUEUE})
        self.assertIsNone(load.congestion(almost, almost))

    def test_nothing_readable(self):
        """A server that has none of the counters asks for nothing."""
        self.assertIsNone(load.congestion({}, {}))

    @given(COUNTERS, COUNTERS)
    def test_counters(self, before, now):
        """A pause is asked for exactly if a counter has grown."""
        grown = any(now[name] > before[name] for name in before)
        self.assertEqual(grown, bool(load.congestion(before, now)))
