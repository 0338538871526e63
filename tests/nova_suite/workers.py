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

"""Have stestr run the tests that were chosen, and watch over its workers."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import tqdm

from tests import base
from tests.nova_suite import results

HERE = pathlib.Path(__file__).parent.relative_to(base.ROOT)

#: As Nova's own tox.ini has it, with more patience for a busy machine.
NOVA_ENVIRON = {
    'LANGUAGE': 'en_US',
    'LC_ALL': 'en_US.utf-8',
    'OS_NOVA_DISABLE_EVENTLET_PATCHING': 'False',
    'OS_STDERR_CAPTURE': '1',
    'OS_STDOUT_CAPTURE': '1',
    'OS_TEST_TIMEOUT': '600',
    'PYTHONDONTWRITEBYTECODE': '1',
}

#: What stestr says of them goes here, in the folder of the run.
OUTPUT = 'stestr.txt'

#: Seconds without the end of a test, after which the workers are taken to
#: hang. A test has OS_TEST_TIMEOUT, which does not end one that waits for a
#: lock.
PATIENCE = 900

_PERIOD = 0.5


def environ(**more):
    """Return the environment that Nova's tests are run with."""
    return {**NOVA_ENVIRON, **os.environ, **more}


def command(folder, concurrency):
    """Return the command that runs Nova's tests."""
    stestr = [sys.executable, '-m', 'stestr.cli', '--repo-url', str(folder)]
    stestr += ['--test-path', str(HERE), '--top-dir', '.']
    return [*stestr, 'run', '--concurrency', str(concurrency)]


def run(settings, folder, concurrency):
    """Run the tests; what the workers write of them is in the records.

    However this ends, no worker is left.

    :param settings: the :class:`~tests.nova_suite.settings.Settings`
    :param folder: where stestr keeps its results, and what it prints
    """
    with open(folder / OUTPUT, 'ab') as output:
        stestr = subprocess.Popen(
            command(folder, concurrency),
            env=environ(**settings.environ()),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        follow(stestr, settings)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(stestr.pid, signal.SIGKILL)
        stestr.wait()


def follow(stestr, settings, patience=PATIENCE):
    """Show how far the tests are until all have ended, or hang."""
    ended_before = _ended(settings)
    with tqdm.tqdm(
        total=len(settings.named), unit=' tests', disable=None
    ) as bar:
        last = time.monotonic()
        while stestr.poll() is None and time.monotonic() - last < patience:
            time.sleep(_PERIOD)
            news = _ended(settings) - ended_before - bar.n
            if news:
                bar.update(news)
                last = time.monotonic()
    if stestr.poll() is None:
        print(f'No test has ended for {patience} s: the workers are ended.')


def _ended(settings):
    return sum(1 for _ in results.lines(settings.records))
