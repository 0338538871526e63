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


"""What follows from evidence, and what is safe to do then."""

import hypothesis
from hypothesis import strategies as st

from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import verdict
from nova_migration.hypervisor.qemu import vocabulary
from nova_migration.hypervisor.qemu.guest import Action
from tests import base
from tests.unit.hypervisor.qemu.story import Story


def moving():
    """Return the story of an attempt under way."""
    story = Story()
    story.send(story.source, 'migrate')
    return story.here('setup', 'active').there('setup', 'active')


class ActionTest(base.TestCase):
    def test_the_destination_waits_for_both_ends(self):
        """The guest is let run there when both have completed, not before."""
        story = moving().here('STOP', 'completed')
        self.assertEqual(Action.WAIT, story.now.action)
        story.there('completed')
        self.assertEqual(Action.START_DESTINATION, story.now.action)
        self.assertEqual('unknown', story.now.verdict)
        story.send(story.destination, 'cont').there('RESUME')
        self.assertEqual('moved', story.now.verdict)
        self.assertEqual(Action.NONE, story.now.action)

    def test_in_postcopy_the_destination_waits_for_the_hand_over(self):
        """It is let run when both say that the guest was handed over."""
        story = moving().here('STOP', 'postcopy-active')
        self.assertEqual(Action.WAIT, story.now.action)
        story.there('postcopy-active')
        self.assertEqual(Action.START_DESTINATION, story.now.action)

    def test_the_source_is_resumed_only_when_the_destination_is_dead(self):
        """A destination that failed and is still there could yet be used."""
        story = moving().here('STOP', 'completed').there('failed')
        self.assertEqual('not_moved', story.now.verdict)
        self.assertEqual(Action.ASK, story.now.action)
        story.destination.gone('exit code 1')
        self.assertEqual(Action.RESUME_SOURCE, story.now.action)
        story.send(story.source, 'cont').here('RESUME')
        self.assertEqual(Action.NONE, story.now.action)
        self.assertEqual('not_moved', story.now.verdict)

    def test_the_source_is_never_resumed_after_the_hand_over(self):
        """After the point of no return, no end of the other allows it."""
        story = moving().here('STOP', 'postcopy-active', 'postcopy-paused')
        story.destination.gone('killed')
        story.ask(story.source, 'postcopy-paused', False)
        self.assertEqual('lost', story.now.verdict)
        self.assertEqual(Action.ASK, story.now.action)

    def test_a_paused_postcopy_wants_to_be_recovered(self):
        """A channel that broke is no end."""
        story = moving().here('STOP', 'postcopy-active')
        story.there('postcopy-active', 'RESUME', 'postcopy-paused')
        story.here('postcopy-paused')
        self.assertEqual(Action.RECOVER, story.now.action)
        self.assertEqual('postcopy_paused', story.now.state)

    def test_a_completed_source_that_was_not_watched_is_left_alone(self):
        """It may have completed to another destination meanwhile."""
        story = moving().there('failed')
        story.destination.gone('exit code 1')
        story.source.lost()
        story.source.back()
        story.ask(story.source, 'completed', False)
        self.assertEqual('unknown', story.now.verdict)
        self.assertNotEqual(Action.RESUME_SOURCE, story.now.action)


class VerdictTest(base.TestCase):
    def test_both_run(self):
        """A cancelled source and a completed destination may both run."""
        story = moving().here('STOP', 'device')
        story.send(story.source, 'migrate_cancel')
        story.here('cancelling', 'RESUME', 'cancelled')
        story.there('RESUME', 'completed')
        story.ask(story.source, 'cancelled', True)
        self.assertEqual('split', story.now.verdict)

    def test_a_held_destination_does_not_run_twice(self):
        """Started with -S, the same destination leaves the guest here."""
        story = moving().here('STOP', 'device')
        story.send(story.source, 'migrate_cancel')
        story.here('cancelling', 'RESUME', 'cancelled').there('completed')
        story.ask(story.source, 'cancelled', True)
        story.ask(story.destination, 'completed', False)
        self.assertEqual('not_moved', story.now.verdict)

    def test_the_final_status_alone_proves_nothing(self):
        """Without a run state, the guest may be anywhere."""
        story = moving().here('STOP', 'device', 'cancelling', 'cancelled')
        story.there('completed')
        self.assertEqual('unknown', story.now.verdict)

    def test_a_failure_is_no_proof_that_the_source_stands(self):
        """Below 11, failed comes before the source goes on."""
        story = moving().here('STOP', 'device', 'failed')
        story.there('RESUME', 'completed')
        story.ask(story.source, 'failed', False)
        self.assertEqual('unknown', story.now.verdict)
        story.here('RESUME').ask(story.source, 'failed', True)
        self.assertEqual('split', story.now.verdict)

    def test_an_answer_from_before_the_end_proves_nothing(self):
        """What was asked before the end was read is about another time."""
        story = moving().here('STOP', 'device')
        asked = story.source.sent('query-status')
        story.here('cancelling', 'cancelled').there('failed')
        story.source.answered(
            'query-status', asked, {'running': True, 'status': 'running'}
        )
        story.there('RESUME')
        self.assertEqual('unknown', story.now.verdict)

    def test_a_source_resumed_by_somebody_else_is_a_contradiction(self):
        """A verdict that was given is taken back, and never replaced."""
        story = moving().here('STOP', 'completed')
        story.there('RESUME', 'completed')
        self.assertEqual('moved', story.now.verdict)
        story.here('RESUME').ask(story.source, 'completed', True)
        self.assertEqual('unknown', story.now.verdict)

    def test_a_held_destination_that_died_unwatched_never_ran(self):
        """Only our own word would have let the guest run there."""
        story = Story()
        story.destination.held()
        story.send(story.source, 'migrate').here('setup', 'active')
        story.there('setup', 'active').here('STOP', 'device')
        story.destination.lost()
        story.destination.gone('killed')
        story.here('failed').ask(story.source, 'failed', True)
        self.assertEqual('not_moved', story.now.verdict)


class ReasonTest(base.TestCase):
    def test_a_cancel_sent_before_a_failure_was_read(self):
        """The cancel is the cause, whatever QEMU ends with."""
        story = moving()
        story.send(story.source, 'migrate_cancel').here('failed')
        self.assertEqual(['user-cancel', 'failure'], story.causes)

    def test_a_cancel_sent_after_a_failure_was_read(self):
        """The failure is the cause, even though QEMU ends cancelled."""
        story = moving().here('failing')
        story.send(story.source, 'migrate_cancel')
        story.here('cancelling', 'cancelled')
        self.assertEqual(['failure', 'user-cancel'], story.causes)
        self.assertEqual('cancelled', story.now.source_status)

    def test_a_cancel_before_the_start_is_none(self):
        """QEMU takes a cancel when nothing runs, and does nothing."""
        story = Story()
        story.send(story.source, 'migrate_cancel')
        story.send(story.source, 'migrate').here('setup', 'active', 'failed')
        self.assertEqual(['failure'], story.causes)

    def test_somebody_elses_cancel(self):
        """A cancel that we did not send is named so."""
        story = moving().here('cancelling', 'cancelled')
        self.assertEqual(['other-cancel'], story.causes)

    def test_the_first_error_text_is_kept(self):
        """A later error does not hide what came first."""
        story = moving().here('failed')
        story.ask(story.source, 'failed', True, 'Broken pipe')
        story.ask(story.source, 'failed', True, 'Something else')
        self.assertEqual('failure: Broken pipe', str(story.now.reasons[0]))

    def test_an_unknown_status_is_kept_and_named(self):
        """A newer QEMU's word is neither an error nor an end."""
        story = moving().here('brand-new')
        self.assertEqual('brand-new', story.now.source_status)
        self.assertIn('unknown-status', story.causes)
        self.assertEqual('unknown', story.now.verdict)
        story.here('completed')
        self.assertEqual('completed', story.now.source_status)

    def test_what_is_known_less_about_is_said(self):
        """A lost monitor, a late answer and a standstill are reasons."""
        story = moving()
        story.destination.lost()
        story.source.late('query-migrate')
        story.source.progress(moving=False)
        self.assertEqual(
            {'monitor-lost', 'no-reply', 'no-progress'}, set(story.causes)
        )
        story.source.progress(moving=True)
        self.assertNotIn('no-progress', story.causes)


class StateTest(base.TestCase):
    def test_a_late_status_moves_nothing_back(self):
        """A device that arrives after the end is a fact and no more."""
        story = moving().here('STOP', 'completed', 'device')
        self.assertEqual('ending', story.now.state)
        self.assertEqual('completed', story.now.source_status)

    def test_the_destination_may_be_the_first_to_tell_of_postcopy(self):
        """One end's word is enough for the point of no return."""
        story = moving().there('postcopy-active')
        self.assertEqual('postcopy', story.now.state)
        self.assertTrue(story.now.no_return)

    def test_recovery_goes_back_and_forth(self):
        """Within postcopy, the last status counts."""
        story = moving().here('postcopy-active', 'postcopy-paused')
        self.assertEqual('postcopy_paused', story.now.state)
        story.here('postcopy-recover')
        self.assertEqual('recovering', story.now.state)
        story.here('postcopy-active')
        self.assertEqual('postcopy', story.now.state)


WORDS = {
    ev.Kind.STATUS: [*vocabulary.KNOWN, 'brand-new'],
    ev.Kind.RUN: [ev.RUNNING, ev.STOPPED],
    ev.Kind.MONITOR: [ev.LOST, ev.BACK],
    ev.Kind.PROCESS: [ev.GONE, ev.CRASHED],
}
OTHERS = ['migrate', 'migrate_cancel', 'cont', 'quit', 'yes', 'none', '2']


@st.composite
def facts(draw):
    number = draw(st.integers(1, 40))
    kind = draw(st.sampled_from(list(ev.Kind)))
    return ev.Fact(
        number=number,
        end=draw(st.sampled_from(list(ev.End))),
        kind=kind,
        value=draw(st.sampled_from(WORDS.get(kind, OTHERS))),
        origin=draw(st.sampled_from(list(ev.Origin))),
        asked=draw(st.none() | st.integers(0, number)),
    )


class AnyEvidenceTest(base.TestCase):
    def test_total_deterministic_and_monotone(self):
        """Whatever is added, in order, nothing is raised or turned round."""

        @hypothesis.settings(max_examples=300, deadline=None)
        @hypothesis.given(st.lists(facts(), max_size=25))
        def holds(added):
            evidence, definite = ev.Evidence(), None
            for fact in sorted(added, key=lambda fact: fact.number):
                evidence = evidence.add(fact)
                now = verdict.advance(evidence)
                self.assertEqual(now, verdict.advance(evidence))
                if now.definite:
                    definite = definite or now.verdict
                    self.assertEqual(definite, now.verdict)

        holds()

    def test_the_order_of_adding_is_nothing(self):
        """Facts that are not repetitions make the same evidence."""

        @hypothesis.settings(max_examples=100, deadline=None)
        @hypothesis.given(
            st.lists(facts(), max_size=8, unique_by=lambda one: one.number)
        )
        def holds(added):
            whole = ev.Evidence(1, tuple(sorted(added, key=_number)))
            text = whole.to_json()
            self.assertEqual(whole, ev.Evidence.from_json(text))
            for fact in added:
                self.assertIs(whole, whole.add(fact))

        holds()


def _number(fact):
    return fact.number
