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


"""Recorded streams with something wrong in them: lost, doubled, late, cut."""

import hypothesis
from hypothesis import strategies as st

from nova_migration.hypervisor.qemu import stream
from nova_migration.hypervisor.qemu import verdict
from tests import base
from tests.unit.hypervisor.qemu import recorded

EXAMPLES = hypothesis.settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def drop(items, index, _other):
    return items[:index] + items[index + 1 :]


def double(items, index, _other):
    return items[: index + 1] + items[index:]


def swap(items, index, _other):
    pair = items[index : index + 2]
    return items[:index] + pair[::-1] + items[index + 2 :]


def delay(items, index, other):
    late = max(index, other)
    without = items[:index] + items[index + 1 :]
    return (*without[:late], items[index], *without[late:])


def _question(side, command, answer):
    """Return a command and its answer, as the recorder writes them."""
    number = f'{command}#back'
    kind = 'query' if command == 'query-migrate' else 'return'
    asked = {'side': side, 'type': 'cmd', 'id': number, 'cmd': command}
    told = {'side': side, 'type': kind, 'id': number, 'cmd': command}
    return [asked, {**told, 'return': answer}]


def cut(items, index, _other):
    """Lose one end's monitor, and find it again at the end with a query.

    An end that nobody could ask any more does not come back.
    """
    side = items[index]['side']
    asked = [
        number
        for number, item in enumerate(items)
        if number > index
        and item['side'] == side
        and item['type'] == 'return'
        and item['cmd'] == 'query-status'
    ]
    until = asked[-1] if asked else len(items)
    blind = [
        item
        for item in items[index:until]
        if item['side'] != side or item['type'] == 'proc'
    ]
    lost = {'side': side, 'type': 'eof'}
    if not asked:
        return (*items[:index], lost, *blind)
    status = recorded.statuses(items[:until], side)[-1:]
    answer = {'status': status[0]} if status else {}
    return (
        *items[:index],
        lost,
        *blind,
        {'side': side, 'type': 'greeting'},
        *_question(side, 'query-migrate', answer),
        *_question(side, 'query-status', items[until]['return']),
        *items[until + 1 :],
    )


def news(items):
    """Return the indices of what tells something, or is asked for once.

    The recorder asked every 50 ms; a cut at an answer that repeats the one
    before is the cut at what comes after it.
    """
    last = {}
    for index, item in enumerate(items):
        side = item['side']
        if side == 'run' or item.get('cmd') == 'query-migrate':
            continue
        if item['type'] == 'query':
            before, last[side] = last.get(side), item['return'].get('status')
            if before == last[side]:
                continue
        yield index


def verdicts(items):
    replayed = stream.replay(items)
    return [
        str(verdict.advance(one).verdict) for one in replayed.journal.attempts
    ]


@st.composite
def places(draw):
    name = draw(st.sampled_from(recorded.NAMES))
    last = len(recorded.load(name)) - 1
    index = draw(st.integers(0, last))
    return name, index, draw(st.integers(0, last))


class MutationTest(base.TestCase):
    def assert_harmless(self, name, items):
        """The guest is where it was, or nobody knows.

        A mutation at the seam of two attempts may join them or leave one
        out; no verdict may appear that was not there.
        """
        expected, found = verdicts(recorded.load(name)), verdicts(items)
        self.assertIn(found[-1], {expected[-1], 'unknown'}, name)
        self.assertEqual(set(), set(found) - {*expected, 'unknown'}, name)

    def check(self, mutate):
        @EXAMPLES
        @hypothesis.given(places())
        def mutated(place):
            name, index, other = place
            items = recorded.load(name)
            self.assert_harmless(name, mutate(items, index, other))

        mutated()

    def test_dropped(self):
        """An item that is lost costs certainty, and misleads nobody."""
        self.check(drop)

    def test_doubled(self):
        """An item that comes twice changes nothing at all."""

        @EXAMPLES
        @hypothesis.given(places())
        def mutated(place):
            name, index, _other = place
            items = recorded.load(name)
            self.assertEqual(
                verdicts(items), verdicts(double(items, index, 0)), name
            )

        mutated()

    def test_delayed(self):
        """An item that comes late moves nothing back."""
        self.check(delay)

    def test_swapped(self):
        """Neighbours in the wrong order mislead nobody."""
        self.check(swap)

    def test_doubled_and_something_else(self):
        """A second monitor's copies do not make another fault worse."""

        @EXAMPLES
        @hypothesis.given(places(), st.sampled_from([drop, swap, delay]))
        def mutated(place, mutate):
            name, index, other = place
            items = double(recorded.load(name), other, 0)
            self.assert_harmless(name, mutate(items, index, other))

        mutated()

    def check_cuts(self, version):
        for name in recorded.NAMES:
            if not name.endswith(version):
                continue
            items = recorded.load(name)
            for index in news(items):
                self.assert_harmless(name, cut(items, index, 0))

    def test_cut_at_each_index_of_7(self):
        """Wherever a monitor is lost, a query on its return is enough."""
        self.check_cuts('.q7')

    def test_cut_at_each_index_of_10_and_11(self):
        """The same with the statuses that later versions have."""
        self.check_cuts('.q10')
        self.check_cuts('.q11')

    def test_mutations_are_not_all_answered_with_unknown(self):
        """Most of what goes wrong does not cost the verdict."""
        kept = total = 0
        for name in recorded.NAMES:
            items = recorded.load(name)
            expected = verdicts(items)
            for index in range(0, len(items), 7):
                total += 1
                kept += verdicts(drop(items, index, 0)) == expected
        self.assertGreater(kept / total, 0.95)
