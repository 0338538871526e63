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

"""What writers were told, held against what the table says in the end."""

import collections

from nova_migration.db import models
from tests.stress import base
from tests.stress import oracle


class Journals:
    """Mixed into tests whose writers drive rows and keep journals."""

    def rows_to_drive(self, count):
        """Insert rows of every machine, in both forms; return the machines.

        :param count: how many of each form
        """
        machines = {}
        names = list(oracle.MODELS)
        with self.db.engine.begin() as connection:
            for number in range(count):
                name = names[number % len(names)]
                model = oracle.MODELS[name]
                kind, cross = base.kinds_of(name)
                for form in (
                    {'status': model.legacy[model.start]},
                    {
                        'status': model.status[model.start],
                        'state': model.start,
                    },
                ):
                    result = connection.execute(
                        models.MIGRATIONS.insert(),
                        {
                            'migration_type': kind,
                            'cross_cell_move': cross,
                            **form,
                        },
                    )
                    machines[str(result.inserted_primary_key[0])] = name
        return machines

    def assert_told(self, machines, journals):
        """What writers were told is in the table, once, and nothing else.

        What is refused must not be there; what was lost may be.

        :returns: how many moves were told, refused and lost
        """
        told, open_ = (
            collections.defaultdict(dict),
            collections.defaultdict(dict),
        )
        late = collections.defaultdict(set)
        for journal in journals:
            for row, before, event, after, reason in journal['told']:
                told[row][reason] = before, event, after
            for row, before, event, reason in journal['lost']:
                after = oracle.MODELS[machines[row]].moved[before, event]
                open_[row][reason] = before, event, after
            for row, reason in journal['late']:
                late[row].add(reason)
        for row in self.rows():
            key = str(row.id)
            said = row.state_reason.split('; ') if row.state_reason else []
            self.assertEqual(len(set(said)), len(said), row)
            self.assertLessEqual({*told[key], *late[key]}, {*said}, row)
            moves = {*said} - late[key]
            known = {**open_[key], **told[key]}
            self.assertLessEqual(moves, known.keys(), row)
            model = oracle.MODELS[machines[key]]
            path = model.path([known[reason] for reason in moves])
            self.assertEqual(path[-1], model.position(row), row)
        return {
            'told': sum(len(moves) for moves in told.values()),
            'refused': sum(journal['refused'] for journal in journals),
            'unknown': sum(len(moves) for moves in open_.values()),
            'absorbed': sum(len(reasons) for reasons in late.values()),
        }
