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

"""What a table of states is refused for, and what it can be about."""

import dataclasses
import itertools

from hypothesis import given
from hypothesis import strategies as st

from nova_migration.states import Absorbed
from nova_migration.states import DeclarationError
from nova_migration.states import Edge
from nova_migration.states import Lengths
from nova_migration.states import Machine
from nova_migration.states import State
from nova_migration.states import Table
from nova_migration.states import UnknownWord
from nova_migration.states import table as table_mod
from tests import base

LENGTHS = Lengths(state=12, status=16)


def state(name, **changes):
    """Return a state that nothing is wrong with."""
    row = State(
        name=name, status='public', legacy=f'old {name}', meaning='It is so.'
    )
    return dataclasses.replace(row, **changes)


def edge(source, event, target):
    """Return an edge that says why."""
    return Edge(source, event, target, 'It happens.')


def mistaken(source, event, said):
    """Return an edge to the end that programs take for another one."""
    return Edge(source, event, 'deleted', 'It was lost.', said=said)


# An image service's records, which have nothing to do with moving servers.
IMAGE = {
    'name': 'image',
    'title': 'Image',
    'states': (
        state('queued', start=True, aliases=('pending',)),
        state('saving'),
        state('active', flags=frozenset({'readable'})),
        state('deleted', terminal=True),
    ),
    'edges': (
        edge('queued', 'upload', 'saving'),
        edge('saving', 'finish', 'active'),
        edge('saving', 'abort', 'queued'),
        edge('active', 'delete', 'deleted'),
        edge('queued', 'delete', 'deleted'),
    ),
    'absorbed': (Absorbed('deleted', 'finish', 'The upload reports late.'),),
    'lengths': LENGTHS,
}


def declare(**changes):
    """Declare the image table with something else in it."""
    return Table(**{**IMAGE, **changes})


def with_state(name, **changes):
    """Return the image states, one of them changed."""
    return tuple(
        dataclasses.replace(row, **changes) if row.name == name else row
        for row in IMAGE['states']
    )


class RefusalTest(base.TestCase):
    """Each fault of a declaration is refused, and the culprit named."""

    def assert_refused(self, sentence, **changes):
        """Declare the image table with a fault and read the message."""
        refusal = self.assertRaises(DeclarationError, declare, **changes)
        self.assertEqual(f"machine 'image': {sentence}", str(refusal))

    def test_unreachable_state(self):
        """A state that no edge leads to from the start is refused."""
        self.assert_refused(
            "state 'lost' cannot be reached",
            states=(*IMAGE['states'], state('lost')),
            edges=(*IMAGE['edges'], edge('lost', 'delete', 'deleted')),
        )

    def test_trap(self):
        """A state from which no terminal state can be reached is refused."""
        self.assert_refused(
            "state 'stuck' is a trap: no terminal state follows",
            states=(*IMAGE['states'], state('stuck')),
            edges=(
                *IMAGE['edges'],
                edge('saving', 'hang', 'stuck'),
                edge('stuck', 'retry', 'stuck'),
            ),
        )

    def test_edge_out_of_a_terminal_state(self):
        """What is terminal has no edge."""
        self.assert_refused(
            "terminal state 'deleted' has edge 'restore'",
            edges=(*IMAGE['edges'], edge('deleted', 'restore', 'active')),
        )

    def test_two_starts(self):
        """A machine begins in one state only."""
        self.assert_refused(
            "two starts, 'queued' and 'saving'",
            states=with_state('saving', start=True),
        )

    def test_no_start(self):
        """A machine begins somewhere."""
        self.assert_refused(
            'no state is the start', states=with_state('queued', start=False)
        )

    def test_no_states(self):
        """A machine without any state has no start either."""
        self.assert_refused(
            'no state is the start', states=(), edges=(), absorbed=()
        )

    def test_name_longer_than_its_column(self):
        """A name that the state column would cut off is refused."""
        name = 'x' * (LENGTHS.state + 1)
        self.assert_refused(
            f'{name!r} is longer than its column (12)',
            states=(*IMAGE['states'], state(name, legacy='x')),
            edges=(
                *IMAGE['edges'],
                edge('saving', 'x', name),
                edge(name, 'delete', 'deleted'),
            ),
        )

    def test_word_longer_than_its_column(self):
        """A status, legacy string or alias that would be cut is refused."""
        word = 'x' * (LENGTHS.status + 1)
        for change in (
            {'status': word},
            {'legacy': word},
            {'aliases': ('fine', word)},
        ):
            self.assert_refused(
                f'{word!r} is longer than its column (16)',
                states=with_state('saving', **change),
            )

    def test_word_as_long_as_its_column(self):
        """A word that just fits is not refused."""
        word = 'x' * LENGTHS.status

        table = declare(states=with_state('saving', legacy=word))

        self.assertEqual('saving', table.by_legacy[word].name)

    def test_legacy_string_of_two_states(self):
        """A legacy string must say which state it means."""
        self.assert_refused(
            "legacy string 'old queued' names two states",
            states=with_state('saving', legacy='old queued'),
        )

    def test_alias_that_is_the_legacy_string_of_another_state(self):
        """An alias must say which state it means, too."""
        self.assert_refused(
            "legacy string 'old active' names two states",
            states=with_state('saving', aliases=('old active',)),
        )

    def test_alias_of_two_states(self):
        """Two states do not share an alias."""
        self.assert_refused(
            "legacy string 'pending' names two states",
            states=with_state('saving', aliases=('pending',)),
        )

    def test_undeclared_state_in_a_row(self):
        """An edge or an absorbed pair of a state that is none is refused."""
        for changes in (
            {'edges': (*IMAGE['edges'], edge('gone', 'delete', 'deleted'))},
            {'edges': (*IMAGE['edges'], edge('active', 'lose', 'gone'))},
            {'edges': (*IMAGE['edges'], mistaken('active', 'lose', 'gone'))},
            {'absorbed': (Absorbed('gone', 'finish', 'Late.'),)},
        ):
            self.assert_refused(
                "state 'gone' has edges but is not declared", **changes
            )

    def test_two_outcomes_of_an_event(self):
        """An event does one thing to a record in a state."""
        for changes in (
            {'edges': (*IMAGE['edges'], edge('saving', 'finish', 'deleted'))},
            {'edges': (*IMAGE['edges'], edge('saving', 'finish', 'active'))},
            {'absorbed': (Absorbed('saving', 'finish', 'Late.'),)},
        ):
            self.assert_refused(
                "event 'finish' from 'saving' has two outcomes", **changes
            )

    def test_report_of_two_moves(self):
        """What a report is taken for is said once, or follows the edges."""
        self.assert_refused(
            "report of 'active' from 'saving' is two moves",
            edges=(*IMAGE['edges'], mistaken('saving', 'lose', 'active')),
        )

    def test_absorbed_twice(self):
        """An absorbed pair is declared once."""
        self.assert_refused(
            "event 'finish' from 'deleted' has two outcomes",
            absorbed=IMAGE['absorbed'] * 2,
        )

    def test_absorbed_event_that_moves_nothing(self):
        """Only what moves a record from somewhere can be late elsewhere."""
        self.assert_refused(
            "absorbed event 'explode' is on no edge",
            absorbed=(Absorbed('active', 'explode', 'Late.'),),
        )

    def test_row_without_a_sentence(self):
        """Every row says what it means, or why it is there."""
        for row, changes in (
            ('saving', {'states': with_state('saving', meaning=' ')}),
            (
                'queued upload',
                {
                    'edges': (
                        Edge('queued', 'upload', 'saving', ''),
                        *IMAGE['edges'][1:],
                    )
                },
            ),
            (
                'deleted finish',
                {'absorbed': (Absorbed('deleted', 'finish', '\n'),)},
            ),
        ):
            self.assert_refused(
                f'{row!r} does not say what it means', **changes
            )

    def test_doubled_state(self):
        """A state is declared once."""
        self.assert_refused(
            "state 'saving' is declared twice",
            states=(*IMAGE['states'], state('saving', legacy='again')),
        )


@st.composite
def tables(draw):
    """Draw what a sound table is made of: a way from start to end, and more.

    The states stand in a row that one event each leads along; further edges
    join any two of them, except that none leaves the last, which is terminal.
    """
    names = [f's{n}' for n in range(draw(st.integers(2, 6)))]
    states = [
        state(name, start=name == names[0], terminal=name == names[-1])
        for name in names
    ]
    edges = [
        edge(source, 'go', target)
        for source, target in itertools.pairwise(names)
    ]
    more = st.tuples(
        st.sampled_from(names[:-1]),
        st.sampled_from(['a', 'b', 'c']),
        st.sampled_from(names),
    )
    chosen = draw(st.lists(more, unique_by=lambda row: row[:2]))
    edges += [edge(*row) for row in chosen]
    return {
        'name': 'any',
        'title': 'Any',
        'states': tuple(states),
        'edges': tuple(edges),
        'absorbed': (Absorbed(names[-1], 'go', 'Late.'),),
        'lengths': LENGTHS,
    }


def _replaced(rows, old, **changes):
    return tuple(
        dataclasses.replace(row, **changes) if row is old else row
        for row in rows
    )


def _double_state(parts, row):
    parts['states'] += (row,)
    return f'{row.name!r} is declared twice'


def _unreachable(parts, _row):
    parts['states'] += (state('island'),)
    parts['edges'] += (edge('island', 'go', parts['states'][-2].name),)
    return "'island' cannot be reached"


def _trap(parts, _row):
    parts['states'] += (state('pit'),)
    parts['edges'] += (edge('s0', 'fall', 'pit'), edge('pit', 'go', 'pit'))
    return "'pit' is a trap"


def _out_of_the_end(parts, row):
    end = parts['states'][-1].name
    parts['edges'] += (edge(end, 'rise', row.name),)
    return f"terminal state {end!r} has edge 'rise'"


def _second_start(parts, _row):
    last = parts['states'][-1]
    parts['states'] = _replaced(parts['states'], last, start=True)
    return f"two starts, 's0' and {last.name!r}"


def _no_start(parts, _row):
    first = parts['states'][0]
    parts['states'] = _replaced(parts['states'], first, start=False)
    return 'no state is the start'


def _too_long(parts, row):
    parts['states'] = _replaced(parts['states'], row, status='y' * 17)
    return f'{"y" * 17!r} is longer'


def _two_meanings(parts, row):
    first, last = parts['states'][0], parts['states'][-1]
    other = last if row is first else first
    parts['states'] = _replaced(parts['states'], row, aliases=(other.legacy,))
    return f'legacy string {other.legacy!r} names two states'


def _undeclared(parts, row):
    parts['edges'] += (edge('s0', 'leave', 'nowhere'),)
    return "'nowhere' has edges but is not declared"


def _two_outcomes(parts, row):
    parts['edges'] += (edge('s0', 'go', row.name),)
    return "event 'go' from 's0' has two outcomes"


def _absorbed_nothing(parts, row):
    parts['absorbed'] += (Absorbed(row.name, 'never', 'Late.'),)
    return "absorbed event 'never' is on no edge"


def _speechless(parts, row):
    parts['states'] = _replaced(parts['states'], row, meaning='')
    return f'{row.name!r} does not say what it means'


FAULTS = (
    _double_state,
    _unreachable,
    _trap,
    _out_of_the_end,
    _second_start,
    _no_start,
    _too_long,
    _two_meanings,
    _undeclared,
    _two_outcomes,
    _absorbed_nothing,
    _speechless,
)


class AnyTableTest(base.TestCase):
    """What holds of every table, whatever it is about."""

    @given(tables())
    def test_sound_table_is_taken(self, parts):
        """A table without a fault makes a machine of the same edges."""
        table = Table(**parts)

        machine = Machine(table)

        self.assertEqual(
            {(e.source, e.event, e.target) for e in table.edges},
            set(machine.automaton),
        )

    @given(tables())
    def test_report_takes_an_edge_to_its_target(self, parts):
        """A report moves where it says, and does so if an edge leads there."""
        machine = Machine(Table(**parts))
        ends = {(e.source, e.target) for e in machine.table.edges}
        for source in machine.states:
            for target in machine.states:
                outcome = machine.report(source, target)

                moved = isinstance(outcome, Edge)
                self.assertEqual((source, target) in ends, moved)
                if moved:
                    self.assertEqual(
                        (source, target), (outcome.source, outcome.target)
                    )

    @given(tables(), st.sampled_from(FAULTS), st.data())
    def test_one_fault_is_refused(self, parts, inject, data):
        """A sound table with one fault is refused, and the culprit named."""
        row = data.draw(st.sampled_from(parts['states']))
        culprit = inject(parts, row)

        refusal = self.assertRaises(DeclarationError, Table, **parts)

        self.assertIn(culprit, str(refusal))


class ImageTest(base.TestCase):
    """A machine about something else than moving servers."""

    def setUp(self):
        super().setUp()
        self.machine = Machine(declare())

    def test_life_of_an_image(self):
        """An image is uploaded, becomes active and is deleted."""
        here = self.machine.table.start.name
        for event in ('upload', 'abort', 'upload', 'finish', 'delete'):
            here = self.machine.decide(here, event).target

        self.assertTrue(self.machine.state(here).terminal)
        self.assertEqual('deleted', here)

    def test_late_report(self):
        """The upload that ends after the image was deleted is absorbed."""
        self.assertEqual(
            IMAGE['absorbed'][0], self.machine.decide('deleted', 'finish')
        )

    def test_report_follows_the_edge_before_it_is_late(self):
        """A report moves along an edge, though another event were late."""
        late = Absorbed('saving', 'delete', 'It waits for the upload.')
        machine = Machine(
            declare(
                edges=(*IMAGE['edges'], edge('saving', 'purge', 'deleted')),
                absorbed=(*IMAGE['absorbed'], late),
            )
        )

        self.assertEqual(
            machine.table.edges[-1], machine.report('saving', 'deleted')
        )

    def test_report_that_is_mistaken(self):
        """A report that names what cannot be moves where it really leads."""
        lost = mistaken('queued', 'lose', 'active')
        machine = Machine(declare(edges=(*IMAGE['edges'], lost)))

        self.assertEqual(lost, machine.report('queued', 'active'))
        self.assertEqual('delete', machine.report('queued', 'deleted').event)
        self.assertEqual('finish', machine.report('saving', 'active').event)

    def test_illegal_step(self):
        """An image that was not uploaded does not become active."""
        self.assertIsNone(self.machine.decide('queued', 'finish'))

    def test_alias(self):
        """An older release's string means the same state."""
        self.assertEqual(
            'queued', self.machine.state_of_legacy('pending').name
        )
        self.assertEqual(
            ('old queued', 'pending'), self.machine.state('queued').spellings
        )

    def test_events_are_in_table_order(self):
        """Events are told in the order of their first edge, each once."""
        self.assertEqual(
            ('upload', 'finish', 'abort', 'delete'), self.machine.table.events
        )

    def test_find_names_what_was_meant(self):
        """A state that is none is answered with its nearest."""
        refusal = self.assertRaises(
            UnknownWord,
            table_mod.find,
            'state',
            'activ',
            self.machine.table.by_name,
        )

        self.assertEqual(['active'], refusal.nearest)


class FamilyTest(base.TestCase):
    """Tables whose records share columns use the same words alike."""

    def test_same_words_for_the_same_things(self):
        """A table is at one with another that agrees on what they share."""
        other = declare(
            name='snapshot', states=with_state('saving', legacy='writing')
        )

        self.assertIsNone(table_mod.check_family([declare(), other]))

    def test_machine_declared_twice(self):
        """Two machines of one name are refused."""
        refusal = self.assertRaises(
            DeclarationError, table_mod.check_family, [declare(), declare()]
        )

        self.assertEqual("machine 'image' is declared twice", str(refusal))

    def test_other_status_for_the_same_state(self):
        """A state has one public status, whichever machine it is in."""
        other = declare(
            name='snapshot', states=with_state('saving', status='writing')
        )

        refusal = self.assertRaises(
            DeclarationError, table_mod.check_family, [declare(), other]
        )

        self.assertEqual(
            "state 'saving' is 'public' in 'image' but 'writing' in"
            " 'snapshot'",
            str(refusal),
        )

    def test_terminal_here_and_not_there(self):
        """A state that ends one machine ends every other that has it."""
        other = declare(
            name='snapshot',
            states=with_state('active', terminal=True),
            edges=tuple(
                row for row in IMAGE['edges'] if row.source != 'active'
            ),
        )

        refusal = self.assertRaises(
            DeclarationError, table_mod.check_family, [declare(), other]
        )

        self.assertEqual(
            "state 'active' is 'public' in 'image' but 'public', terminal in"
            " 'snapshot'",
            str(refusal),
        )
