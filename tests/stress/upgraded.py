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

"""A table that is upgraded under fire, and what may be found in it."""

import hashlib

import sqlalchemy as sa

from nova_migration import exception
from nova_migration.db import api
from nova_migration.db import engine
from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.db import schema
from tests.functional.cmd import base as cmd_base
from tests.functional.db import samples
from tests.stress import oracle

#: Strings that older releases wrote where Nova 34 writes another one.
_ODD = {
    ('live-migration', 'pre-migrating'): 'accepted',
    ('live-migration', 'done'): 'completed',
}

#: Small, so that there are many points between two batches.
BATCH = ('--batch-size', '40')

#: The phases in their order; after the last one all is as it was.
PHASES = {
    'expand': ('db', 'upgrade', '--expand'),
    'migrate': ('db', 'upgrade', '--migrate', *BATCH),
    'contract': ('db', 'upgrade', '--contract'),
    'restore': ('db', 'restore', *BATCH),
    'drop': ('db', 'restore', '--drop-columns'),
}


def _meanings():
    """Yield each type, string and state that a legacy row may have."""
    for kind in nova_schema.MIGRATION_TYPES:
        for state, word in oracle.MODELS[kind].legacy.items():
            yield kind, word, state
    for (kind, word), state in _ODD.items():
        yield kind, word, state
    yield 'resize', None, None


#: What is said where a command before has been killed behind its fence.
_TAKEN_BACK = "Taking back what a 'db restore --drop-columns' has begun"


class Upgraded:
    """Mixed into tests that fill Nova's tables and upgrade them."""

    ROWS = 400

    def fill(self):
        """Fill both tables of Nova's; remember every byte."""
        self.create_nova_tables()
        meanings = list(_meanings())
        chance = self.chance
        self.means = {}
        with self.db.engine.begin() as connection:
            for table in models.TABLES:
                for row_id in chance.sample(range(1, 2**20), self.ROWS // 2):
                    kind, word, state = chance.choice(meanings)
                    self.means[table.name, row_id] = kind, state
                    values = samples.legacy(
                        kind,
                        word,
                        id=row_id,
                        deleted=chance.choice((0, row_id)),
                        dest_host='é' * chance.randrange(9),
                        cross_cell_move=False,
                    )
                    connection.execute(self.nova(table).insert(), values)
        self.before = self.contents()

    @staticmethod
    def nova(table):
        """Return a table with Nova's columns only."""
        return next(
            t
            for t in nova_schema.define(sa.MetaData())
            if t.name == table.name
        )

    def contents(self):
        """Return Nova's columns of each row, by table and id."""
        with self.db.engine.connect() as connection:
            return {
                (table.name, row.id): row._asdict()
                for table in models.TABLES
                for row in connection.execute(sa.select(self.nova(table)))
            }

    @staticmethod
    def checksum(contents):
        """Return what changes with any byte of any row."""
        text = repr(sorted(contents.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def assert_whole(self):
        """No row is lost, doubled or half in another form."""
        contents = self.contents()
        self.assertEqual(self.before.keys(), contents.keys())
        states = self.states()
        for key, row in contents.items():
            kind, meant = self.means[key]
            state, legacy_status = states.get(key, (None, None))
            original = self.before[key]['status']
            said = row.pop('status')
            if state is None:
                self.assertEqual((original, None), (said, legacy_status))
                continue
            model = oracle.MODELS[kind]
            self.assertEqual(
                (meant, model.status[meant]), (state, said), (key, row)
            )
            self.assertIn(original, (model.legacy[meant], legacy_status))
        for key, row in self.before.items():
            kept = {k: v for k, v in row.items() if k != 'status'}
            self.assertEqual(kept, contents[key])

    def states(self):
        """Return what our columns say, where they are all there."""
        if engine.needs_expand(self.db.engine):
            return {}
        with self.db.engine.connect() as connection:
            return {
                (table.name, row.id): (row.state, row.legacy_status)
                for table in models.TABLES
                for row in connection.execute(sa.select(table))
            }

    def assert_succeeded(self, result):
        """A command did what it was told, and had nothing to complain of."""
        complaints = [
            line
            for line in cmd_base.complaints(result['err'])
            if not line.startswith(_TAKEN_BACK)
        ]
        self.assertEqual((0, []), (result['code'], complaints), result)

    def assert_one_line(self, result):
        """A command failed, and said in one line why."""
        self.assertEqual(255, result['code'], result)
        self.assertEqual(1, len(cmd_base.complaints(result['err'])), result)
        self.assertNotIn('Traceback', result['err'])

    def assert_done(self, phase):
        """A phase that has ended has left what it promises."""
        self.assert_whole()
        getattr(self, f'_done_{phase}')()
        self.assert_tables(phase)

    def assert_tables(self, phase):
        """Nobody has left a table behind."""
        ours = {table.name for table in models.TABLES}
        if phase != 'drop':
            ours.add(schema.VERSION_TABLE)
        found = set(sa.inspect(self.db.engine).get_table_names())
        self.assertEqual(ours, found)

    def _done_expand(self):
        self.assertTrue(schema.is_expanded(self.db))
        self.assertFalse(schema.is_contracted(self.db))
        (index,) = [
            i
            for i in sa.inspect(self.db.engine).get_indexes('migrations')
            if i['name'] == models.INDEX
        ]
        self.assertEqual(['state', 'state_changed_at'], index['column_names'])
        if self.BACKEND == 'postgresql':
            self.assertEqual([], self.invalid())

    def invalid(self):
        """Return what PostgreSQL holds for not valid."""
        query = sa.text(
            'SELECT indexrelid::regclass::text FROM pg_index'
            ' WHERE NOT indisvalid UNION ALL'
            ' SELECT conname::text FROM pg_constraint WHERE NOT convalidated'
        )
        with self.db.engine.connect() as connection:
            return list(connection.scalars(query))

    def _done_migrate(self):
        for key, (state, _legacy_status) in self.states().items():
            self.assertEqual(self.means[key][1], state)

    def _done_contract(self):
        self._done_migrate()
        self.assertTrue(schema.is_contracted(self.db))
        for table in models.TABLES:
            # What refuses them in shadow_migrations says the same.
            self.assertRaises(
                exception.LegacyRowRefused,
                self.db.run,
                lambda connection, t=table: connection.execute(
                    t.insert(), {'migration_type': 'resize', 'status': 'x'}
                ),
            )
        if self.BACKEND == 'postgresql':
            self.assertEqual([], self.invalid())

    def _done_restore(self):
        self.assertEqual(
            self.checksum(self.before), self.checksum(self.contents())
        )
        self.assertFalse(schema.is_contracted(self.db))
        self.assertEqual(
            [], api.get_all_by_filters(self.db, {'inconsistent': True})
        )

    def _done_drop(self):
        self.assertEqual(
            self.checksum(self.before), self.checksum(self.contents())
        )
        for table in models.TABLES:
            found = {
                column['name']
                for column in sa.inspect(self.db.engine).get_columns(
                    table.name
                )
            }
            self.assertEqual(set(self.nova(table).columns.keys()), found)
