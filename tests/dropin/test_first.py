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

"""The first write of a process is guarded like all others.

It is Nova's own code that makes the first connection, and with it loads the
drop-in; so each way of writing is tried in a process that has not yet done
anything.
"""

import itertools
import json

import sqlalchemy as sa

from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.states import machine_for
from tests.dropin import base
from tests.dropin import first
from tests.functional import base as functional_base
from tests.nova import base as nova_base
from tests.nova import rows

#: Where a row is, what is reported, and what the writer sees and has done.
REPORTS = (
    ('resize', 'awaiting-confirmation', 'reverting', 'reverting', 'reverting'),
    ('evacuation', 'completed', 'done', 'completed', 'completed'),
    (
        'resize',
        'confirmed',
        'reverting',
        'InstanceInvalidState',
        'confirmed',
    ),
    (
        'live-migration',
        'running',
        'goofballs',
        'InstanceInvalidState',
        'running',
    ),
)


def stored(kind, state, *, canonical):
    """Return status and state of a row that is in a state."""
    found = machine_for(kind, False).state(state)
    if canonical:
        return found.status, found.name
    return found.legacy, None


class FirstWriteTest(nova_base.NovaTest):
    """In a process that has not opened a database."""

    backends = ('sqlite', 'mysql', 'postgresql')
    timeout = 900
    put = base.DropinTest.put

    def setUp(self):
        super().setUp()
        self.create_instances(rows.INSTANCES)
        schema.expand(self.db, create=True)

    def first(self, tasks, status_format='legacy'):
        """Do each task first in a process; return what the writers see."""
        url = base.with_word(self.url)
        told, self.log_of_it = base.run(
            'first', url, json.dumps(tasks), status_format
        )
        return told

    def position(self, row_id):
        """Return status and state of a row, as stored."""
        row = self.row(row_id, models.MIGRATIONS)
        return row.status, row.state

    def check_reports(self, forms):
        """Report everything in each way, and expect what the machine says."""
        cases = list(itertools.product(first.WAYS, REPORTS, forms))
        tasks = [
            (how, self.put(kind, state, canonical=canonical), asked)
            for how, (kind, state, asked, *_), canonical in cases
        ]
        told = self.first(tasks, 'canonical' if all(forms) else 'legacy')
        for (how, report, canonical), task, seen in zip(
            cases, tasks, told, strict=True
        ):
            kind, _state, _asked, expected, state = report
            self.assertEqual(expected, seen, (how, report, canonical))
            self.assertEqual(
                stored(kind, state, canonical=canonical),
                self.position(task[1]),
                (how, report),
            )

    def test_reports(self):
        """A report moves a row of either form, comes late or is refused."""
        self.check_reports((False, True))

    def test_contracted(self):
        """After contract it is the same."""
        schema.contract(self.db)
        self.check_reports((True,))
        self.check_creations('canonical')

    def check_creations(self, status_format):
        """Create a row in each way, and expect the form that is configured."""
        canonical = status_format == 'canonical'
        tasks = [(how, None, 'pre-migrating') for how in first.WAYS]
        before = len(self.rows())
        told = self.first(tasks, status_format)
        self.assertEqual(['pre-migrating'] * len(tasks), told)
        made = self.rows()[before:]
        self.assertEqual(
            [stored('resize', 'pre-migrating', canonical=canonical)]
            * len(tasks),
            [(row.status, row.state) for row in made],
        )
        for row in made:
            self.assertIsNotNone(row.created_at)
            self.assertIsNotNone(row.state_changed_at)
            self.assertEqual((0, False), (row.deleted, row.hidden))

    def test_creations(self):
        """A row is created in the form that is configured."""
        for status_format in ('legacy', 'canonical'):
            self.check_creations(status_format)

    def test_unknown_creation(self):
        """A status that nobody knows is refused to an object of a session."""
        tasks = [(how, None, 'goofballs') for how in ('object', 'session')]
        self.assertEqual(['InstanceInvalidState'] * 2, self.first(tasks))
        self.assertEqual([], self.rows())

    def test_other_statements(self):
        """A statement that the machine cannot be asked about is stopped."""
        rows_of = [
            self.put('resize', 'awaiting-confirmation', canonical=canonical)
            for canonical in (False, True)
        ]
        before = [self.position(row) for row in rows_of]
        tasks = [
            (how, row, 'reverting') for how in first.STOPPED for row in rows_of
        ]
        tasks += [
            (how, None, 'pre-migrating') for how in ('statement', 'mappings')
        ]
        self.assertEqual(['UnguardedWrite'] * len(tasks), self.first(tasks))
        self.assertEqual(before, [self.position(row) for row in rows_of])
        self.assertEqual(len(rows_of), len(self.rows()))

    def test_not_expanded(self):
        """Where there is nothing to guard, each way is as in Nova."""
        row_id = self.put('resize', 'confirmed', canonical=False)
        schema.revert_expand(self.db)
        # A statement that names the attribute gets what that is read as.
        ways = {*first.WAYS, *first.STOPPED} - {'attribute'}
        told = self.first([(how, row_id, 'goofballs') for how in ways])
        self.assertEqual({'goofballs', None}, set(told))
        with self.db.transaction() as connection:
            found = connection.scalar(sa.text('SELECT status FROM migrations'))
        self.assertEqual('goofballs', found)


functional_base.on_every_database(FirstWriteTest)
