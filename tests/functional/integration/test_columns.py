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

"""The SQL that reads both forms of rows as Nova's strings."""

import itertools

import sqlalchemy as sa

from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.integration.dropin import columns
from nova_migration.integration.dropin import engines
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import determine_migration_type
from nova_migration.states import reading
from tests.functional import base as functional_base

NOVAS = sa.MetaData()
TABLE, _SHADOW = nova_schema.define(NOVAS)

#: Lists that Nova asks for, the one of moves that are over among them.
ASKED = (
    ['finished'],
    ['done'],
    ['running'],
    ['running (post-copy)'],
    ['accepted', 'pre-migrating', 'done'],
    ['queued', 'preparing', 'running', 'post-migrating'],
    [
        'confirmed',
        'reverted',
        'error',
        'failed',
        'completed',
        'cancelled',
        'done',
    ],
    ['goofballs'],
    [],
)


class ColumnsTest:
    """SQL and Python read each row alike."""

    def setUp(self):
        super().setUp()
        self.expand()
        self.reader = columns.Reader(TABLE)
        numbers = itertools.count(1)
        rows = [
            {'id': next(numbers), 'deleted': 0, **row}
            for kind, flavors in itertools.product(
                (*MIGRATION_TYPES, None), ((1, 1), (1, 2))
            )
            for row in self.rows_of(kind, flavors)
        ]
        with self.db.engine.begin() as connection:
            connection.execute(models.MIGRATIONS.insert(), rows)
        self.expected = {row['id']: self.expected_of(row) for row in rows}

    def rows_of(self, kind, flavors):
        """Yield a type's rows of both forms, and odd ones."""
        machine = MACHINES[kind or determine_migration_type(*flavors)]
        rows = [(word, None, None) for word in machine.legacy]
        rows += [(None, None, None), ('goofballs', None, None)]
        for word, state in machine.legacy.items():
            odd = word if word != state.legacy else None
            rows.append((state.status, state.name, odd))
            rows.append((state.status, state.name, 'goofballs'))
        # Written over by a program that knows of no states.
        start = machine.table.start
        rows.append(('error', start.name, None))
        for status, state, kept in rows:
            yield {
                'migration_type': kind,
                'old_instance_type_id': flavors[0],
                'new_instance_type_id': flavors[1],
                'status': status,
                'state': state,
                'legacy_status': kept,
            }

    def expected_of(self, row):
        """Return Nova's string for a row, and what it was mapped to."""
        flavors = row['old_instance_type_id'], row['new_instance_type_id']
        own = row['migration_type'] or determine_migration_type(*flavors)
        state, kept = row['state'], row['legacy_status']
        found = reading.of_row(own, False, row['status'], state, kept)
        meant = None
        if state is not None and kept == 'goofballs':
            meant = MACHINES[own].state(state).legacy
        return reading.spelled(own, False, found), meant

    def ids(self, condition):
        """Return the rows that match."""
        query = sa.select(TABLE.c.id).where(condition)
        with self.db.engine.connect() as connection:
            return set(connection.scalars(query))

    def look(self):
        """Find out what the engine goes to, as a process of Nova's does."""
        engines.look_again(self.db.engine)

    def test_shown(self):
        """Each row of either form is shown as Nova's string."""
        self.look()
        query = sa.select(TABLE.c.id, self.reader.shown)
        with self.db.engine.connect() as connection:
            found = dict(connection.execute(query).tuples().all())
        self.assertEqual(
            {key: shown for key, (shown, _meant) in self.expected.items()},
            found,
        )

    def test_found(self):
        """Each list finds what is shown so, or was mapped to that."""
        self.look()
        for words in ASKED:
            expected = {
                key
                for key, found in self.expected.items()
                if set(found) & set(words)
            }
            self.assertEqual(
                expected, self.ids(self.reader.is_one_of(words)), words
            )

    def test_negated(self):
        """What is not in a list has a status that is not in it."""
        self.look()
        for words in ASKED:
            expected = {
                key
                for key, found in self.expected.items()
                if found[0] is not None and not set(found) & set(words)
            }
            condition = sa.not_(self.reader.is_one_of(words))
            # An empty list matches nothing, NULL included, in SQL as well.
            if words:
                self.assertEqual(expected, self.ids(condition), words)

    def test_aliased(self):
        """The columns of ours are those of the table that is asked."""
        self.look()
        other = TABLE.alias('other')
        state = columns.state_beside(other.c.id)
        compiled = str(
            sa.select(other.c.id, state).compile(
                dialect=self.db.engine.dialect
            )
        )
        self.assertIn('other.state AS nova_migration_state', compiled)
        with self.db.engine.connect() as connection:
            query = sa.select(state).where(state.is_not(None))
            found = connection.scalars(query).all()
        self.assertIn('evacuated', found)


class UnexpandedTest:
    """On a database without our columns there is only Nova's string."""

    def setUp(self):
        super().setUp()
        (self.table, _shadow) = self.create_nova_tables()
        for status in ('done', 'completed', None):
            self.insert(self.table, migration_type='evacuation', status=status)
        engines.look_again(self.db.engine)

    def test_said_once(self):
        """One line of the log says what to run, however often it is seen."""
        engines.goes_to_expanded(self.db.engine)
        engines.goes_to_expanded(self.open().engine)
        self.assertEqual(1, self.log.output.count('is not expanded'))
        self.assertIn(
            "Run 'nova-migration-manage db upgrade --expand'", self.log.output
        )

    def test_queries(self):
        """What is asked of both forms is answered of Nova's."""
        reader = columns.Reader(TABLE)
        with self.db.engine.connect() as connection:
            found = connection.execute(
                sa.select(
                    reader.shown,
                    columns.state_beside(TABLE.c.id),
                    columns.legacy_status_beside(TABLE.c.id),
                ).where(reader.is_one_of(['done']))
            ).all()
        self.assertEqual([('done', None, None)], [tuple(r) for r in found])

    def test_expanded_meanwhile(self):
        """A process that was there before goes on as it was."""
        functional_base.schema.expand(self.db, create=True)
        self.assertFalse(engines.goes_to_expanded(self.db.engine))
        self.assertTrue(engines.goes_to_expanded(self.open().engine))
        self.assertTrue(engines.look_again(self.db.engine))

    def test_half_expanded(self):
        """Our columns are needed in both tables."""
        table = models.MIGRATIONS
        with self.db.engine.begin() as connection:
            for column in models.added_columns():
                kind = column.type.compile(self.db.engine.dialect)
                connection.exec_driver_sql(
                    f'ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}'
                )
        self.assertFalse(engines.look_again(self.db.engine))


class EmptyTest:
    """A database without migrations is none of ours."""

    def test_api_database(self):
        """Nothing is said of a database that has no migrations."""
        self.assertFalse(engines.look_again(self.db.engine))
        self.assertNotIn('expanded', self.log.output)

    @functional_base.only_on('mysql')
    def test_no_database(self):
        """A connection to a server alone goes to no database of ours."""
        server = sa.create_engine(sa.make_url(self.url).set(database=''))
        self.addCleanup(server.dispose)
        self.assertFalse(engines.look_again(server))


for _mixin in (ColumnsTest, UnexpandedTest, EmptyTest):
    functional_base.on_every_database(_mixin)
