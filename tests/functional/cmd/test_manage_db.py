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


"""``db``: every phase, every exit code, on every database."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import time

import fixtures
import sqlalchemy as sa
import yaml

from nova_migration.cmd import exits
from nova_migration.cmd import progress
from nova_migration.cmd import sample
from nova_migration.db import census
from nova_migration.db import fence
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.integration import release
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import registry
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test

ERROR, USAGE = exits.UPGRADE_ERROR, exits.WRONG_CALL

#: Any state that every type has, and a type.
STATE = next(
    name
    for name in registry.states_with()
    if all(name in MACHINES[kind].states for kind in MIGRATION_TYPES)
)
KIND = MIGRATION_TYPES[0]

#: Told apart by every byte; MariaDB's collations take them for one string.
LOOK_ALIKES = ('done', 'Done', 'done ')

#: An id that no sample row has.
LAST = 10**6

#: How many rows make a run long enough to be stopped.
MANY = 500

MIGRATED = re.compile(
    r'^migrate: (\d+) made canonical, (\d+) remain, (\d+) left alone .*$', re.M
)
RESTORED = re.compile(
    r'^restore: (\d+) given their string back, (\d+) remain .*$', re.M
)


def numbers(pattern, result):
    """Return the numbers of the one line that a pattern describes."""
    (found,) = pattern.findall(result.out)
    return tuple(map(int, found))


class NovaDatabase(cmd_test.CommandTest):
    """Begins with Nova's tables, which nobody has touched."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()

    def forms(self):
        """Return how many rows there are of each form."""
        counted = {}
        for count in census.take(self.db):
            counted[count.form] = counted.get(count.form, 0) + count.rows
        return counted


@base.on_every_database
class UpgradeTest(NovaDatabase):
    """``db upgrade``."""

    def test_everything_at_once(self):
        """Without an option all three phases are done."""
        rows = self.fill_with_every_legacy_string()
        result = self.work('db', 'upgrade')
        self.assertEqual((rows, 0, 0), numbers(MIGRATED, result))
        self.assertEqual({census.Form.CANONICAL: rows}, self.forms())
        self.assertTrue(schema.is_contracted(self.db))
        self.assertEqual('', result.err)

    def test_an_empty_database_gets_the_tables(self):
        """In a database without tables they are created."""
        self.url = self.useFixture(base.EmptyDatabase(self.BACKEND)).url
        self.work('db', 'upgrade', '--create')
        self.work('db', 'check')
        self.assertEqual([], self.listed('db', 'census'))

    def test_phase_by_phase(self):
        """Each phase does its part and leaves the rest."""
        rows = self.fill_with_every_legacy_string()
        self.work('db', 'upgrade', '--expand')
        self.assertTrue(schema.is_expanded(self.db))
        self.assertEqual({census.Form.LEGACY: rows}, self.forms())
        self.work('db', 'upgrade', '--migrate')
        self.assertEqual({census.Form.CANONICAL: rows}, self.forms())
        self.assertFalse(schema.is_contracted(self.db))
        self.work('db', 'upgrade', '--contract')
        self.assertTrue(schema.is_contracted(self.db))

    def test_again(self):
        """A second run finds nothing to do and changes nothing."""
        self.fill_with_every_legacy_string()
        self.work('db', 'upgrade')
        before = self.dump()
        for phase in ([], ['--expand'], ['--migrate'], ['--contract']):
            self.work('db', 'upgrade', *phase)
        self.assert_same(before)

    def test_both_tables_and_rows_without_a_type(self):
        """Archived rows, soft-deleted ones and untyped ones come along."""
        text = MACHINES[KIND].table.start.legacy
        self.insert(models.SHADOW_MIGRATIONS, id=1, status=text)
        self.insert(migration_type=None, status=text)
        self.insert(migration_type=KIND, status=text, deleted=3)
        result = self.work('db', 'upgrade')
        self.assertEqual((3, 0, 0), numbers(MIGRATED, result))

    def insert(self, table=models.MIGRATIONS, **values):
        """Insert a row, also before our columns are there."""
        ours = {column.name for column in models.added_columns()}
        metadata = sa.MetaData()
        plain = {t.name: t for t in models.nova_schema.define(metadata)}[
            table.name
        ]
        return super().insert(
            table if ours & values.keys() else plain, **values
        )

    def test_max_count_stops_at_a_boundary(self):
        """--max-count ends with 1 until nothing remains, then goes on."""
        rows = self.fill_with_every_legacy_string()
        done = 0
        while done + 10 < rows:
            result = self.work(
                'db', 'upgrade', '--max-count', 10, code=exits.ROWS_REMAIN
            )
            changed, remain, _unknown = numbers(MIGRATED, result)
            done += changed
            self.assertEqual((10, rows - done), (changed, remain))
            self.assertEqual(done, self.forms()[census.Form.CANONICAL])
            self.assertFalse(schema.is_contracted(self.db))
        self.work('db', 'upgrade', '--max-count', 10)
        self.work('db', 'check')

    def test_max_count_that_is_just_enough(self):
        """--max-count of as many rows as there are ends with 0."""
        rows = self.fill_with_every_legacy_string()
        self.work('db', 'upgrade', '--expand')
        self.work('db', 'upgrade', '--migrate', '--max-count', rows)

    def test_max_count_in_smaller_batches(self):
        """--max-count is reached in batches of the size asked for."""
        self.fill(*[(KIND, MACHINES[KIND].table.start.legacy)] * 7)
        self.work('db', 'upgrade', '--expand')
        result = self.work(
            'db',
            'upgrade',
            '--migrate',
            '--max-count',
            4,
            '--batch-size',
            2,
            code=exits.ROWS_REMAIN,
        )
        self.assertEqual((4, 3, 0), numbers(MIGRATED, result))

    def test_unknown_strings_are_left_and_named(self):
        """A string nobody knows is named, left alone, and stops contract."""
        known = self.fill_with_every_legacy_string()
        odd = self.fill(*[('evacuation', s) for s in LOOK_ALIKES[1:]])
        odd += self.fill(('evacuation', 'Done'))
        result = self.work('db', 'upgrade', code=exits.NOT_MIGRATED)
        self.assertEqual((known, 0, 3), numbers(MIGRATED, result))
        self.assertIn('2 rows of migrations, type evacuation', result.out)
        for text in LOOK_ALIKES[1:]:
            self.assertIn(f'status {text!r}', result.out)
        self.assertNotIn("'done'", result.out)
        self.assertFalse(schema.is_contracted(self.db))
        self.assertEqual(
            [('Done', None), ('done ', None), ('Done', None)],
            [(self.row(i).status, self.row(i).state) for i in odd],
        )

    def test_map_then_contract(self):
        """What --map says of unknown strings is carried out."""
        self.fill(('evacuation', 'Done'), ('resize', 'Done'))
        result = self.work(
            'db',
            'upgrade',
            '--map',
            'evacuation:Done=evacuated',
            '--map',
            'Done=error',
        )
        self.assertEqual((2, 0, 0), numbers(MIGRATED, result))
        self.assertEqual(
            ['evacuated', 'error'], [row.state for row in self.rows()]
        )
        self.work('db', 'check')

    def test_map_in_every_spelling(self):
        """--map takes any string, and no byte of another one."""
        for text in (
            '',
            ' ',
            'done ',
            'a=b',
            'a:b',
            'resized:x=y',
            "it's",
            '"quoted"',
            '100%',
            '%(x)s',
            ':colon',
            'back\\slash',
            '\u00fcnbekannt',
            'x' * 255,
        ):
            spelled = f'evacuation:{text}' if len(text) % 2 else text
            self.fresh()
            (mine, other) = self.fill(
                ('evacuation', text), ('evacuation', text[:-1] + '#')
            )
            result = self.manage(
                'db', 'upgrade', '--migrate', f'--map={spelled}={STATE}'
            )
            self.assertEqual(
                (exits.NOT_MIGRATED, STATE, None),
                (result.code, self.row(mine).state, self.row(other).state),
                (spelled, result),
            )
            self.work('db', 'restore')
            self.assertEqual(text, self.row(mine).status)

    def fresh(self):
        """Empty the table, which has been expanded."""
        if not schema.is_expanded(self.db):
            schema.expand(self.db, create=True)
        with self.db.engine.begin() as connection:
            connection.execute(models.MIGRATIONS.delete())

    def test_wrong_maps_change_nothing(self):
        """A --map that makes no sense is refused before anything is done."""
        self.fill_with_every_legacy_string()
        self.fill((KIND, cmd_test.UNKNOWN))
        known = MACHINES[KIND].table.start.legacy
        lacking = next(
            name
            for name in registry.states_with()
            if name not in MACHINES[KIND].states
        )
        before = self.dump()
        for wrong, said in (
            ('nothing', '[TYPE:]OLD=STATE'),
            ('', '[TYPE:]OLD=STATE'),
            (f'{cmd_test.UNKNOWN}=', '[TYPE:]OLD=STATE'),
            (f'{cmd_test.UNKNOWN}=eror', "did you mean 'error'"),
            (f'{KIND}:{cmd_test.UNKNOWN}={lacking}', 'has no state'),
            (f'{KIND}:{known}=error', 'cannot be changed'),
        ):
            for phase in ([], ['--migrate']):
                result = self.manage(
                    'db',
                    'upgrade',
                    *phase,
                    f'--map=odd={STATE}',
                    f'--map={wrong}',
                )
                self.assert_one_line(result, ERROR, '--map', said)
        self.assert_same(before)

    def test_migrate_before_expand(self):
        """--migrate of a database without our columns says what to do."""
        self.fill_with_every_legacy_string()
        before = self.dump()
        result = self.manage('db', 'upgrade', '--migrate')
        self.assert_one_line(result, ERROR, 'db upgrade --expand')
        self.assert_same(before)

    def test_contract_with_legacy_rows(self):
        """--contract counts the legacy rows and changes nothing."""
        rows = self.fill_with_every_legacy_string()
        self.work('db', 'upgrade', '--expand')
        before = self.dump()
        result = self.manage('db', 'upgrade', '--contract')
        self.assert_one_line(
            result, ERROR, f'in migrations: {rows} ', '--migrate'
        )
        self.assert_same(before)

    def test_a_foreign_table(self):
        """A table of the same name that is not Nova's is refused."""
        self.url = self.useFixture(base.EmptyDatabase(self.BACKEND)).url
        engine = self.open().engine
        with engine.begin() as connection:
            connection.execute(sa.text('CREATE TABLE migrations (id int)'))
        result = self.manage('db', 'upgrade')
        self.assert_one_line(result, ERROR, 'nova-manage db sync')
        self.assertEqual(
            ['migrations'],
            [
                name
                for name in sa.inspect(engine).get_table_names()
                if name != schema.VERSION_TABLE
            ],
        )

    def test_check_along_the_way(self):
        """`db check` ends with 2, 3, 4 and 0 as the upgrade goes on."""
        self.fill_with_every_legacy_string()
        self.fill((KIND, cmd_test.UNKNOWN))
        seen = [self.manage('db', 'check')]
        for phase in ('--expand', '--migrate'):
            self.manage('db', 'upgrade', phase)
            seen.append(self.manage('db', 'check'))
        for argument in (
            f'--map={cmd_test.UNKNOWN}={STATE}',
            '--contract',
        ):
            phase = '--migrate' if 'map' in argument else '--contract'
            self.work('db', 'upgrade', *dict.fromkeys((phase, argument)))
            seen.append(self.manage('db', 'check'))
        self.assertEqual(
            [
                exits.EXPAND_NEEDED,
                exits.MIGRATE_NEEDED,
                exits.MIGRATE_NEEDED,
                exits.CONTRACT_NEEDED,
                0,
            ],
            [result.code for result in seen],
        )
        self.assertEqual([2, 3, 3, 4, 0], [result.code for result in seen])
        for result in seen:
            self.assertEqual(1, len(result.out.splitlines()), result)
            # With a Nova beside it, that is named there.
            self.assertIn(
                result.err.rstrip(), ('', release.beside().described)
            )
        self.assertIn('0 legacy, 1 unknown', seen[2].out)

    def test_version_along_the_way(self):
        """`db version` says of each branch whether it has been run."""
        seen = []
        for phase in ('--expand', '--migrate', '--contract'):
            seen.append(self.versions())
            self.work('db', 'upgrade', phase)
        seen.append(self.versions())
        self.work('db', 'restore', '--drop-columns')
        seen.append(self.versions())
        self.assertEqual(
            [
                {'expand': False, 'contract': False},
                {'expand': True, 'contract': False},
                {'expand': True, 'contract': False},
                {'expand': True, 'contract': True},
                {'expand': False, 'contract': False},
            ],
            seen,
        )

    def versions(self):
        """Return whether each branch's head is applied."""
        listed = self.listed('db', 'version')
        self.assertEqual(
            schema.heads(), {row['Branch']: row['Head'] for row in listed}
        )
        return {row['Branch']: row['Applied'] for row in listed}


@base.on_every_database
class RestoreTest(NovaDatabase):
    """``db restore``."""

    def setUp(self):
        super().setUp()
        with self.db.engine.begin() as connection:
            for table in models.nova_schema.define(sa.MetaData()):
                table.drop(connection)
        sample.build(self.db)
        self.before = self.original()
        self.tables = self.dump()
        self.manage('db', 'upgrade')
        self.work('db', 'upgrade', '--map', 'evacuation:Done=evacuated')
        self.assertNotEqual(self.before, self.original())

    def test_after_contract(self):
        """Every row has its string again, byte for byte."""
        canonical = self.forms()[census.Form.CANONICAL]
        result = self.work('db', 'restore')
        self.assertEqual((canonical, 0), numbers(RESTORED, result))
        self.assertEqual(self.before, self.original())
        self.assertEqual('', result.err)
        self.insert(id=LAST, migration_type=KIND, status=cmd_test.UNKNOWN)

    def test_again(self):
        """A second run finds nothing to do and changes nothing."""
        self.work('db', 'restore')
        before = self.dump()
        result = self.work('db', 'restore')
        self.assertEqual((0, 0), numbers(RESTORED, result))
        self.assert_same(before)

    def test_and_upgrade_again(self):
        """The way is open in both directions."""
        self.work('db', 'restore')
        self.work('db', 'upgrade', '--map', 'evacuation:Done=evacuated')
        self.work('db', 'check')
        self.work('db', 'restore')
        self.assertEqual(self.before, self.original())

    def test_max_count(self):
        """--max-count ends with 1 until nothing remains."""
        canonical = self.forms()[census.Form.CANONICAL]
        step = canonical // 3
        codes = []
        while not codes or codes[-1]:
            before = self.forms().get(census.Form.CANONICAL, 0)
            result = self.manage(
                'db', 'restore', '--max-count', step, '--drop-columns'
            )
            codes.append(result.code)
            changed, remain = numbers(RESTORED, result)
            self.assertEqual(before - changed, remain)
            self.assertLess(len(codes), 9)
        self.assertEqual({exits.ROWS_REMAIN}, set(codes[:-1]))
        self.assertGreaterEqual(len(codes), 3)
        self.assert_same(self.tables)

    def test_drop_columns(self):
        """--drop-columns leaves the tables as Nova made them."""
        self.work('db', 'restore', '--drop-columns')
        self.assert_same(self.tables)
        names = sa.inspect(self.db.engine).get_table_names()
        self.assertNotIn(schema.VERSION_TABLE, names)

    def test_half_expanded(self):
        """A column that is missing does not hide the states of others."""
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql(
                'ALTER TABLE shadow_migrations DROP COLUMN legacy_status'
            )
        before = self.rows()
        for options in ((), ('--drop-columns',)):
            result = self.manage('db', 'restore', *options)
            self.assertEqual(ERROR, result.code)
            self.assertIn('Still canonical in shadow_', result.err)
            self.assertIn('db upgrade --expand', result.err)
        self.assertEqual(before, self.rows())
        self.work('db', 'upgrade', '--expand')
        self.work('db', 'restore', '--drop-columns')
        self.assert_same(self.tables)

    def test_rest_of_a_killed_run(self):
        """What is left is told, and a fence around it is taken down."""
        self.work('db', 'restore')
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql(
                'ALTER TABLE migrations DROP COLUMN legacy_status'
            )
            if self.BACKEND != 'sqlite':
                shadow = models.TABLES[1]
                fence._put_up(connection, shadow, f'{models.FENCE}_0')
        fenced = schema.is_fenced(self.db)
        argv = ('db', 'restore', '-f', 'json')
        for options in (('--dry-run',), ()):
            (row,) = self.work(*argv, *options).json
            self.assertEqual(fenced, row['changed'])
        self.assertFalse(schema.is_fenced(self.db))
        for options in (('--dry-run',), ()):
            result = self.work('db', 'restore', *options)
            self.assertIn('--drop-columns removes what', result.out)
        self.work('db', 'restore', '--drop-columns')
        self.assert_same(self.tables)

    def test_drop_columns_again(self):
        """A second run with nothing of ours left is harmless."""
        self.work('db', 'restore', '--drop-columns')
        result = self.manage('db', 'restore', '--drop-columns')
        self.assertNotIn('Traceback', result.err)
        self.assert_same(self.tables)
        self.assertIn(result.code, (0, ERROR))


@base.on_every_database
class CensusTest(NovaDatabase):
    """``db census``."""

    COLUMNS = ['Table', 'Type', 'Status', 'State', 'Form', 'Rows']

    def setUp(self):
        super().setUp()
        start = MACHINES[KIND].table.start
        self.fill((KIND, start.legacy), (KIND, start.legacy))
        self.fill(*[('evacuation', text) for text in LOOK_ALIKES])
        metadata = sa.MetaData()
        _main, shadow = models.nova_schema.define(metadata)
        super().insert(shadow, id=7, migration_type=KIND, status=None)

    def insert(self, table=None, **values):
        """Insert a row before our columns are there."""
        metadata = sa.MetaData()
        main, _shadow = models.nova_schema.define(metadata)
        return super().insert(main if table is None else table, **values)

    def expected(self):
        """Return the rows of the census, from what was inserted."""
        start = MACHINES[KIND].table.start
        form = census.Form
        rows = [
            ('migrations', KIND, start.legacy, None, form.LEGACY, 2),
            ('shadow_migrations', KIND, None, None, form.NONE, 1),
        ]
        rows += [
            (
                'migrations',
                'evacuation',
                text,
                None,
                form.LEGACY
                if text in MACHINES['evacuation'].legacy
                else form.UNKNOWN,
                1,
            )
            for text in LOOK_ALIKES
        ]
        return sorted(
            ([t, k, s, st, str(f), n] for t, k, s, st, f, n in rows), key=str
        )

    def test_in_every_format(self):
        """Every format says the same, and can be read back."""
        text = {
            name: self.work('db', 'census', '-f', name).out
            for name in cmd_test.FORMATS
        }
        rows = self.expected()
        listed = [
            [row[column] for column in self.COLUMNS]
            for row in json.loads(text['json'])
        ]
        self.assertEqual(rows, sorted(listed, key=str))
        spelled = sorted(
            [['' if cell is None else str(cell) for cell in r] for r in rows]
        )
        read = list(csv.reader(io.StringIO(text['csv'])))
        self.assertEqual(self.COLUMNS, read[0])
        self.assertEqual(spelled, sorted(read[1:]))
        self.assertEqual(
            sorted(' '.join(map(str, row)) for row in rows),
            sorted(text['value'].splitlines()),
        )
        cells = [
            [cell.strip() for cell in line.strip('|').split('|')]
            for line in text['table'].splitlines()
            if line.startswith('|')
        ]
        self.assertEqual(self.COLUMNS, cells[0])
        self.assertEqual(
            sorted([str(cell).strip() for cell in row] for row in rows),
            sorted(cells[1:]),
        )

    def test_in_yaml(self):
        """YAML says the same as JSON."""
        text = self.work('db', 'census', '-f', 'yaml').out
        self.assertEqual(self.listed('db', 'census'), yaml.safe_load(text))

    def test_look_alikes_are_told_apart(self):
        """Strings that differ by a byte are counted apart, and stay apart."""
        for prepare in ([], ['--expand'], ['--migrate']):
            if prepare:
                self.manage('db', 'upgrade', *prepare)
            found = {
                (row['Status'], row['Form']): row['Rows']
                for row in self.listed('db', 'census')
                if row['Type'] == 'evacuation'
            }
            unknown = {
                (text, census.Form.UNKNOWN): 1 for text in LOOK_ALIKES[1:]
            }
            self.assertEqual(3, len(found))
            self.assertLessEqual(unknown.items(), found.items())

    def test_before_and_after_expand(self):
        """The census is the same before expand and after it."""
        before = self.listed('db', 'census')
        self.work('db', 'upgrade', '--expand')
        self.assertEqual(before, self.listed('db', 'census'))

    def test_after_migrate(self):
        """A migrated row is counted by its state, as canonical."""
        self.manage('db', 'upgrade', '--migrate')
        self.work('db', 'upgrade', code=exits.NOT_MIGRATED)
        start = MACHINES[KIND].table.start
        self.assertIn(
            {
                'Table': 'migrations',
                'Type': KIND,
                'Status': start.status,
                'State': start.name,
                'Form': str(census.Form.CANONICAL),
                'Rows': 2,
            },
            self.listed('db', 'census'),
        )

    def test_changes_nothing(self):
        """Looking leaves the database as it is."""
        before = self.dump()
        for command in ('census', 'version', 'check'):
            self.manage('db', command)
        self.assert_same(before)


_RETURNS = 'nova_migration.db.batches.RETURNS'
_INTERVAL = 'nova_migration.cmd.progress.INTERVAL'
_SETTLE = 'nova_migration.db.upgrade.settle'


@base.on_every_database
class HeldRowsTest(NovaDatabase):
    """Rows that another session has locked."""

    backends = ('mysql', 'postgresql')

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(_RETURNS, (0.0,)))
        self.work('db', 'upgrade', '--expand')
        self.ids = self.fill(*[(KIND, MACHINES[KIND].table.start.legacy)] * 3)

    @contextlib.contextmanager
    def held(self, row_id):
        """Have another session hold a row."""
        table = models.MIGRATIONS
        with self.open().engine.connect() as connection:
            connection.execute(
                table.update()
                .where(table.c.id == row_id)
                .values(dest_host='x')
            )
            yield
            connection.rollback()

    def test_there_and_back(self):
        """Rows remain, and are named; the next run does them."""
        row_id = self.ids[1]
        for command, line in (
            (
                ('upgrade', '--migrate'),
                '2 made canonical, 1 remain, 0 left alone',
            ),
            (('restore',), 'string back, 1 remain'),
        ):
            with self.held(row_id):
                result = self.work('db', *command, code=exits.ROWS_REMAIN)
            self.assertIn(f'{line}, 1 held by others (', result.out)
            self.assertIn(f'  held in migrations: 1 (id {row_id})', result.out)
            self.assertIn('    by session ', result.out)
            result = self.work('db', *command)
            self.assertNotIn('held', result.out)

    def test_all_phases(self):
        """Contract is not begun while a row is held."""
        with self.held(self.ids[0]):
            result = self.work('db', 'upgrade', code=exits.ROWS_REMAIN)
        self.assertNotIn('contract', result.out)

    def test_settle(self):
        """A row that could not be settled remains; it is not unknown."""
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.update().values(state=STATE, status='x')
            )
        command = ('db', 'upgrade', '--migrate', '--inconsistent=state')
        with self.held(self.ids[0]):
            result = self.work(*command, code=exits.ROWS_REMAIN)
        self.assertIn('settle: 2 inconsistent', result.out)
        self.assertNotIn('--map', result.out)
        self.work(*command)


@base.on_every_database
class AskedForTest(NovaDatabase):
    """How far a run is."""

    def test_max_count(self):
        """It is all of what was asked for, not a part of the table."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        self.fill(*[(KIND, MACHINES[KIND].table.start.legacy)] * 10)
        self.work('db', 'upgrade', '--expand')
        for command in (('upgrade', '--migrate'), ('restore',)):
            result = self.work(
                'db', *command, '--max-count=4', code=exits.ROWS_REMAIN
            )
            self.assertIn(': 4 of 4 rows', result.err)
            self.work('db', *command[:1])


class OddRowsTest(NovaDatabase, base.DatabaseTest, test_base.TestCase):
    """What a phase says of rows that it can do nothing about."""

    def test_contract_before_expand(self):
        """--contract does not expand a database on the way."""
        self.fill_with_every_legacy_string()
        before = self.dump()
        result = self.manage('db', 'upgrade', '--contract')
        self.assert_one_line(result, ERROR)
        self.assert_same(before)

    def overwrite(self, state, status):
        """Return a canonical row that somebody wrote a status into."""
        self.work('db', 'upgrade', '--expand')
        return self.insert(
            migration_type=KIND, status=status, state=state.name
        )

    def test_overwritten_rows(self):
        """A canonical row that was written over is named, not mapped."""
        row_id = self.overwrite(MACHINES[KIND].table.start, 'x')
        result = self.work('db', 'upgrade', code=exits.NOT_MIGRATED)
        self.assertEqual((0, 0, 1), numbers(MIGRATED, result))
        self.assertIn("inconsistent status 'x' in state", result.out)
        self.assertIn('--inconsistent', result.out)
        self.assertNotIn('--map', result.out)
        self.assertEqual('x', self.row(row_id).status)

    def test_unknown_strings_are_not_contradictions(self):
        """Of unknown strings only --map is advised."""
        self.fill((KIND, cmd_test.UNKNOWN))
        result = self.work('db', 'upgrade', code=exits.NOT_MIGRATED)
        self.assertIn('--map', result.out)
        self.assertNotIn('--inconsistent', result.out)

    def test_believe_the_state(self):
        """--inconsistent state gives the status of the state again."""
        start = MACHINES[KIND].table.start
        row_id = self.overwrite(start, 'x')
        self.work('db', 'upgrade', '--inconsistent', 'state')
        row = self.row(row_id)
        self.assertEqual((start.name, start.status), (row.state, row.status))
        self.work('db', 'check')

    def test_believe_the_status(self):
        """--inconsistent status takes what was written for Nova's string."""
        start, *_others, end = MACHINES[KIND].table.states
        row_id = self.overwrite(start, end.legacy)
        self.work('db', 'upgrade', '--inconsistent', 'status')
        row = self.row(row_id)
        self.assertEqual((end.name, end.status), (row.state, row.status))
        self.work('db', 'check')

    def test_believe_a_status_that_nobody_knows(self):
        """A status that is believed and unknown is for --map."""
        row_id = self.overwrite(MACHINES[KIND].table.start, 'x')
        self.work(
            'db',
            'upgrade',
            '--inconsistent=status',
            code=exits.NOT_MIGRATED,
        )
        self.work('db', 'upgrade', f'--map=x={STATE}')
        self.assertEqual(STATE, self.row(row_id).state)

    def test_restore_what_was_written_over(self):
        """What somebody wrote over a status is what is restored."""
        row_id = self.overwrite(MACHINES[KIND].table.start, 'x')
        self.work('db', 'restore')
        row = self.row(row_id)
        self.assertEqual((None, 'x'), (row.state, row.status))

    def test_ctrl_c_while_settling(self):
        """After Ctrl-C while rows are settled no other work is begun."""
        row_id = self.overwrite(MACHINES[KIND].table.start, 'x')
        settle = upgrade.settle

        def interrupted(*args, **options):
            os.kill(os.getpid(), signal.SIGINT)
            yield from settle(*args, **options)

        self.useFixture(fixtures.MonkeyPatch(_SETTLE, interrupted))
        self.fill((KIND, MACHINES[KIND].table.start.legacy))
        result = self.manage('db', 'upgrade', '--inconsistent', 'state')
        self.assertEqual(exits.INTERRUPTED, result.code, result)
        self.assertNotIn('migrate:', result.out)
        self.assertNotEqual('x', self.row(row_id).status)
        self.assertEqual(1, upgrade.count(self.db, upgrade.is_legacy))

    def lacking(self):
        """Return a state that the machine of the type has not."""
        return next(
            state
            for name, state in registry.states_with().items()
            if name not in MACHINES[KIND].states
        )

    def test_settle_a_state_of_another_machine(self):
        """A row in a state that its type has not can be settled."""
        state = self.lacking()
        self.overwrite(state, state.status)
        result = self.work('db', 'upgrade', code=exits.NOT_MIGRATED)
        self.assertIn('--inconsistent', result.out)
        result = self.manage(
            'db',
            'upgrade',
            '--inconsistent=status',
            f'--map={KIND}:{state.status}={STATE}',
        )
        self.assertEqual(0, result.code, result)
        self.work('db', 'check')

    def test_restore_a_state_of_another_machine(self):
        """A row in a state that its type has not is restored and over."""
        for status in ('x', self.lacking().status):
            row_id = self.overwrite(self.lacking(), status)
            self.work('db', 'restore')
            row = self.row(row_id)
            self.assertEqual((None, status), (row.state, row.status))


class UsageTest(NovaDatabase, base.DatabaseTest, test_base.TestCase):
    """What argparse refuses."""

    def setUp(self):
        super().setUp()
        self.fill_with_every_legacy_string()
        self.before = self.dump()

    def assert_refused(self, *argv):
        """The arguments are a usage error, and nothing was done."""
        result = self.manage(*argv)
        self.assertEqual(USAGE, result.code, (argv, result))
        self.assertIn('usage:', result.err)
        self.assertEqual('', result.out)
        self.assert_same(self.before)
        return result

    def test_one_phase_at_a_time(self):
        """Two phases in one command exclude each other."""
        phases = ('--expand', '--migrate', '--contract')
        for first in phases:
            for second in phases:
                if first != second:
                    self.assert_refused('db', 'upgrade', first, second)

    def test_options_of_another_phase(self):
        """An option that the chosen phase does not read is refused."""
        for phase in ('--expand', '--contract'):
            for option, value in (
                ('--batch-size', 1),
                ('--max-count', 1),
                ('--throttle', 0),
                ('--max-lag', 0),
                ('--map', f'odd={STATE}'),
                ('--inconsistent', 'state'),
            ):
                result = self.assert_refused(
                    'db', 'upgrade', phase, option, value
                )
                last = result.err.splitlines()[-1]
                self.assertIn(f'{option} is for migrate: {phase} ', last)

    def test_options_of_migrate(self):
        """What --migrate reads is read without a phase, too."""
        options = (
            '--batch-size=9',
            '--max-count=10000',
            '--throttle=0',
            '--max-lag=0',
            f'--map=odd={STATE}',
            '--inconsistent=state',
        )
        self.work('db', 'upgrade', *options)
        self.work('db', 'upgrade', '--migrate', *options)
        self.work('db', 'restore', *options[:4])

    def test_numbers(self):
        """A number of rows is 1 or more, and a number."""
        for command in ('upgrade', 'restore'):
            for option in ('--batch-size', '--max-count'):
                for wrong in ('0', '-1', 'x', '', '1.5', '1e3'):
                    self.assert_refused('db', command, f'{option}={wrong}')

    def test_shares_and_times(self):
        """A share of time is below 100, and a time has an end."""
        for command in ('upgrade', 'restore'):
            for wrong in ('-1', '100', 'x', '', '1.5'):
                self.assert_refused('db', command, f'--throttle={wrong}')
            for wrong in ('-1', 'inf', 'nan', 'x', ''):
                self.assert_refused('db', command, f'--max-lag={wrong}')

    def test_unknown_options_and_arguments(self):
        """What a command does not have is refused."""
        for command in ('upgrade', 'restore', 'check', 'census', 'version'):
            self.assert_refused('db', command, '--bogus')
            self.assert_refused('db', command, 'bogus')

    def test_unknown_formats(self):
        """A format that a listing does not have is refused."""
        for command in ('census', 'version'):
            self.assert_refused('db', command, '-f', 'svg')


class ProgressTest(NovaDatabase, base.DatabaseTest, test_base.TestCase):
    """What long work says meanwhile."""

    def setUp(self):
        super().setUp()
        self.fill(*[(KIND, MACHINES[KIND].table.start.legacy)] * 5)
        self.work('db', 'upgrade', '--expand')

    def test_lines_where_there_is_no_terminal(self):
        """Elsewhere each line says how far it is, on standard error only."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        for command, pattern in (
            (['upgrade', '--migrate'], MIGRATED),
            (['restore'], RESTORED),
        ):
            result = self.work('db', *command, '--batch-size', 1)
            verb = pattern.pattern[1:8]
            lines = result.err.splitlines()
            self.assertEqual(
                [f'{verb}: {n} of 5 rows' for n in range(1, 6)],
                [line.split(',')[0] for line in lines],
            )
            for line in lines:
                self.assertRegex(
                    line,
                    r', [\d,]+ rows/s, [\d,]+ s left, batches of 1 rows,'
                    r' paused for 0 s$',
                )
            self.assertEqual(1, len(result.out.splitlines()))
            self.assertRegex(result.out, pattern)

    def test_throttle(self):
        """A throttled run does the same work."""
        for command, pattern in (
            (['upgrade', '--migrate'], MIGRATED),
            (['restore'], RESTORED),
        ):
            options = ['--batch-size', 2, '--throttle', 50, '--max-lag', 0.5]
            result = self.work('db', *command, *options)
            self.assertEqual(5, numbers(pattern, result)[0])

    def test_no_lines_when_quiet(self):
        """-q keeps them away."""
        self.useFixture(fixtures.MonkeyPatch(_INTERVAL, 0))
        result = self.work('-q', 'db', 'upgrade', '--migrate')
        self.assertEqual('', result.err)

    def test_no_lines_when_it_is_short(self):
        """Work that is over before the interval says nothing."""
        self.assertGreaterEqual(progress.INTERVAL, 1)
        result = self.work('db', 'upgrade', '--migrate', '--batch-size', 1)
        self.assertEqual('', result.err)


_INTERVAL = 'nova_migration.cmd.progress.INTERVAL'


class Terminal:
    """A process whose standard error is a terminal.

    :param argv: of nova-migration-manage
    """

    def __init__(self, *argv):
        folder = tempfile.mkdtemp()
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 79))
        self.process = subprocess.Popen(
            cmd_test.command_line(*argv),
            cwd=folder,
            env=cmd_test.environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            text=True,
        )
        os.close(slave)
        self.seen = ''

    def read(self):
        """Take what is on the terminal; return whether it is still open."""
        if not select.select([self._master], [], [], cmd_test.PATIENCE)[0]:
            raise TimeoutError(f'nothing more after {self.seen!r}')
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when the last writer is gone.
            data = b''
        self.seen += data.decode()
        return bool(data)

    def wait_for(self, text):
        """Read until a text is there."""
        while text not in self.seen:
            if not self.read():
                raise EOFError(f'{text!r} is not in {self.seen!r}')

    def finish(self):
        """Read to the end; return what a command came to."""
        while self.read():
            pass
        os.close(self._master)
        out = self.process.stdout.read()
        self.process.stdout.close()
        code = self.process.wait(cmd_test.PATIENCE)
        return cmd_test.Result(code, out, self.seen)


@base.on_every_database
class LongWorkTest(NovaDatabase):
    """A run of its own process that is long enough to be watched."""

    def setUp(self):
        super().setUp()
        self.work('db', 'upgrade', '--expand')
        text = MACHINES[KIND].table.start.legacy
        with self.db.engine.begin() as connection:
            connection.execute(
                models.MIGRATIONS.insert(),
                [{'migration_type': KIND, 'status': text}] * MANY,
            )

    def slow(self, *argv):
        """Return the arguments of a run in batches of one row."""
        return (
            '--database-connection',
            self.url,
            'db',
            *argv,
            '--batch-size',
            '1',
        )

    def canonical(self):
        """Return how many rows are canonical."""
        return upgrade.count(self.db, upgrade.is_canonical)

    def assert_stopped(self, result):
        """It stopped between two batches, and every row is whole."""
        self.assertEqual(exits.INTERRUPTED, result.code, result)
        changed, remain, unknown = numbers(MIGRATED, result)
        self.assertEqual((MANY, 0), (changed + remain, unknown))
        self.assertGreater(remain, 0)
        self.assertEqual(changed, self.canonical())
        self.assertEqual(
            {census.Form.LEGACY: remain, census.Form.CANONICAL: changed},
            self.forms(),
        )
        self.assertNotIn('Traceback', result.err)
        self.assertIn('Stopping when this batch is done', result.err)

    def test_ctrl_c_on_a_terminal(self):
        """Ctrl-C stops at a boundary; the next run does the rest."""
        terminal = Terminal(*self.slow('upgrade'))
        # Before the first batch the bar may not be able to make room.
        terminal.wait_for('batch=')
        terminal.process.send_signal(signal.SIGINT)
        result = terminal.finish()
        self.assert_stopped(result)
        # The bar makes room for it.
        self.assertRegex(result.err, r'[\r\n]Stopping when')
        self.assertNotIn('contract', result.out)
        self.work('db', 'upgrade')
        self.work('db', 'check')

    def test_signals_without_a_terminal(self):
        """SIGINT and SIGTERM stop at a boundary, migrating and restoring."""
        for number in (signal.SIGINT, signal.SIGTERM):
            before = self.canonical()
            result = self.interrupt(number, 'upgrade', '--migrate')
            changed, _remain, _unknown = numbers(MIGRATED, result)
            self.assertGreater(changed, 0)
            self.assertEqual(before + changed, self.canonical())
            self.assertEqual(exits.INTERRUPTED, result.code)
            self.assertNotIn('Traceback', result.err)
        self.work('db', 'upgrade', '--migrate')
        self.assertEqual(MANY, self.canonical())
        result = self.interrupt(signal.SIGINT, 'restore')
        changed, remain = numbers(RESTORED, result)
        self.assertEqual(exits.INTERRUPTED, result.code)
        self.assertEqual((MANY, remain), (changed + remain, self.canonical()))
        self.work('db', 'restore')
        self.assertEqual({census.Form.LEGACY: MANY}, self.forms())

    def interrupt(self, number, *argv):
        """Send a signal when a run has changed its first rows."""
        before = self.canonical()
        process = subprocess.Popen(
            cmd_test.command_line(*self.slow(*argv)),
            env=cmd_test.environment(tempfile.mkdtemp()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        end = time.monotonic() + cmd_test.PATIENCE
        while self.canonical() == before and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=cmd_test.PATIENCE)
        return cmd_test.Result(process.returncode, out, err)


class BarTest(NovaDatabase, base.DatabaseTest, test_base.TestCase):
    """The bar of a terminal."""

    def test_bar(self):
        """On a terminal a bar goes to the end; the output has none of it."""
        self.fill(*[(KIND, MACHINES[KIND].table.start.legacy)] * 20)
        self.work('db', 'upgrade', '--expand')
        for command, pattern in (
            (('upgrade', '--migrate'), MIGRATED),
            (('restore',), RESTORED),
        ):
            result = Terminal(
                '--database-connection', self.url, 'db', *command
            ).finish()
            self.assertEqual(0, result.code, result)
            self.assertIn('100%', result.err)
            self.assertIn('20/20', result.err)
            self.assertEqual(1, len(result.out.splitlines()))
            self.assertRegex(result.out, pattern)
