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


"""Every recorded stream, against the run states that were recorded with it."""

import collections

from nova_migration.hypervisor.qemu import evidence
from nova_migration.hypervisor.qemu import journal
from nova_migration.hypervisor.qemu import stream
from nova_migration.hypervisor.qemu import verdict
from tests import base
from tests.unit.hypervisor.qemu import recorded

#: Two ended as `cancelled` although the failure had been read before the
#: cancel was sent: QEMU 11.1 lets a cancel overtake its own error.
CORRECTED = {
    'h_cancel_on_first_fail_event_t00.q11',
    'h_cancel_on_first_fail_event_t04.q11',
}


def conclusions(items):
    replayed = stream.replay(items)
    return [verdict.advance(one) for one in replayed.journal.attempts]


class ReplayTest(base.TestCase):
    def test_there_are_as_many_as_were_recorded(self):
        """None of the 176 recorded streams is missing."""
        self.assertEqual(176, len(recorded.NAMES))

    def test_the_verdict_is_what_the_run_states_say(self):
        """In every attempt of every stream, the guest is where it was."""
        wrong = {}
        for name in recorded.NAMES:
            items = recorded.load(name)
            found = [str(one.verdict) for one in conclusions(items)]
            if found != recorded.verdicts(items):
                wrong[name] = (found, recorded.verdicts(items))
        self.assertEqual({}, wrong)

    def test_every_verdict_occurs(self):
        """The recorded runs contain every way in which a move can end."""
        totals = collections.Counter(
            str(one.verdict)
            for name in recorded.NAMES
            for one in conclusions(recorded.load(name))
        )
        self.assertEqual(
            {
                'moved': 52,
                'not_moved': 102,
                'split': 17,
                'lost': 11,
                'unknown': 2,
            },
            dict(totals),
        )

    def test_the_first_cause_is_what_we_knew_when_we_sent(self):
        """A cancel or a failure is the cause by our send and our reading."""
        for name in recorded.NAMES:
            items = recorded.load(name)
            found = conclusions(items)
            expected = recorded.cause(items)
            if len(found) > 1 or expected is None:
                continue
            causes = [str(reason.cause) for reason in found[0].reasons]
            if causes[0] == 'destination-failure':
                # The source completed into a destination that did not.
                causes.pop(0)
            self.assertEqual(expected, causes[0], name)

    def test_only_known_streams_differ_from_qemus_own_word(self):
        """QEMU's last word gives the wrong cause in these and no more."""
        differ = set()
        for name in recorded.NAMES:
            items = recorded.load(name)
            found = conclusions(items)
            causes = {str(reason.cause) for reason in found[0].reasons[:2]}
            word = recorded.word(items)
            if len(found) > 1 or word is None:
                continue
            first = found[0].reasons[0].cause
            if word != first and 'destination-failure' not in causes:
                differ.add(name)
        self.assertEqual(CORRECTED, differ)

    def test_a_cancel_after_the_end_is_too_late(self):
        """A cancel that a completed migration outran is named as such."""
        items = recorded.load('h_cancel_race_complete_norp_t00.q11')
        causes = [reason.cause for reason in conclusions(items)[0].reasons]
        self.assertEqual(['completed', 'cancel-too-late'], causes)

    def test_a_refused_cancel_never_counts(self):
        """A cancel answered with an error leaves the failure as the cause."""
        items = recorded.load('f_postcopy_device_dst_killed.q11')
        causes = [reason.cause for reason in conclusions(items)[0].reasons]
        self.assertEqual('failure', causes[0])
        self.assertIn('cancel-refused', causes)

    def test_a_peer_killed_before_the_cancel_is_named_beside_it(self):
        """Where the order cannot be known, both are given and it is said."""
        items = recorded.load('h_cancel_race_fail_t08.q11')
        reasons = conclusions(items)[0].reasons
        self.assertEqual('user-cancel', reasons[0].cause)
        self.assertEqual('destination-gone', reasons[1].cause)
        self.assertIn('not known', reasons[1].detail)

    def test_no_prefix_turns_one_definite_verdict_into_another(self):
        """As a stream goes on, a definite verdict stays or becomes unknown."""
        for name in recorded.NAMES:
            items = recorded.load(name)
            replay = stream.Replay(items)
            definite = {}
            for item in items:
                replay.feed(item)
                for one in map(verdict.advance, replay.journal.attempts):
                    if one.definite:
                        first = definite.setdefault(one.attempt, one.verdict)
                        self.assertEqual(first, one.verdict, name)

    def test_evidence_survives_json_at_every_point(self):
        """A service that is restarted anywhere comes to the same end."""
        for name in recorded.NAMES[::8]:
            items = recorded.load(name)
            expected = conclusions(items)
            replay = stream.Replay(items)
            for item in items:
                replay.feed(item)
                text = replay.journal.to_json()
                replay.journal = journal.Journal.from_json(text)
            replay.journal.adopt()
            found = [verdict.advance(a) for a in replay.journal.attempts]
            self.assertEqual(expected, found, name)

    def test_each_attempts_evidence_survives_json(self):
        """What is written for one attempt is read back equal."""
        for name in recorded.NAMES:
            for one in stream.replay(recorded.load(name)).journal.attempts:
                self.assertEqual(
                    one, evidence.Evidence.from_json(one.to_json())
                )

    def test_adding_a_fact_twice_changes_nothing(self):
        """Evidence that already has a fact is returned as it is."""
        for name in recorded.NAMES:
            for one in stream.replay(recorded.load(name)).journal.attempts:
                for fact in one.facts:
                    self.assertIs(one, one.add(fact))

    def test_polling_does_not_make_evidence_grow(self):
        """Repeated answers are kept only where something happened between."""
        for name in recorded.NAMES:
            items = recorded.load(name)
            facts = sum(
                len(one.facts) for one in stream.replay(items).journal.attempts
            )
            self.assertLess(facts, 70, name)
