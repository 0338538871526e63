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

"""What a worker writes of each test: how it ended, and what was asked for."""

import contextlib
import json
import os
import time

from nova import test as nova_test
import testtools

#: Characters of a traceback: what was called last, and what it said.
_ENOUGH = 3000


class Recorder:
    """Writes one line of JSON when a test has ended.

    A worker runs one test at a time, so what is asked for belongs to the
    test that runs.
    """

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        # In the order of time, for those who read them.
        self.path = folder / f'{time.time_ns()}-{os.getpid()}.jsonl'
        self.asked = []

    def add(self, **transition):
        """Note a transition that was asked for."""
        self.asked.append(transition)

    def follow_tests(self):
        """Have each of Nova's tests recorded."""
        run = nova_test.TestCase.run

        def run_and_record(test, result=None):
            self.asked = []
            mine = testtools.TestByTestResult(self._ended)
            return run(test, testtools.MultiTestResult(result, mine))

        nova_test.TestCase.run = run_and_record

    def _ended(self, test, status, start_time, stop_time, tags, details):
        record = {
            'test': test.id(),
            'outcome': status,
            'seconds': round((stop_time - start_time).total_seconds(), 1),
            'asked': self.asked,
        }
        with contextlib.suppress(KeyError):
            text = details['traceback'].as_text()
            record['error'] = text.strip()[-_ENOUGH:]
        with self.path.open('a', encoding='utf-8') as out:
            out.write(json.dumps(record) + '\n')
