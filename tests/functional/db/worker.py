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

"""A process of its own that does to a database what it is told, by JSON."""

import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import fixtures

from nova_migration import context
from nova_migration import exception
from nova_migration import objects
from nova_migration.db import engine
from nova_migration.db import guard
from nova_migration.states import MACHINES
from tests import base


class Workers(fixtures.Fixture):
    """Several processes, each of which answers a question at a time."""

    #: What each process runs.
    MODULE = __name__

    def __init__(self, count, url):
        self.count = count
        self.url = url

    def _setUp(self):
        self._stderr = pathlib.Path(tempfile.mkdtemp()) / 'stderr'
        self._processes = [self._start() for _ in range(self.count)]
        self.ask_all({'do': 'nothing'})

    def _start(self):
        with self._stderr.open('a') as stderr:
            process = self._popen(stderr)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(_close, process.stdin)
        return process

    def _popen(self, stderr):
        return subprocess.Popen(
            [sys.executable, '-m', self.MODULE, self.url],
            cwd=base.ROOT,
            env={**os.environ, 'PYTHONPATH': str(base.ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def send(self, position, **question):
        """Tell one process what to do, and do not wait for its answer."""
        pipe = self._processes[position].stdin
        pipe.write(json.dumps(question) + '\n')
        pipe.flush()

    def receive(self, position):
        """Wait for the answer of one process."""
        line = self._processes[position].stdout.readline()
        if not line:
            said = self._stderr.read_text()
            raise RuntimeError(f'the worker died: {said}')
        return json.loads(line)

    def ask_each(self, questions):
        """Ask each process a question of its own, all at once."""
        for position, question in enumerate(questions):
            self.send(position, **question)
        return [self.receive(position) for position in range(self.count)]

    def ask_all(self, question):
        """Ask all processes the same at once."""
        return self.ask_each([question] * self.count)


def _close(pipe):
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def nothing(_database):
    """Do nothing: the answer says that the process runs."""
    return {}


def move(database, row, machine, source, event, reason=None):
    """Move a row by the guarded write."""
    driver = MACHINES[machine]
    edge = driver.decide(source, event)
    try:
        guard.move(database, row, driver, edge, reason)
    except exception.TransitionConflict as conflict:
        return {
            'outcome': 'conflict',
            'expected': conflict.expected,
            'actual': conflict.actual,
        }
    return {'outcome': 'moved', 'target': edge.target}


_loaded = {}


def load(database, row):
    """Read a row into an object that is kept."""
    admin = context.get_admin_context(database)
    _loaded[row] = objects.Migration.get_by_id(admin, row)
    return {'state': _loaded[row].state}


def process(_database, row, event, reason=None):
    """Have an object that was read earlier process an event."""
    migration = _loaded[row]
    try:
        outcome = migration.process_event(event, reason)
    except exception.TransitionConflict as conflict:
        return {
            'outcome': 'conflict',
            'expected': conflict.expected,
            'actual': conflict.actual,
            'state': migration.state,
        }
    return {'outcome': outcome, 'state': migration.state}


def walk(database, rows, steps, seed):
    """Move rows at random, and say which moves were made in which order."""
    chance = random.Random(seed)
    history, refused = [], 0
    for _ in range(steps):
        if not rows:
            break
        row, machine = chance.choice(sorted(rows.items()))
        driver = MACHINES[machine]
        here = guard.position(database, int(row), driver).state
        events = driver.events_from(here)
        if not events:
            del rows[row]
            continue
        edge = driver.decide(here, chance.choice(events))
        try:
            guard.move(database, int(row), driver, edge)
        except exception.TransitionConflict:
            refused += 1
        else:
            history.append((int(row), edge.source, edge.event, edge.target))
    return {'history': history, 'refused': refused}


_ACTIONS = {
    action.__name__: action for action in (nothing, move, load, process, walk)
}


def main(url):
    """Answer each line of the standard input with a line."""
    database = engine.from_url(url)
    for line in sys.stdin:
        question = json.loads(line)
        answer = _ACTIONS[question.pop('do')](database, **question)
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
