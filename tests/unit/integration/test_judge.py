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

"""What becomes of a status that Nova writes, by the real machines."""

import datetime
from itertools import permutations

from nova_migration.integration.dropin import judge
from nova_migration.integration.dropin.report import Result
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import UnknownWord
from nova_migration.states import registry
from tests import base

NOW = datetime.datetime(2026, 11, 20, 12, 0, 0)
BEFORE = NOW - datetime.timedelta(seconds=5)

#: What becomes of a second end: type, where the row is, what is reported.
SECOND_ENDS = (
    ('resize', 'confirmed', 'reverted', 'refused'),
    ('resize', 'confirmed', 'error', 'moved'),
    ('resize', 'confirmed', 'failed', 'absorbed'),
    ('resize', 'reverted', 'confirmed', 'refused'),
    ('resize', 'reverted', 'error', 'moved'),
    ('resize', 'reverted', 'failed', 'absorbed'),
    ('resize', 'error', 'confirmed', 'moved'),
    ('resize', 'error', 'reverted', 'moved'),
    ('resize', 'error', 'failed', 'moved'),
    ('resize', 'failed', 'confirmed', 'absorbed'),
    ('resize', 'failed', 'reverted', 'absorbed'),
    ('resize', 'failed', 'error', 'absorbed'),
    ('live-migration', 'completed', 'cancelled', 'warned'),
    ('live-migration', 'completed', 'failed', 'warned'),
    ('live-migration', 'completed', 'error', 'absorbed'),
    ('live-migration', 'cancelled', 'completed', 'warned'),
    ('live-migration', 'cancelled', 'failed', 'absorbed'),
    ('live-migration', 'cancelled', 'error', 'absorbed'),
    ('live-migration', 'failed', 'completed', 'warned'),
    ('live-migration', 'failed', 'cancelled', 'absorbed'),
    ('live-migration', 'failed', 'error', 'absorbed'),
    ('live-migration', 'error', 'completed', 'moved'),
    ('live-migration', 'error', 'cancelled', 'moved'),
    ('live-migration', 'error', 'failed', 'moved'),
    ('evacuation', 'done', 'completed', 'moved'),
    ('evacuation', 'done', 'failed', 'warned'),
    ('evacuation', 'done', 'error', 'absorbed'),
    ('evacuation', 'completed', 'done', 'absorbed'),
    ('evacuation', 'completed', 'failed', 'warned'),
    ('evacuation', 'completed', 'error', 'warned'),
    ('evacuation', 'failed', 'completed', 'warned'),
    ('evacuation', 'failed', 'done', 'refused'),
    ('evacuation', 'failed', 'error', 'absorbed'),
    ('evacuation', 'error', 'done', 'moved'),
    ('evacuation', 'error', 'completed', 'moved'),
    ('evacuation', 'error', 'failed', 'moved'),
)


def row(kind, status, state=None, **values):
    """Return a row as a transaction reads it."""
    return judge.row_of(
        {
            'migration_type': kind,
            'cross_cell_move': False,
            'old_instance_type_id': 1,
            'new_instance_type_id': 2,
            'status': status,
            'state': state,
            'legacy_status': None,
            'updated_at': NOW,
            'state_changed_at': NOW,
            **values,
        }
    )


class RowTest(base.TestCase):
    """A row is read in either form."""

    def test_both_forms_mean_the_same(self):
        """Each state is read alike from its legacy and its canonical row."""
        for kind in MIGRATION_TYPES:
            for state in MACHINES[kind].table.states:
                legacy = row(kind, state.legacy)
                canonical = row(kind, state.status, state.name)
                self.assertEqual(
                    (state.name, state.legacy, False),
                    (legacy.state, legacy.status, legacy.canonical),
                )
                self.assertEqual(
                    (state.name, state.legacy, True),
                    (canonical.state, canonical.status, canonical.canonical),
                )

    def test_machine_of_a_row_without_type(self):
        """A row from before Nova 12 is driven by what its flavors say."""
        cold = row(None, 'finished', new_instance_type_id=1)
        self.assertEqual('migration', cold.machine.name)
        self.assertEqual('resize', row(None, 'finished').machine.name)

    def test_machine_of_a_cross_cell_move(self):
        """A move between cells has the machine with more edges."""
        found = row('resize', 'finished', cross_cell_move=True)
        self.assertEqual('cross-cell', found.machine.name)


class CreationTest(base.TestCase):
    """What a record may begin with."""

    def test_anywhere(self):
        """A record may begin with every string that means a state."""
        for machine in MACHINES.values():
            for word, state in machine.legacy.items():
                verdict = judge.creation(machine, word)
                self.assertEqual(Result.CREATED, verdict.result)
                self.assertEqual(state, verdict.target)

    def test_unknown_string(self):
        """No record begins with a typo, which is told from what is near."""
        verdict = judge.creation(MACHINES['evacuation'], 'acepted')
        self.assertEqual(Result.REFUSED, verdict.result)
        self.assertIn("did you mean 'accepted'", verdict.why)

    def test_copy(self):
        """A copy of a record may say what nobody knows, as the record does."""
        machine = MACHINES['evacuation']
        verdict = judge.creation(machine, 'goofballs', is_copy=True)
        self.assertEqual(Result.CREATED, verdict.result)
        self.assertIsNone(verdict.target)
        known = judge.creation(machine, 'done', is_copy=True)
        self.assertEqual(machine.legacy['done'], known.target)

    def test_no_status(self):
        """Nova may create a record that has no status."""
        verdict = judge.creation(MACHINES['resize'], None)
        self.assertEqual(Result.CREATED, verdict.result)
        self.assertIsNone(verdict.target)


class ChangeTest(base.TestCase):
    """What a report does to a row."""

    def test_every_edge_moves(self):
        """Each edge of each machine is taken, from both forms of a row."""
        for kind in MIGRATION_TYPES:
            machine = MACHINES[kind]
            for edge in machine.table.edges:
                source = machine.state(edge.source)
                asked = machine.state(edge.named).legacy
                for found in (
                    row(kind, source.legacy),
                    row(kind, source.status, source.name),
                ):
                    verdict = judge.change(found, asked)
                    self.assertEqual(Result.MOVED, verdict.result, edge)
                    self.assertEqual(edge.target, verdict.target.name)

    def test_every_absorbed_pair(self):
        """Each late report of the table is absorbed."""
        for kind in MIGRATION_TYPES:
            machine = MACHINES[kind]
            for pair in machine.table.absorbed:
                asked = judge.status_after(machine, pair.event)
                found = row(kind, machine.state(pair.state).legacy)
                verdict = judge.change(found, asked)
                self.assertEqual(Result.ABSORBED, verdict.result, pair)

    def test_second_ends(self):
        """Of a move that is over, another end is late, true or a warning.

        An error would keep Nova from what it does next; so it is left to
        where guests may be in danger.
        """
        for kind, status, asked, expected in SECOND_ENDS:
            verdict = judge.change(row(kind, status), asked)
            said = verdict.result.value
            if verdict.contradicts:
                said = 'warned'
            self.assertEqual(expected, said, (kind, status, asked))

    def test_every_second_end(self):
        """The list has each end of each kind of move with each other one."""
        listed = {(kind, here, there) for kind, here, there, _ in SECOND_ENDS}
        for kind in ('resize', 'live-migration', 'evacuation'):
            over = {
                state.legacy
                for state in MACHINES[kind].table.states
                if MigrationFlag.IN_PROGRESS not in state.flags
            }
            expected = {(kind, *pair) for pair in permutations(over, 2)}
            self.assertEqual(set(), expected - listed)
            listed -= expected
        self.assertEqual(set(), listed)

    def test_rebuild_in_place(self):
        """done of an evacuation that nobody claimed is written as failed."""
        verdict = judge.change(row('evacuation', 'accepted'), 'done')
        self.assertEqual((Result.MOVED, 'finish_rebuild'), verdict_of(verdict))
        self.assertEqual('failed', verdict.target.legacy)
        self.assertEqual('done', verdict.named.legacy)
        claimed = judge.change(row('evacuation', 'pre-migrating'), 'done')
        self.assertEqual('done', claimed.target.legacy)

    def test_refused(self):
        """A second confirm or a revert of what is confirmed is refused."""
        for status, asked in (
            ('confirmed', 'confirming'),
            ('confirming', 'reverting'),
            ('reverting', 'confirming'),
            ('error', 'confirming'),
            ('error', 'reverting'),
        ):
            verdict = judge.change(row('resize', status), asked)
            self.assertEqual(Result.REFUSED, verdict.result)
            self.assertIsNone(verdict.event)

    def test_unknown_string(self):
        """A status that is none is refused, and so is none at all."""
        for asked in ('finnished', None):
            verdict = judge.change(row('resize', 'post-migrating'), asked)
            self.assertEqual(Result.REFUSED, verdict.result)

    def test_from_an_unknown_string(self):
        """A row that nobody can read is moved wherever Nova says."""
        for status in ('goofballs', None):
            verdict = judge.change(row('resize', status), 'error')
            self.assertEqual(Result.MOVED, verdict.result)

    def test_unknown_string_said_again(self):
        """What nobody knows, or was mapped, may be copied onto itself."""
        mapped = row('resize', 'error', 'error', legacy_status='goofballs')
        for found in (row('resize', 'goofballs'), row('resize', None), mapped):
            for seen in (None, judge.Seen(found.status)):
                verdict = judge.change(found, found.status, seen)
                self.assertEqual(Result.UNCHANGED, verdict.result)
        other = judge.change(mapped, 'goofbells')
        self.assertEqual(Result.REFUSED, other.result)

    def test_said_again(self):
        """What the object showed before it was assigned is no report."""
        found = row('resize', 'post-migrating')
        same = judge.change(
            found, 'post-migrating', judge.Seen('post-migrating')
        )
        self.assertEqual(Result.UNCHANGED, same.result)
        late = judge.change(found, 'post-migrating', judge.Seen('migrating'))
        self.assertEqual(Result.ABSORBED, late.result)

    def test_claim_again(self):
        """A reschedule claims a row that is claimed already: that moves."""
        found = row('resize', 'pre-migrating')
        verdict = judge.change(
            found, 'pre-migrating', judge.Seen('pre-migrating')
        )
        self.assertEqual((Result.MOVED, 'claim'), verdict_of(verdict))


def verdict_of(verdict):
    """Return what a verdict is compared by."""
    return verdict.result, verdict.event


class StaleTest(base.TestCase):
    """The periodic that confirms by itself has a list from a moment ago."""

    def error_from(self, status, seen, **values):
        """Return what error does to a resize that somebody read before."""
        return judge.change(row('resize', status, **values), 'error', seen)

    def test_it_believed_that_it_waits(self):
        """An error of one that waits is none of one that was decided on."""
        for status in ('confirming', 'confirmed', 'reverting', 'reverted'):
            verdict = self.error_from(status, judge.Seen('finished', NOW))
            self.assertEqual(Result.ABSORBED, verdict.result, status)

    def test_it_still_waits(self):
        """An error of one that does wait moves it."""
        verdict = self.error_from('finished', judge.Seen('finished', NOW))
        self.assertEqual(Result.MOVED, verdict.result)

    def test_it_knew_of_the_decision(self):
        """Whoever works on the decision may fail, with an older object too."""
        verdict = self.error_from('reverted', judge.Seen('reverting', BEFORE))
        self.assertEqual(Result.MOVED, verdict.result)

    def test_it_came_over_rpc(self):
        """An object from RPC is older than the decision by its time."""
        stale = self.error_from('confirming', judge.Seen(None, BEFORE))
        self.assertEqual(Result.ABSORBED, stale.result)
        fresh = self.error_from('confirming', judge.Seen(None, NOW))
        self.assertEqual(Result.MOVED, fresh.result)

    def test_seconds(self):
        """A primitive has no microseconds: that does not make it older."""
        moved = NOW + datetime.timedelta(microseconds=900000)
        verdict = self.error_from(
            'confirming',
            judge.Seen(None, NOW),
            updated_at=moved,
            state_changed_at=moved,
        )
        self.assertEqual(Result.MOVED, verdict.result)

    def test_clocks_differ(self):
        """An object with the row's own time is not older than the row."""
        verdict = self.error_from(
            'confirming', judge.Seen(None, BEFORE), updated_at=BEFORE
        )
        self.assertEqual(Result.MOVED, verdict.result)

    def test_nothing_is_known(self):
        """Without an object, as for Nova's functions alone, error moves."""
        verdict = self.error_from('confirming', None)
        self.assertEqual(Result.MOVED, verdict.result)
        verdict = self.error_from(
            'confirming', judge.Seen(None, BEFORE), state_changed_at=None
        )
        self.assertEqual(Result.MOVED, verdict.result)

    def test_before_a_decision(self):
        """An old object fails what nobody has decided on yet.

        The conductor of a cross-cell move has one from its beginning.
        """
        verdict = self.error_from(
            'post-migrating', judge.Seen('pre-migrating', BEFORE)
        )
        self.assertEqual(Result.MOVED, verdict.result)


class EventTest(base.TestCase):
    """Events are written as Nova's strings."""

    def test_each_event_is_one_string(self):
        """An event has one string, whichever state it is taken from."""
        for machine in registry.MACHINES.values():
            for edge in machine.table.edges:
                self.assertEqual(
                    machine.state(edge.named).legacy,
                    judge.status_after(machine, edge.event),
                )

    def test_unknown_event(self):
        """An event that is none is told from what is near."""
        error = self.assertRaises(
            UnknownWord, judge.status_after, MACHINES['resize'], 'confrim'
        )
        self.assertIn("did you mean 'confirm'", str(error))
