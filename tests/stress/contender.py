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

"""A process of its own that wants rows which others want too."""

import itertools
import json
import random
import sys
import time

from nova_migration import context
from nova_migration import exception
from nova_migration import objects
from nova_migration.db import engine
from nova_migration.db import guard
from nova_migration.db import upgrade
from nova_migration.states import Edge
from tests.functional.db import worker
from tests.stress import oracle


class Contenders(worker.Workers):
    """Several processes that answer what they were told."""

    MODULE = __name__


_held = {}

#: What a caller may take for "it is as if I had not asked".
_NOTHING_WRITTEN = (
    exception.TransitionConflict,
    exception.DatabaseUnavailable,
)


def nothing(_database):
    """Do nothing: the answer says that the process runs."""
    return {}


def load(database, row):
    """Read a row into an object that is kept until the next one."""
    admin = context.get_admin_context(database)
    _held['migration'] = objects.Migration.get_by_id(admin, row)
    return {'state': _held['migration'].state}


def process(_database, event, reason):
    """Have the object process an event."""
    migration = _held['migration']
    outcome = migration.process_event(event, reason)
    return {'outcome': outcome, 'state': migration.state}


def swap(database, event, reason):
    """Take the object's row along an edge, by the guarded write alone."""
    migration = _held['migration']
    edge = migration.machine.decide(migration.state, event)
    if not isinstance(edge, Edge):
        return process(database, event, reason)
    guard.move(database, migration.id, migration.machine, edge, reason)
    return {'outcome': 'moved', 'state': edge.target}


def shift(database, to):
    """Give every row the other form."""
    run = upgrade.migrate if to == 'canonical' else upgrade.restore
    return {'changed': sum(batch.changed for batch in run(database))}


def drive(database, rows, seconds, name, seed):
    """Drive rows along random events until the time is over.

    The answer is a journal of what this process was told to have happened:
    each move has a reason that nobody else gives.

    :param rows: the machine of each row
    """
    chance = random.Random(seed)
    admin = context.get_admin_context(database)
    told, refused, lost, late = [], 0, [], []
    end = time.monotonic() + seconds
    for number in itertools.count():
        if not rows or time.monotonic() > end:
            break
        row = chance.choice(sorted(rows, key=int))
        try:
            migration = objects.Migration.get_by_id(admin, int(row))
        except exception.DatabaseUnavailable:
            continue
        events = oracle.MODELS[rows[row]].onward(migration.state)
        if not events:
            del rows[row]
            continue
        before, event = migration.state, _prefer(chance, events)
        reason = f'{name}.{number}'
        try:
            outcome = migration.process_event(event, reason)
        except exception.OutcomeUnknown:
            lost.append((row, before, event, reason))
            continue
        except _NOTHING_WRITTEN:
            outcome = None
        if outcome == 'moved':
            told.append((row, before, event, migration.state, reason))
        elif outcome == 'absorbed':
            late.append((row, f'late {event}: {reason}'))
        else:
            refused += 1
    return {'told': told, 'refused': refused, 'lost': lost, 'late': late}


def _prefer(chance, events):
    """Choose an event, an early end only now and then."""
    ends = {'fail', 'cancel', 'roll_back', 'clean_up', 'finish_rebuild'}
    onward = [event for event in events if event not in ends]
    if onward and chance.random() < 0.9:
        return chance.choice(onward)
    return chance.choice(events)


def _refused(error):
    """Return what a typed refusal says."""
    if isinstance(error, exception.InvalidTransition):
        return {'outcome': 'invalid', 'state': error.state}
    return {
        'outcome': 'conflict',
        'expected': error.expected,
        'actual': error.actual,
    }


_ACTIONS = {
    action.__name__: action
    for action in (nothing, load, process, swap, shift, drive)
}


def main(url):
    """Answer each line of the standard input with a line."""
    database = engine.from_url(url)
    for line in sys.stdin:
        question = json.loads(line)
        action = _ACTIONS[question.pop('do')]
        try:
            answer = action(database, **question)
        except (
            exception.InvalidTransition,
            exception.TransitionConflict,
        ) as error:
            answer = _refused(error)
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
