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

"""How the size of batches follows what was measured."""

import math

import hypothesis
from hypothesis import strategies as st

from nova_migration.db import pace
from tests import base

#: Batches after which a size has come to rest, from any size to any other.
ENOUGH = 400


@st.composite
def limits(draw):
    """Return limits in the order that they have."""
    floor, start, ceiling = sorted(
        draw(st.lists(st.integers(1, 10**6), min_size=3, max_size=3))
    )
    return pace.Limits(floor, start, ceiling, draw(st.floats(0.001, 10)))


#: What may happen to a batch: a conflict, or a share of its rows and the
#: seconds that they took.
EVENTS = st.lists(
    st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1000)), max_size=60
)

#: Seconds that a row takes.
COSTS = st.floats(1e-7, 1)


def play(paced, events):
    """Tell a pace what happened, and yield its size before and after."""
    for event in events:
        before = paced.size
        if event is None:
            paced.conflicted()
        else:
            share, seconds = event
            paced.succeeded(int(before * share), seconds)
        yield event, before, paced.size


def work(paced, cost, commit=0.0, batches=ENOUGH):
    """Have all batches take a constant time a row, and one for the commit."""
    for _ in range(batches):
        paced.succeeded(paced.size, commit + paced.size * cost)
    return paced.size


class PaceTest(base.TestCase):
    """Quiet grows it, slowness and conflicts shrink it."""

    @hypothesis.given(limits(), EVENTS)
    def test_within_the_limits(self, bounds, events):
        """Whatever happens, the size is between floor and ceiling."""
        paced = pace.Pace(bounds)
        self.assertEqual(bounds.start, paced.size)
        for _event, _before, after in play(paced, events):
            self.assertTrue(bounds.floor <= after <= bounds.ceiling)

    @hypothesis.given(limits(), EVENTS)
    def test_conflict_shrinks(self, bounds, events):
        """After a conflict a batch is a quarter, or as small as may be."""
        paced = pace.Pace(bounds)
        for event, before, after in play(paced, [*events, None]):
            if event is None:
                self.assertTrue(
                    after == bounds.floor
                    or after <= before / (pace.SHRINK - 1),
                    (before, after),
                )

    @hypothesis.given(limits(), EVENTS)
    def test_steps(self, bounds, events):
        """Without a conflict a batch is half to twice as large as the last."""
        paced = pace.Pace(bounds)
        for event, before, after in play(paced, events):
            if event is not None:
                self.assertLessEqual(after, 2 * (before + 1))
                self.assertGreaterEqual(after, before // 2)

    @hypothesis.given(limits(), EVENTS, st.floats(0, 1000))
    def test_what_was_not_tried_is_not_known(self, bounds, events, seconds):
        """A batch of fewer rows than asked for does not make the next grow."""
        paced = pace.Pace(bounds)
        for _ in play(paced, events):
            pass
        before = paced.size
        paced.succeeded(before - 1, seconds)
        self.assertLessEqual(paced.size, before)

    @hypothesis.given(limits(), COSTS, st.integers(0, 5))
    def test_converges(self, bounds, cost, conflicts):
        """A constant cost of a row leads to the size that takes the target."""
        paced = pace.Pace(bounds)
        for _ in range(conflicts):
            paced.conflicted()
        wanted = max(bounds.floor, min(bounds.target / cost, bounds.ceiling))
        self.assertAlmostEqual(wanted, work(paced, cost), delta=1)

    @hypothesis.given(COSTS, st.floats(0, 0.45))
    def test_converges_beside_a_commit(self, cost, commit):
        """What a commit takes is left to it."""
        bounds = pace.Limits(1, 1000, 10**6, 1.0)
        wanted = max(1, min((1 - commit) / cost, bounds.ceiling))
        found = work(pace.Pace(bounds), cost, commit)
        self.assertAlmostEqual(wanted, found, delta=1 + wanted * 0.01)

    @hypothesis.given(limits(), EVENTS, limits(), COSTS)
    def test_other_limits(self, bounds, events, others, cost):
        """Other limits hold at once, and so does their target."""
        paced = pace.Pace(bounds)
        for _ in play(paced, events):
            pass
        paced.succeeded(paced.size, paced.size * cost)
        before = paced.size
        paced.use(others)
        self.assertTrue(others.floor <= paced.size <= others.ceiling)
        most = max(others.floor, others.target / cost)
        if others != bounds:
            self.assertLessEqual(paced.size, most + 1)
        self.assertLessEqual(paced.size, max(before, others.floor))

    def test_grows_slowly_after_a_conflict(self):
        """Who has met a conflict feels its way back."""
        bounds = pace.Limits(1, 1024, 4096, 1.0)
        careless, careful = pace.Pace(bounds), pace.Pace(bounds)
        careful.conflicted()
        self.assertEqual(256, careful.size)
        self.assertEqual(4096, work(careless, 1e-9, batches=2))
        self.assertLess(work(careful, 1e-9, batches=2), 512)
        self.assertEqual(4096, work(careful, 1e-9))

    def test_clock_that_stands_still(self):
        """No time at all is no error."""
        paced = pace.Pace(pace.SERVER)
        paced.succeeded(paced.size, 0.0)
        self.assertEqual(2 * pace.SERVER.start, paced.size)


class LimitsTest(base.TestCase):
    """What suits which server."""

    @hypothesis.given(st.integers(1, 10**9), COSTS)
    def test_fixed(self, size, cost):
        """A size that was asked for is not changed by what it takes."""
        self.assertEqual(size, work(pace.Pace(pace.fixed(size)), cost))

    @hypothesis.given(st.integers(1, 10**9))
    def test_fixed_and_a_conflict(self, size):
        """Only a conflict makes it smaller, and quiet then gives it back."""
        paced = pace.Pace(pace.fixed(size))
        paced.conflicted()
        small = pace.GALERA.floor
        self.assertTrue(paced.size < size or size <= small)
        self.assertGreaterEqual(paced.size, min(size, small))
        self.assertEqual(size, work(paced, 1.0))

    def test_in_order(self):
        """Every server's first batch is between its smallest and largest."""
        suits = (pace.SERVER, pace.GALERA, pace.FILE)
        for bounds in (*suits, pace.SERVER.alone, pace.FILE.alone):
            self.assertLessEqual(bounds.floor, bounds.start)
            self.assertLessEqual(bounds.start, bounds.ceiling)
            self.assertTrue(0 < bounds.target < math.inf)

    def test_galera_is_gentle(self):
        """A batch is a stop for a whole cluster."""
        self.assertLess(pace.GALERA.target, pace.SERVER.target)
        self.assertLessEqual(pace.GALERA.ceiling, 10_000)
