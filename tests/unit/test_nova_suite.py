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

"""How a run of Nova's own tests is judged, and what of it CI repeats."""

import contextlib
import functools
import json
import pathlib
import shutil
import tempfile
import time
from unittest import mock

from tests import base
from tests.nova_suite import results
from tests.nova_suite import settings as settings_mod
from tests.nova_suite import slice as slice_mod
from tests.nova_suite import workers

ENFORCE = results.Way('enforce', 'canonical')
LISTED = results.listed_as_prevented()[0]['test']
OTHER = f'{results.FUNCTIONAL}test_other.Test.test_it'


def record(test, outcome='success', asked=(), seconds=1.0):
    """Return what a worker writes of a test."""
    return {
        'test': test,
        'outcome': outcome,
        'seconds': seconds,
        'asked': [
            {
                'machine': 'resize',
                'before': before,
                'asked': after,
                'result': result,
            }
            for before, after, result in asked
        ],
    }


class JudgementTest(base.TestCase):
    """What is unexpected."""

    def unexpected(self, *records, way=ENFORCE):
        """Return the tests that did not end as they should."""
        found = {one['test']: one for one in records}
        return list(results.Result.of(way, list(found), found).unexpected)

    def test_passed(self):
        """A test that passes, or is skipped, is as it should be."""
        self.assertEqual([], self.unexpected(record(OTHER)))
        self.assertEqual([], self.unexpected(record(OTHER, 'skip')))

    def test_failed(self):
        """A test that fails is named, whatever the kind of failure."""
        for outcome in results.FAILURES:
            self.assertEqual([OTHER], self.unexpected(record(OTHER, outcome)))

    def test_listed(self):
        """A listed test has to fail, and passing is unexpected."""
        self.assertEqual([], self.unexpected(record(LISTED, 'failure')))
        self.assertEqual([LISTED], self.unexpected(record(LISTED)))

    def test_listed_for_a_mode(self):
        """Without the drop-in a listed test has to pass."""
        without = results.Way('none', 'legacy')
        self.assertEqual([], self.unexpected(record(LISTED), way=without))

    def test_refused(self):
        """A test that passes although a step was refused is unexpected."""
        for result in results.ODD:
            asked = [('confirmed', 'confirming', result)]
            self.assertEqual(
                [OTHER], self.unexpected(record(OTHER, asked=asked))
            )

    def test_missing(self):
        """A test that took its worker down with it has no record.

        That is no failure as the listed ones have to show.
        """
        result = results.Result.of(ENFORCE, [OTHER, LISTED], {})
        self.assertEqual([OTHER, LISTED], list(result.unexpected))


class SecondRunTest(base.TestCase):
    """What is run again, and what is said of it."""

    def result(self, *records):
        """Return the result of a run."""
        found = {one['test']: one for one in records}
        return results.Result.of(ENFORCE, list(found), found)

    def test_failure(self):
        """A failed test of Nova's is run again, and told when it passes."""
        first = self.result(record(OTHER, 'failure'))
        self.assertEqual([OTHER], first.perhaps_by_chance())
        second = first.then(self.result(record(OTHER)))
        self.assertEqual({OTHER: 'failure'}, second.again)
        self.assertEqual(0, second.judge())

    def test_second_failure(self):
        """A test that fails twice is unexpected."""
        first = self.result(record(OTHER, 'failure'))
        second = first.then(first)
        self.assertEqual({}, second.again)
        self.assertEqual(1, second.judge())

    def test_ours(self):
        """A test of our own has no second chance."""
        first = self.result(record('tests.nova_hazards.Test.test', 'failure'))
        self.assertEqual([], first.perhaps_by_chance())

    def test_refused(self):
        """A refused step is not forgotten over a second run."""
        asked = [('confirmed', 'confirming', 'refused')]
        first = self.result(record(OTHER, 'failure', asked=asked))
        self.assertEqual([], first.perhaps_by_chance())

    def test_many(self):
        """When many tests fail, that is no chance."""
        failed = [
            record(f'{OTHER}_{number}', 'failure')
            for number in range(results.BY_CHANCE + 1)
        ]
        self.assertEqual([], self.result(*failed).perhaps_by_chance())


class WorkersTest(base.TestCase):
    """How the workers end."""

    def setUp(self):
        """Have settings that name one test, which nobody has run."""
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        tests = self.folder / 'tests.txt'
        tests.write_text(f'{OTHER}\n', encoding='utf-8')
        self.settings = settings_mod.Settings(
            tests=tests,
            documents=self.folder,
            records=self.folder,
            mode='enforce',
            status_format='legacy',
        )

    def run_instead(self, script):
        """Run a script of the shell in place of stestr."""
        command = mock.patch.object(
            workers, 'command', return_value=['sh', '-c', script]
        )
        with command:
            workers.run(self.settings, self.folder, 1)
        return (self.folder / workers.OUTPUT).read_text(encoding='utf-8')

    def test_output(self):
        """What stestr says is kept in a file."""
        said = self.run_instead('echo out; echo err >&2')
        self.assertEqual('out\nerr\n', said)

    def test_hang(self):
        """Workers that end no test are ended, with those they have begun."""
        follow = functools.partial(workers.follow, patience=1)
        with mock.patch.object(workers, 'follow', follow):
            said = self.run_instead('sleep 1000 & echo $!; wait')
        status = pathlib.Path('/proc', said.strip(), 'stat')
        deadline = time.monotonic() + 60
        with contextlib.suppress(FileNotFoundError):
            # It may be a zombie for a while: nobody has waited for it.
            while ' Z ' not in status.read_text(encoding='utf-8'):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)


class RecordsTest(base.TestCase):
    """What the workers have left."""

    def test_last_record(self):
        """A test that was run again counts as it ended the last time."""
        folder = pathlib.Path(tempfile.mkdtemp())
        for number, outcome in enumerate(('failure', 'success')):
            folder.joinpath(f'{number}.jsonl').write_text(
                json.dumps(record(OTHER, outcome)) + '\n', encoding='utf-8'
            )
        self.assertEqual('success', results.read(folder)[OTHER]['outcome'])


class SliceTest(base.TestCase):
    """The tests that CI runs."""

    def test_everything_is_asked_for(self):
        """Quick tests that ask for everything are chosen; no other is."""
        first = ('pre-migrating', 'migrating', 'moved')
        second = ('migrating', 'post-migrating', 'moved')
        records = {
            'quick': record('quick', asked=[first], seconds=1),
            'slow': record('slow', asked=[first], seconds=9),
            'longer': record('longer', asked=[first, second], seconds=5),
            'nothing': record('nothing'),
        }
        self.assertEqual(['quick', 'longer'], slice_mod.choose([records]))

    def test_results_differ(self):
        """One transition with two results is asked for both ways."""
        late = ('completed', 'done', 'absorbed')
        moved = ('completed', 'done', 'moved')
        runs = [
            {'a': record('a', asked=[late])},
            {'b': record('b', asked=[moved])},
        ]
        self.assertEqual(['a', 'b'], sorted(slice_mod.choose(runs)))

    def test_always(self):
        """A test that has to be there is, though it adds nothing."""
        records = {'listed': record('listed')}
        self.assertEqual(
            ['listed'], slice_mod.choose([records], always={'listed'})
        )
