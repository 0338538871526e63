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

"""Rows of which a value is not of its column's kind, in every column.

Such rows are old, or somebody's handiwork; a listing that ends at the first
one shows nothing of all the others.
"""

import csv
import io
import json
import uuid

import sqlalchemy as sa
import yaml

from nova_migration import objects
from nova_migration.db import models
from nova_migration.states import MACHINES
from tests.functional import base
from tests.functional.cmd import base as cmd_test
from tests.functional.db import samples

COLUMNS = models.MIGRATIONS.c
TIMES = [c.name for c in COLUMNS if isinstance(c.type, sa.DateTime)]

#: As SQL, since no driver would write them; what is shown of each.
_ANY = {
    "'0000-00-00 00:00:00'": '0000-00-00 00:00:00',
    "'soon'": 'soon',
    "''": '',
    "CAST(X'ff41' AS TEXT)": '\\xffA',
    "X'ff0042'": '\\xff\x00B',
    '1.5': '1.5',
    '9e999': None,
    '9223372036854775807': '9223372036854775807',
}

#: What MariaDB holds in its old modes, and what PostgreSQL does at any time.
_NO_DATES = {
    "'0000-00-00 00:00:00'": '0000-00-00 00:00:00',
    "'2012-00-00 00:00:00'": '2012-00-00 00:00:00',
    "'2012-02-31 01:02:03'": '2012-02-31 01:02:03',
}
_FAR_DATES = {
    "'0044-03-15 12:00:00 BC'": '0044-03-15 12:00:00 BC',
    "'20000-01-01 00:00:00'": '20000-01-01 00:00:00',
    "'infinity'": None,
}

#: By kind of database and of column: SQLite takes everything everywhere.
ODD = {
    'sqlite': {c.name: _ANY for c in COLUMNS if not c.primary_key},
    'mysql': {
        **{name: _NO_DATES for name in TIMES},
        'migration_type': {"'goofballs'": ''},
        'hidden': {'2': None},
    },
    'postgresql': {name: _FAR_DATES for name in TIMES},
}

#: What says where a row is: without it, no event can be processed.
POSITION = {'migration_type', 'state'}

KIND = 'evacuation'
START = MACHINES[KIND].table.start


def name_of(row_id):
    """Return the uuid of a row."""
    return str(uuid.UUID(int=row_id))


@base.on_every_database
class OddRowsTest(samples.Expanded, cmd_test.CommandTest):
    """Begins with a row for each odd value of each column, among others."""

    def setUp(self):
        super().setUp()
        self.expand()
        self.odd = {}
        with self.db.engine.begin() as connection:
            if self.BACKEND == 'mysql':
                modes = 'ALLOW_INVALID_DATES'
                connection.exec_driver_sql(f"SET sql_mode = '{modes}'")
            for column, values in ODD[self.BACKEND].items():
                for literal, text in values.items():
                    row_id = self.odd_row(connection, column, literal)
                    self.odd[row_id] = (column, text)

    def odd_row(self, connection, column, literal):
        """Insert a row with one odd value; return its id."""
        row_id = len(self.odd) + 1
        connection.execute(
            models.MIGRATIONS.insert().values(
                id=row_id,
                uuid=name_of(row_id),
                migration_type=KIND,
                status=START.status,
                state=START.name,
                created_at=samples.THEN,
            )
        )
        connection.exec_driver_sql(
            f'UPDATE migrations SET {column} = {literal} WHERE id = {row_id}'
        )
        return row_id

    def assert_shown(self, row_id, shown):
        """A row is shown whole, and the odd value as the row has it."""
        column, text = self.odd[row_id]
        told = {'uuid': name_of(row_id), 'id': row_id, 'deleted': False}
        told = {key: v for key, v in told.items() if key != column}
        self.assertEqual(told, {key: shown[key] for key in told})
        # A number is as true as any other one, but it is no text.
        true = shown[column] is True
        if text is not None and not true:
            # A status beside a state is a string of Nova's, whatever it is.
            place = 'legacy_status' if column == 'status' else column
            self.assert_begins(text, shown[place])

    def assert_begins(self, text, cell):
        """A cell is a text, but for fractions of a second behind it."""
        self.assertEqual(text, str(cell).removesuffix('.000000'))

    def test_every_row_is_listed(self):
        """No row ends a listing, in any format; each says what it has."""
        argv = ('migration', 'list', '--deleted', '--limit', 0)
        ids = list(self.odd)[::-1]
        told = {
            form: self.work(*argv, '-f', form).out
            for form in ('table', 'json', 'csv', 'yaml', 'value')
        }
        rows = json.loads(told['json'], parse_constant=self.fail)
        self.assertEqual(ids, [row['Id'] for row in rows])
        self.assertEqual(ids, [r['Id'] for r in yaml.safe_load(told['yaml'])])
        parsed = csv.DictReader(io.StringIO(told['csv'], newline=''))
        self.assertEqual(ids, [int(row['Id']) for row in parsed])
        self.assert_harmless(told['table'])
        self.assert_harmless(self.work(*argv, '--long').out)
        by_id = {row['Id']: row for row in rows}
        for row_id, (column, text) in self.odd.items():
            if column == 'state_changed_at' and text:
                self.assert_begins(text, by_id[row_id]['Since'])

    def assert_harmless(self, out):
        """Nothing in an output does anything to a terminal."""
        self.assertTrue(out.replace('\n', '').isprintable(), ascii(out))

    def test_every_row_is_shown(self):
        """``migration show`` has the row, and what stands there, as text."""
        for row_id in self.odd:
            argv = ('migration', 'show', row_id)
            out = self.work(*argv, '-f', 'json').out
            shown = json.loads(out, parse_constant=self.fail)
            self.assert_shown(row_id, shown)
        for row_id in list(self.odd)[::7]:
            for form in ('table', 'yaml'):
                self.work('migration', 'show', row_id, '-f', form)

    def test_every_row_takes_an_event(self):
        """An event needs only to know where the row is.

        The odd value stays, if the move does not write the column.
        """
        (edge, *_others) = MACHINES[KIND].table.edges
        written = set()
        for row_id, (column, _text) in self.odd.items():
            before = self.raw(row_id)
            result = self.manage(
                'migration',
                'process-event',
                row_id,
                edge.event,
                '--reason=x',
                '-f',
                'json',
            )
            if column in POSITION:
                self.assert_one_line(result, 1, f'Migration {row_id} has ')
                self.assertEqual(before, self.raw(row_id))
                continue
            self.assertEqual(0, result.code, (column, result))
            self.assertEqual(edge.target, result.json['state'])
            now = self.raw(row_id)
            written |= {n for n, value in now.items() if value != before[n]}
        self.assertEqual(
            {
                'state',
                'status',
                'state_changed_at',
                'state_reason',
                'updated_at',
            },
            written - {'legacy_status'},
        )

    def raw(self, row_id):
        """Return a row as text that the database makes of it."""
        kind = {'mysql': 'CHAR', 'sqlite': 'BLOB'}.get(self.BACKEND, 'TEXT')
        cells = ', '.join(f'CAST({c.name} AS {kind})' for c in COLUMNS)
        with self.db.engine.connect() as connection:
            row = connection.exec_driver_sql(
                f'SELECT {cells} FROM migrations WHERE id = {row_id}'
            ).one()
        return dict(zip(COLUMNS.keys(), row, strict=True))

    def test_census(self):
        """The census counts each of them."""
        counts = json.loads(
            self.work('db', 'census', '-f', 'json').out,
            parse_constant=self.fail,
        )
        self.assertEqual(len(self.odd), sum(c['Rows'] for c in counts))

    def test_strict_on_the_wire(self):
        """What is sent has no odd value, and can be taken in again.

        A type that nobody knows is no value of the field: it is refused.
        """
        for row_id, (column, _text) in self.odd.items():
            found = objects.Migration.get_by_id(self.context, row_id)
            if column == 'migration_type':
                continue
            sent = json.loads(json.dumps(found.obj_to_primitive()))
            self.assertNotIn('odd', sent['nova_object.data'])
            taken = objects.Migration.obj_from_primitive(sent, self.context)
            self.assertEqual(row_id, taken.id)
            if found.odd and column != 'state':
                self.assertEqual([column], list(found.odd))

    def test_saved(self):
        """Saving another field leaves the odd value alone."""
        for row_id in list(self.odd)[::5]:
            found = objects.Migration.get_by_id(self.context, row_id)
            found.dest_host = 'x'
            before = self.raw(row_id)
            found.save()
            changed = {
                name
                for name, value in self.raw(row_id).items()
                if value != before[name]
            }
            self.assertLessEqual(changed, {'dest_host', 'updated_at'})
