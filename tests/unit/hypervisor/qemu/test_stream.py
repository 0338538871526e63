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


"""Files that are no recorded streams, and the counters in those that are."""

from nova_migration.hypervisor.qemu import progress
from nova_migration.hypervisor.qemu import stream
from tests import base
from tests.unit.hypervisor.qemu import recorded


class StreamTest(base.TestCase):
    def refused(self, *lines):
        error = self.assertRaises(
            stream.StreamError,
            lambda: stream.replay(stream.read(lines, 'x'), 'x'),
        )
        return str(error)

    def test_not_json(self):
        """The message names the file and the line."""
        good = '{"side": "run", "type": "meta"}'
        self.assertIn('x, line 2 is not JSON', self.refused(good, 'nonsense'))

    def test_not_text(self):
        """Bytes that are no text are no stream."""
        self.assertIn('x, line 1 is not JSON', self.refused(b'\xff\xfe\x00'))

    def test_empty(self):
        """An empty file is no stream."""
        self.assertIn('x is empty', self.refused())

    def test_not_an_item(self):
        """JSON that is something else is no stream."""
        for line in ('[]', '1', '{}', '{"side": "src"}'):
            self.assertIn('has no "side" and "type"', self.refused(line))

    def test_an_item_without_what_its_type_has(self):
        """An item that cannot be understood is shown."""
        said = self.refused('{"side": "src", "type": "event"}')
        self.assertIn("'event' that cannot be understood", said)

    def test_an_unknown_type_is_passed_over(self):
        """A newer recorder may write more than is known here."""
        items = [
            {'side': 'src', 'type': 'brand-new'},
            *recorded.load('a_precopy_unix.q7'),
        ]
        replayed = stream.replay(items)
        self.assertEqual(1, len(replayed.journal.attempts))


class ProgressTest(base.TestCase):
    def test_counters_of_a_recorded_answer(self):
        """Bytes, dirty rate and times are read from query-migrate."""
        answers = [
            progress.Progress.from_query(item['return'])
            for item in recorded.load('a_precopy_dirty.q11')
            if item['type'] == 'query' and item['side'] == 'src'
        ]
        counted = [one for one in answers if one.counts]
        self.assertFalse(answers[0].counts)
        self.assertEqual('', answers[0].summary)
        self.assertGreater(max(one.dirty_rate for one in counted), 0)
        self.assertEqual(0, counted[-1].remaining)
        self.assertIsNotNone(counted[-1].downtime)
        self.assertIn('MiB sent, in', counted[-1].summary)
