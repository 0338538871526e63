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


"""QEMU's words, and what a binary says that it has."""

from nova_migration.hypervisor.qemu import vocabulary
from tests import base

#: What query-qmp-schema answers, as far as it is looked at; its names are
#: masked, as QEMU masks them.
SCHEMA = [
    {'name': 'query-migrate', 'meta-type': 'command', 'ret-type': '7'},
    {
        'name': '7',
        'meta-type': 'object',
        'members': [
            {'name': 'ram', 'type': '8'},
            {'name': 'status', 'type': '9'},
        ],
    },
    {
        'name': '9',
        'meta-type': 'enum',
        'values': ['none', 'setup', 'failing', 'brand-new'],
    },
]


class VocabularyTest(base.TestCase):
    def test_read_from_the_schema(self):
        """The statuses are found although their type's name is masked."""
        found = vocabulary.Vocabulary.from_schema(SCHEMA)
        self.assertIn('failing', found.names)
        self.assertEqual({'brand-new'}, found.unknown)
        self.assertTrue(found.fails_when_settled)

    def test_a_schema_without_it(self):
        """A binary that does not tell has an empty list, and no error."""
        found = vocabulary.Vocabulary.from_schema([])
        self.assertEqual(frozenset(), found.names)
        self.assertFalse(found.fails_when_settled)

    def test_an_unknown_status_is_classed(self):
        """A word that nobody knows is kept, and taken for no promise."""
        status = vocabulary.classify('brand-new')
        self.assertEqual('brand-new', status.name)
        self.assertEqual(vocabulary.StatusClass.UNKNOWN, status.kind)
        self.assertFalse(status.reversible)

    def test_terminal_and_no_return(self):
        """The groups that decide are taken from the table."""
        self.assertEqual(
            {'completed', 'failed', 'cancelled'}, vocabulary.TERMINAL
        )
        self.assertNotIn('postcopy-device', vocabulary.NO_RETURN)
        self.assertIn('postcopy-paused', vocabulary.NO_RETURN)

    def test_definite_states_are_the_verdicts(self):
        """Each verdict is also a state."""
        for verdict in vocabulary.Verdict:
            self.assertEqual(verdict.value, vocabulary.State(verdict.value))
