#!/usr/bin/env python3
# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Print how many tests passed, failed and were skipped, over all stestr runs.

stestr keeps the result of every run in the folder .stestr; its own ``stestr
last`` counts only the newest one.

The exit status is 1 if a test failed, if there is no result at all, or if a
test was skipped in every run while NOVA_MIGRATION_REQUIRE_DATABASES=1 asks for
all of them.
"""

import collections
from collections.abc import Iterable
import os
import sys
from typing import Any
from typing import BinaryIO

from stestr.repository import abstract
from stestr.repository import util as repository_util
import subunit
import testtools

# What is read first when a run has failed is its end.
LAST_LINES = 20

# A test that has begun and not ended took its worker down with it.
OUTCOMES = {
    'fail': 'failed',
    'inprogress': 'failed',
    'skip': 'skipped',
    'success': 'passed',
    'uxsuccess': 'failed',
    'xfail': 'passed',
}


def last_words(test: dict[str, Any]) -> str:
    """Return the end of a traceback, if there is one."""
    if 'traceback' not in test['details']:
        return ''
    lines = test['details']['traceback'].as_text().strip().splitlines()
    return ''.join(f'    {line}\n' for line in lines[-LAST_LINES:])


def read_run(stream: BinaryIO) -> list[tuple[str, str]]:
    """Return outcome and name of each test, and tell what did not pass."""
    outcomes: list[tuple[str, str]] = []

    def count(test: dict[str, Any]) -> None:
        outcome = OUTCOMES.get(test['status'])
        if outcome is None:
            return
        outcomes.append((outcome, test['id']))
        if outcome != 'passed':
            reason = test['details'].get('reason')
            text = f': {reason.as_text().strip()}' if reason else ''
            print(f'{outcome}: {test["id"]}{text}')
            print(last_words(test), end='')

    result = testtools.StreamToDict(count)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(stream).run(result)
    result.stopTestRun()
    return outcomes


def never_run(outcomes: Iterable[tuple[str, str]]) -> set[str]:
    """Return the names of the tests that were skipped whenever they came."""
    tests: dict[bool, set[str]] = {True: set(), False: set()}
    for outcome, name in outcomes:
        tests[outcome == 'skipped'].add(name)
    return tests[True] - tests[False]


def counted(outcomes: list[tuple[str, str]]) -> collections.Counter[str]:
    """Return how many tests have each outcome."""
    return collections.Counter(outcome for outcome, _name in outcomes)


def describe(counts: collections.Counter[str]) -> str:
    """Return the counts as people read them."""
    return ', '.join(
        f'{counts[outcome]} {outcome}'
        for outcome in ('passed', 'failed', 'skipped')
    )


def main() -> int:
    """Print one line per run and, last and alone, the sum."""
    try:
        runs = repository_util.get_repo_open()
    except abstract.RepositoryNotFound as error:
        print(error)
        return 1
    every: list[tuple[str, str]] = []
    for number in range(runs.count()):
        stream = runs.get_test_run(number).get_subunit_stream()
        outcomes = read_run(stream)
        print(f'run {number}: {describe(counted(outcomes))}')
        every += outcomes

    total = counted(every)
    missed = set()
    if os.environ.get('NOVA_MIGRATION_REQUIRE_DATABASES') == '1':
        missed = never_run(every)
    for name in sorted(missed):
        print(f'error: skipped, and every database is required: {name}')
    print(describe(total))
    return int(not total.total() or total['failed'] > 0 or bool(missed))


if __name__ == '__main__':
    sys.exit(main())
