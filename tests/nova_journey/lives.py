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

"""The statuses that a migration goes through, as a real Nova wrote them."""

import importlib.resources
import itertools
import json

from nova_migration.states import Edge
from nova_migration.states import machine_for


def lives():
    """Return each life that was recorded: a type and Nova's strings.

    Only those that have no late report in them, because a Nova without the
    drop-in writes such a report.
    """
    path = importlib.resources.files('nova_migration.data')
    text = path.joinpath('nova-transitions.jsonl').read_text(encoding='utf-8')
    found = set()
    for line in text.splitlines():
        record = json.loads(line)
        statuses = [step['status'] for step in record['history']]
        kind = record['migration_type']
        if not record['cross_cell_move'] and _is_of_edges(kind, statuses):
            found.add((kind, tuple(statuses)))
    return sorted(found)


def _is_of_edges(kind, statuses):
    machine = machine_for(kind)
    states = [machine.legacy.get(status) for status in statuses]
    if None in states or states[0].name != machine.table.start.name:
        return False
    answers = [
        machine.report(before.name, after.name)
        for before, after in itertools.pairwise(states)
    ]
    return all(
        isinstance(answer, Edge) and answer.said is None for answer in answers
    )
