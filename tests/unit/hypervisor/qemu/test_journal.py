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


"""Which attempt a fact belongs to."""

from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import journal
from tests import base
from tests.unit.hypervisor.qemu.story import Story


def statuses(attempt, end=ev.End.SOURCE):
    return [fact.value for fact in attempt.of(end, ev.Kind.STATUS)]


class AttemptTest(base.TestCase):
    def test_an_attempt_begins_at_setup(self):
        """What an old attempt still reports after the command is its own."""
        story = Story()
        story.send(story.source, 'migrate').here('setup', 'active', 'failing')
        story.source.sent('migrate')
        story.here('failed', 'setup', 'active')
        first, second = story.journal.attempts
        self.assertEqual(
            ['setup', 'active', 'failing', 'failed'], statuses(first)
        )
        self.assertEqual(['setup', 'active'], statuses(second))
        sent = list(second.of(ev.End.SOURCE, ev.Kind.SENT))
        self.assertEqual(['migrate'], [fact.value for fact in sent])

    def test_a_refused_start_begins_none(self):
        """A start while one is being cancelled belongs to that one."""
        story = Story()
        story.send(story.source, 'migrate').here('setup', 'cancelling')
        story.send(story.source, 'migrate', refused='in progress')
        story.here('cancelled')
        self.assertEqual(1, len(story.journal.attempts))

    def test_a_setup_that_comes_twice_or_late_begins_none(self):
        """Repeated and overtaken events open nothing."""
        story = Story()
        story.send(story.source, 'migrate')
        story.here('active', 'setup', 'setup', 'active')
        self.assertEqual(1, len(story.journal.attempts))

    def test_an_attempt_whose_setup_was_missed(self):
        """A source that is under way again after its end has begun anew."""
        story = Story()
        story.send(story.source, 'migrate').here('setup', 'active', 'failed')
        story.source.lost()
        story.source.back()
        story.ask(story.source, 'active', True)
        self.assertEqual(2, len(story.journal.attempts))

    def test_a_late_answer_is_about_the_attempt_that_was_asked(self):
        """An answer to an old question does not end the new attempt."""
        story = Story()
        story.send(story.source, 'migrate').here('setup', 'failed')
        asked = story.source.sent('query-migrate')
        story.send(story.source, 'migrate').here('setup', 'active')
        story.source.answered('query-migrate', asked, {'status': 'failed'})
        self.assertNotIn('failed', statuses(story.journal.current))

    def test_each_attempt_has_its_own_destination(self):
        """What the old destination still does is not the new one's."""
        story = Story()
        story.send(story.source, 'migrate').here('setup', 'failed')
        story.journal.aim('other')
        story.journal.record('other', ev.Kind.STATUS, 'setup')
        story.send(story.source, 'migrate').here('setup')
        story.there('failed')
        story.destination.gone('exit code 1')
        first, second = story.journal.attempts
        there = ev.End.DESTINATION
        self.assertEqual(['failed'], statuses(first, there))
        self.assertEqual(['setup'], statuses(second, there))

    def test_what_is_pending_survives_a_restart(self):
        """A start that was sent is remembered with everything else."""
        story = Story()
        story.send(story.source, 'migrate').here('setup', 'failed')
        story.source.sent('migrate')
        restored = journal.Journal.from_json(story.journal.to_json())
        restored.record('source', ev.Kind.STATUS, 'setup')
        self.assertEqual(2, len(restored.attempts))

    def test_other_text_is_refused(self):
        """What is not evidence, or of another format, is an error."""
        for text in ('', 'nonsense', '[]', '{"format": 99}'):
            self.assertRaises(ValueError, journal.Journal.from_json, text)
            self.assertRaises(ValueError, ev.Evidence.from_json, text)
