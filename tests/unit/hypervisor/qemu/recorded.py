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


"""The recorded streams, and what an independent reader makes of them.

Nothing here uses the library: the oracle goes by the raw lines alone.
"""

import functools
import itertools
import json

from tests import base

FOLDER = base.ROOT / 'tests' / 'data' / 'qemu-streams'
NAMES = tuple(sorted(path.stem for path in FOLDER.glob('*.jsonl')))


@functools.cache
def load(name):
    """Return the items of a stream."""
    path = FOLDER / f'{name}.jsonl'
    with path.open(encoding='utf-8') as lines:
        return tuple(json.loads(line) for line in lines)


def _is_command(item, side, command):
    return (item['type'], item['side'], item.get('cmd')) == (
        'cmd',
        side,
        command,
    )


def attempts_of(items):
    """Return the indices at which the source reported a new setup."""
    begin = [
        index
        for index, item in enumerate(items)
        if item['side'] == 'src'
        and item['type'] == 'event'
        and 'conn' not in item
        and item['event'] == 'MIGRATION'
        and item['data']['status'] == 'setup'
    ]
    return begin or [0]


def run_state(items, side):
    """Return what the last query-status of a side said: True, False, None."""
    answers = [
        item['return']['running']
        for item in items
        if item['side'] == side
        and item['type'] == 'return'
        and item['cmd'] == 'query-status'
    ]
    return answers[-1] if answers else None


def statuses(items, side):
    """Return the statuses that a side reported before it was told to quit."""
    seen = []
    for item in items:
        if _is_command(item, side, 'quit'):
            break
        if item['side'] != side or 'conn' in item:
            continue
        if item['type'] == 'event' and item['event'] == 'MIGRATION':
            seen.append(item['data']['status'])
        elif item['type'] == 'query' and 'status' in item['return']:
            seen.append(item['return']['status'])
    return seen


def _was_ended(items, side):
    """Whether a process was killed, or told to quit, under way."""
    ended = {'completed', 'failed', 'cancelled'}
    return not ended & set(statuses(items, side)) and any(
        item['side'] == side
        and (
            item.get('what') == 'signal SIGKILL'
            or _is_command(item, side, 'quit')
        )
        for item in items
    )


def verdict_of_last(items):
    """Return where the guest of the last attempt runs, from run states."""
    sides = {item['side'] for item in items}
    there = 'dst2' if 'dst2' in sides else 'dst'
    source, destination = run_state(items, 'src'), run_state(items, there)
    told = statuses(items, 'src')
    postcopy = 'postcopy-active' in told + statuses(items, there)
    if source and destination:
        return 'split'
    if source:
        return 'not_moved'
    if source is None:
        crashed = any(i['type'] == 'proc' and i.get('rc') == -6 for i in items)
        under_way = bool(told) and _was_ended(items, 'src')
        return 'lost' if crashed or under_way else 'unknown'
    if postcopy and 'completed' not in told:
        return 'lost'
    if destination:
        return 'moved'
    # The source stands and can be resumed; the destination never ran.
    assert told[-1] == 'completed', told
    assert statuses(items, there)[-1] == 'failed'
    return 'not_moved'


def verdicts(items):
    """Return the expected verdict of every attempt.

    Before the last one, the run states were not asked; but a source takes
    another migrate only if its guest is there, or was brought back by cont.
    """
    begin = attempts_of(items)
    earlier = []
    for first, following in itertools.pairwise(begin):
        left = any(
            _is_command(item, 'src', 'cont') for item in items[first:following]
        )
        earlier.append('moved' if left else 'not_moved')
    return [*earlier, verdict_of_last(items)]


def _refused_ids(items):
    return {
        (item['side'], item['id']) for item in items if item['type'] == 'error'
    }


def cause(items):
    """Return the first cause of an only attempt, by what was known when.

    Section by section: completed if the source says so; else whichever of
    our cancel (when it was sent, unless it was refused) and the first
    failure (when it was read) came first.
    """
    refused = _refused_ids(items)
    started = False
    for item in items:
        if _is_command(item, 'src', 'quit'):
            break
        started = started or (
            _is_command(item, 'src', 'migrate')
            and (item['side'], item['id']) not in refused
        )
        cancels = _is_command(item, 'src', 'migrate_cancel') and (
            ('src', item['id']) not in refused
        )
        if 'completed' in statuses(items, 'src'):
            return 'completed'
        if started and cancels:
            return 'user-cancel'
        if statuses([item], 'src')[:1] in (['failing'], ['failed']):
            return 'failure'
    return None


def word(items):
    """Return the first cause as QEMU's own last word would have it."""
    last = statuses(items, 'src')[-1:]
    return {
        ('completed',): 'completed',
        ('cancelled',): 'user-cancel',
        ('failed',): 'failure',
    }.get(tuple(last))
