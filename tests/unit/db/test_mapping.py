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

"""What an operator may say of strings that the table does not know."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from nova_migration import exception
from nova_migration.db import clauses
from nova_migration.db import mapping
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import registry
from tests import base

STATES = sorted(registry.states_with())

#: Texts that are often nearly a mapping.
TEXTS = st.lists(
    st.sampled_from(
        ['=', ':', *MIGRATION_TYPES, *STATES, *sorted(registry.legacy_with())]
    )
    | st.text(max_size=5),
    max_size=6,
).map(''.join)


class ParseTest(base.TestCase):
    """One --map argument."""

    def test_without_a_type(self):
        """A rule without a type is for every type."""
        self.assertEqual(
            mapping.Rule('odd=error', MIGRATION_TYPES, 'odd', 'error'),
            mapping.parse('odd=error'),
        )

    def test_with_a_type(self):
        """A rule with a type is for that type only."""
        for kind in MIGRATION_TYPES:
            rule = mapping.parse(f'{kind}:odd=error')

            self.assertEqual(((kind,), 'odd'), (rule.kinds, rule.old))

    def test_equals_signs_in_the_string(self):
        """The string may have equals signs: the last one ends it."""
        rule = mapping.parse('a=b=c=error')

        self.assertEqual(('a=b=c', 'error'), (rule.old, rule.state))

    def test_colons_in_the_string(self):
        """The string may have colons: only a type's is not part of it."""
        for text, kinds, old in (
            ('odd:string=error', MIGRATION_TYPES, 'odd:string'),
            (':=error', MIGRATION_TYPES, ':'),
            ('cross-cell:odd=error', MIGRATION_TYPES, 'cross-cell:odd'),
            ('Resize:odd=error', MIGRATION_TYPES, 'Resize:odd'),
            ('resize:a:b=error', ('resize',), 'a:b'),
            ('resize:migration:a=error', ('resize',), 'migration:a'),
        ):
            rule = mapping.parse(text)

            self.assertEqual((kinds, old), (rule.kinds, rule.old))

    def test_empty_string(self):
        """The empty string is a string that a row can hold."""
        self.assertEqual('', mapping.parse('=error').old)
        self.assertEqual('', mapping.parse('resize:=error').old)

    def test_malformed(self):
        """What is not written as a rule is refused with how to write it."""
        for text in ('', 'odd', 'odd=', '=', 'resize:odd', 'resize:odd='):
            error = self.assertRaises(
                exception.InvalidMapping, mapping.parse, text
            )

            self.assertEqual(text, error.mapping)
            self.assertIn('[TYPE:]OLD=STATE', str(error))

    @given(
        st.sampled_from(['', *(f'{kind}:' for kind in MIGRATION_TYPES)]),
        st.text(),
        st.sampled_from(STATES),
    )
    def test_any_string_can_be_said(self, kind, old, state):
        """Whatever a row holds, there is an argument that names it."""
        text = f'{kind}{old}={state}'

        rule = mapping.parse(text)

        self.assertEqual((text, state), (rule.text, rule.state))
        said = f'{rule.kinds[0]}:' if len(rule.kinds) == 1 else ''
        self.assertEqual(text, f'{said}{rule.old}={state}')

    @given(st.text() | TEXTS)
    def test_any_text(self, text):
        """Any text is a rule or is refused, and nothing else happens."""
        try:
            rule = mapping.parse(text)
        except exception.InvalidMapping as error:
            self.assertIn(text, str(error))
        else:
            self.assertNotEqual('', rule.state)


class MeaningsTest(base.TestCase):
    """What every string means, the operator's included."""

    def refused(self, *arguments):
        """Return the message that the arguments are refused with."""
        error = self.assertRaises(
            exception.InvalidMapping, mapping.meanings_with, arguments
        )
        self.assertEqual(arguments[-1], error.mapping)
        return error.reason

    def test_no_rules(self):
        """Without rules, strings mean what the table says."""
        self.assertEqual(clauses.legacy_meanings(), mapping.meanings_with())

    def test_state_of_every_type(self):
        """A rule holds for each type that has the state."""
        meanings = mapping.meanings_with(['odd=error'])

        self.assertEqual(
            dict.fromkeys(MIGRATION_TYPES, 'error'),
            {kind: words['odd'] for kind, words in meanings.items()},
        )

    def test_state_that_some_types_lack(self):
        """A type without the state does not learn the string."""
        meanings = mapping.meanings_with(['odd=postcopy'])

        self.assertEqual(
            ['live-migration'], [k for k in meanings if 'odd' in meanings[k]]
        )

    def test_only_the_type_that_is_named(self):
        """A rule with a type leaves the other types alone."""
        meanings = mapping.meanings_with(['resize:odd=error'])

        self.assertEqual(
            ['resize'], [k for k in meanings if 'odd' in meanings[k]]
        )

    def test_type_that_lacks_the_state(self):
        """A rule for a type without the state is refused, naming its own."""
        reason = self.refused('resize:odd=postcopy')

        self.assertIn("resize has no state 'postcopy'", reason)
        for state in MACHINES['resize'].states:
            self.assertIn(state, reason)

    def test_unknown_state(self):
        """A state that no machine has is answered with the nearest."""
        reason = self.refused('odd=eror')

        self.assertIn("Unknown state 'eror': did you mean 'error'?", reason)

    def test_legacy_string_is_no_state(self):
        """A string is mapped to a state, not to another string."""
        self.assertIn("Unknown state 'finished'", self.refused('odd=finished'))

    def test_known_string(self):
        """What a string that the table knows means cannot be changed."""
        for kind in MIGRATION_TYPES:
            for word, state in MACHINES[kind].legacy.items():
                reason = self.refused(f'{kind}:{word}=error')

                self.assertIn(
                    f'{word!r} already means {str(state.name)!r} for {kind}',
                    reason,
                )

    def test_string_that_every_type_knows(self):
        """A rule that no type is free for is refused."""
        self.assertIn(
            'which cannot be changed', self.refused('pre-migrating=error')
        )

    def test_string_that_some_types_know(self):
        """A rule without a type holds where the string is not known yet."""
        meanings = mapping.meanings_with(['finished=error'])

        for kind, words in meanings.items():
            known = MACHINES[kind].legacy.get('finished')
            self.assertEqual(
                known.name if known else 'error', words['finished']
            )

    def test_rule_that_contradicts_an_earlier_one(self):
        """The second of two rules for a string is refused."""
        self.assertIn(
            "'odd' already means 'error'",
            self.refused('odd=error', 'odd=failed'),
        )

    def test_rules_for_several_types(self):
        """A string can mean one thing for one type, another for the rest."""
        meanings = mapping.meanings_with(
            ['evacuation:odd=evacuated', 'odd=error']
        )

        self.assertEqual('evacuated', meanings['evacuation']['odd'])
        self.assertEqual('error', meanings['resize']['odd'])

    @given(st.lists(TEXTS, max_size=3))
    def test_any_arguments(self, arguments):
        """Any arguments are refused, or add meanings and change none."""
        try:
            meanings = mapping.meanings_with(arguments)
        except exception.InvalidMapping as error:
            self.assertIn(error.mapping, arguments)
            return
        for kind, known in clauses.legacy_meanings().items():
            self.assertLessEqual(known.items(), meanings[kind].items())
            self.assertLessEqual(
                set(meanings[kind].values()), set(MACHINES[kind].states)
            )

    @given(TEXTS)
    def test_the_table_is_never_changed(self, text):
        """A rule is for the call that it was given to."""
        before = clauses.legacy_meanings()
        with contextlib.suppress(exception.InvalidMapping):
            mapping.meanings_with([text])

        self.assertEqual(before, mapping.meanings_with())
