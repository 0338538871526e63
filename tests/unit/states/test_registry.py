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

"""Which machine drives what, and the sets that queries ask for."""

from hypothesis import given
from hypothesis import strategies as st

from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import UnknownWord
from nova_migration.states import determine_migration_type
from nova_migration.states import machine_for
from nova_migration.states import registry
from tests import base


class MachineForTest(base.TestCase):
    """The machine of a migration."""

    def test_type_names_the_machine(self):
        """A move within a cell is driven by the machine of its type."""
        for kind in MIGRATION_TYPES:
            for same_cell in (False, None):
                self.assertIs(MACHINES[kind], machine_for(kind, same_cell))

    def test_cross_cell(self):
        """Resizes and cold migrations have another machine across cells."""
        cross = {
            kind: machine_for(kind, True).name for kind in MIGRATION_TYPES
        }

        self.assertEqual(
            {
                'resize': 'cross-cell',
                'migration': 'cross-cell',
                'live-migration': 'live-migration',
                'evacuation': 'evacuation',
            },
            cross,
        )

    def test_strings_do_not_depend_on_the_cell(self):
        """A string means the same state in a cross-cell move."""
        for kind in MIGRATION_TYPES:
            self.assertEqual(
                machine_for(kind).legacy, machine_for(kind, True).legacy
            )

    def test_unknown_type(self):
        """A type that Nova does not have is an error with a hint."""
        error = self.assertRaises(UnknownWord, machine_for, 'evacuate')

        self.assertEqual(['evacuation'], error.nearest)

    def test_machine_is_no_type(self):
        """cross-cell is a machine's name and never a migration_type."""
        self.assertRaises(UnknownWord, machine_for, 'cross-cell')
        self.assertIs(MACHINES['cross-cell'], registry.get('cross-cell'))

    def test_get_by_name(self):
        """A machine is found by its name, a typo is answered with a hint."""
        error = self.assertRaises(UnknownWord, registry.get, 'resise')

        self.assertIn('resize', error.nearest)
        for name, machine in MACHINES.items():
            self.assertIs(machine, registry.get(name))


class DetermineTypeTest(base.TestCase):
    """The type of a row that has none."""

    @given(st.none() | st.integers(), st.none() | st.integers())
    def test_the_flavor_decides(self, old, new):
        """A row whose flavor changes is a resize, any other a migration."""
        self.assertEqual(
            'migration' if old == new else 'resize',
            determine_migration_type(old, new),
        )


class FlagsTest(base.TestCase):
    """The sets of Nova's queries, which are typed out only here."""

    #: Nova 34's own lists of strings, by the question that each answers.
    NOVA = {
        # db:3294
        MigrationFlag.UNCONFIRMED: {'finished'},
        # api.py:2653
        MigrationFlag.CONFIRMABLE: {'finished', 'confirming'},
        # db:3354
        MigrationFlag.LISTED: {
            'queued',
            'preparing',
            'running',
            'post-migrating',
        },
        # api.py:5681
        MigrationFlag.ABORTABLE: {'queued', 'preparing', 'running'},
        # manager.py:849
        MigrationFlag.DOOMED_SOURCE: {'accepted', 'pre-migrating', 'done'},
        # services.py:230
        MigrationFlag.NEEDS_SOURCE_CLEANUP: {'done'},
    }
    #: db:3327, and db:3489 which leaves out error.
    NOVA_OVER = {
        MigrationFlag.IN_PROGRESS: {
            'confirmed',
            'reverted',
            'error',
            'failed',
            'completed',
            'cancelled',
            'done',
        },
        MigrationFlag.TRACKED: {
            'confirmed',
            'reverted',
            'failed',
            'completed',
            'cancelled',
            'done',
        },
    }

    def test_every_flag_is_held_against_nova(self):
        """No flag is left out of the comparison."""
        self.assertEqual(
            set(MigrationFlag), set(self.NOVA) | set(self.NOVA_OVER)
        )

    def test_nova_asks_for_the_same_strings(self):
        """The strings of a flag are those that Nova's query lists."""
        for flag, strings in self.NOVA.items():
            self.assertEqual(strings, registry.legacy_with(flag))

    def test_nova_excludes_the_same_strings(self):
        """The strings without a flag are those that Nova's query excludes."""
        for flag, strings in self.NOVA_OVER.items():
            rest = registry.legacy_with() - registry.legacy_with(flag)
            self.assertEqual(strings, rest)

    def test_flag_does_not_depend_on_the_type(self):
        """A string has a flag in whichever type it is a spelling of a state.

        Nova asks without the type for what is in progress or tracked.
        """
        for flag in self.NOVA_OVER:
            for word in registry.legacy_with():
                answers = {
                    flag in machine.legacy[word].flags
                    for machine in MACHINES.values()
                    if word in machine.legacy
                }
                self.assertEqual(1, len(answers), (flag, word))

    def test_flag_of_a_state_does_not_depend_on_the_type(self):
        """A state has these flags in whichever machine it is."""
        for flag in self.NOVA_OVER:
            for name in registry.states_with():
                answers = {
                    flag in machine.states[name].flags
                    for machine in MACHINES.values()
                    if name in machine.states
                }
                self.assertEqual(1, len(answers), (flag, name))

    def test_states_with_all_of_the_flags(self):
        """Asked for two flags, only states with both are returned."""
        both = registry.states_with(
            MigrationFlag.IN_PROGRESS, MigrationFlag.ABORTABLE
        )

        self.assertEqual(registry.states_with(MigrationFlag.ABORTABLE), both)
        self.assertLess(
            set(both), set(registry.states_with(MigrationFlag.IN_PROGRESS))
        )

    def test_states_by_type(self):
        """By type, a flag has the states of that type's machine only."""
        for flag in MigrationFlag:
            by_type = registry.states_by_type(flag)
            self.assertEqual(
                {
                    kind: {
                        name
                        for name, row in MACHINES[kind].states.items()
                        if flag in row.flags
                    }
                    for kind in by_type
                },
                by_type,
            )
            self.assertEqual(
                set(registry.states_with(flag)), set().union(*by_type.values())
            )
            self.assertNotIn(set(), by_type.values())


class StatesTest(base.TestCase):
    """All states of all machines, each once."""

    def test_all_states_once(self):
        """A state that several machines share is told once."""
        names = [row.name for row in registry.all_states()]

        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(
            {name for m in MACHINES.values() for name in m.states}, set(names)
        )

    def test_every_state_has_one_status(self):
        """By status, every state is told exactly once."""
        groups = registry.states_by_status()
        told = [name for names in groups.values() for name in names]

        self.assertEqual(sorted(registry.states_with()), sorted(told))
        for status, names in groups.items():
            for name in names:
                self.assertEqual(status, registry.states_with()[name].status)
