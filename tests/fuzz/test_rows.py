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

"""Whatever the tables hold: there and back, named, and never in the way."""

from hypothesis import strategies as st
import sqlalchemy as sa

from nova_migration.db import clauses
from nova_migration.db import models
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import determine_migration_type
from tests import base as test_base
from tests.functional import base
from tests.functional.db import samples
from tests.fuzz import base as fuzz
from tests.fuzz import strategies

_STATUS = st.one_of(
    st.none(),
    st.sampled_from(strategies.STRINGS),
    strategies.text,
    strategies.text.map(lambda text: text.ljust(255)[:255]),
)
_KIND = st.none() | st.sampled_from(MIGRATION_TYPES)
_KNOWN = [(kind, word) for kind, word, _state in samples.pairs()]
_ROWS = st.lists(
    st.tuples(_KIND, _STATUS) | st.sampled_from(_KNOWN), max_size=6
)


class RowsTest(samples.Expanded, fuzz.FuzzTest):
    """Begins with our columns, and tables that each example fills."""

    def setUp(self):
        super().setUp()
        self.expand()

    def machine_of(self, row):
        """Return the machine that a row's type means, or None."""
        kind = row.migration_type
        if kind is None:
            kind = determine_migration_type(None, None)
        return MACHINES.get(kind)

    def fill_tables(self, rows):
        """Write rows, each a type and a string, into both tables."""
        values = [
            samples.legacy(kind, status, id=number)
            for number, (kind, status) in enumerate(rows, 1)
        ]
        with self.db.engine.begin() as connection:
            for table in models.TABLES:
                connection.execute(table.delete())
                for row in values:
                    connection.execute(table.insert().values(**row))

    def stored(self):
        """Return what the tables hold, with the strings as bytes."""
        told = []
        for table in models.TABLES:
            columns = [c for c in table.c if c.name != 'migration_type']
            query = sa.select(
                *columns,
                clauses.text_of(table.c.migration_type),
                clauses.exact(table.c.status).label('bytes'),
            )
            with self.db.engine.connect() as connection:
                rows = connection.execute(query.order_by(table.c.id))
                told.append(rows.all())
        return told

    def assert_there_and_back(self):
        """Migrate and restore, and compare; unknown rows are named."""
        before = self.stored()
        result = self.run_on_database('db', 'upgrade', '--migrate')
        unknown = set()
        for table, now_rows, then_rows in zip(
            models.TABLES, self.stored(), before, strict=True
        ):
            for now, then in zip(now_rows, then_rows, strict=True):
                machine = self.machine_of(then)
                if machine and then.status in machine.legacy:
                    state = machine.legacy[then.status]
                    self.assertEqual(
                        (state.name, state.status), (now.state, now.status)
                    )
                    continue
                self.assertEqual(then, now)
                if then.status is not None:
                    kind = then.migration_type
                    unknown.add((table.name, kind, then.bytes))
        self.assert_named(result, unknown)
        self.assertEqual(0, self.run_on_database('db', 'restore').code)
        self.assertEqual(before, self.stored())

    def assert_named(self, result, unknown):
        """There is one line for each string that nobody knows."""
        self.assert_answered(result, (2 if unknown else 0,))
        self.assertEqual('', result.err)
        self.assert_printable(result.out)
        named = [
            line
            for line in result.out.splitlines()
            if line.startswith('  ') and ', unknown status ' in line
        ]
        self.assertEqual(len(unknown), len(named), result.out)
        advice = 1 if unknown else 0
        self.assertEqual(
            1 + len(named) + advice, result.out.count('\n'), result.out
        )

    def run_on_database(self, *argv):
        """Run a command on the test's database."""
        return self.run_manage('--database-connection', self.url, *argv)


@base.on_every_database
class AnyString(RowsTest):
    """Legacy rows of any string that the column can hold."""

    def storable(self, status):
        """Return the nearest string that the column can hold."""
        if status is None or self.BACKEND == 'sqlite':
            return status
        if self.BACKEND == 'postgresql':
            return status.replace('\0', '')[:255]
        return ''.join(c for c in status if ord(c) <= 0xFFFF)[:255]

    @fuzz.fuzzed(
        _ROWS,
        share=0.4,
        examples=[
            (_KNOWN,),
            ([(None, '\x1b[31m'), ('resize', 'a\nb'), ('resize', '\u202e')],),
            ([('evacuation', 'Done'), ('evacuation', 'done ')],),
        ],
    )
    def test_there_and_back(self, rows):
        """What is known becomes a state, the rest is named; back is exact."""
        self.fill_tables(
            [(kind, self.storable(status)) for kind, status in rows]
        )
        self.assert_there_and_back()

    @fuzz.fuzzed(
        _ROWS,
        strategies.text,
        share=0.3,
        examples=[([(None, '\x1b[31m')], '\x1b[31m')],
    )
    def test_shown(self, rows, wanted):
        """Every listing shows any string without harm to the terminal."""
        self.fill_tables(
            [(kind, self.storable(status)) for kind, status in rows]
        )
        for argv in (
            ('db', 'census'),
            ('migration', 'list', '--deleted'),
            ('migration', 'show', '1'),
            ('migration', 'list', f'--status={wanted.replace(chr(0), "")}'),
        ):
            result = self.run_on_database(*argv)
            self.assert_answered(result, (0, 1, fuzz.USAGE))
            self.assert_printable(result.out)


class AnyByteTest(RowsTest, base.DatabaseTest, test_base.TestCase):
    """SQLite holds whatever it is given, whatever the column says."""

    BYTES = st.lists(
        st.tuples(
            _KIND | strategies.text,
            st.binary(max_size=20)
            | st.sampled_from(strategies.STRINGS).map(str.encode),
        ),
        max_size=6,
    )

    def fill_with_bytes(self, rows):
        """Write rows, each a type and bytes, into both tables."""
        with self.db.engine.begin() as connection:
            for table in models.TABLES:
                connection.execute(table.delete())
                for number, (kind, status) in enumerate(rows, 1):
                    value = sa.literal(status, sa.LargeBinary())
                    connection.execute(
                        table.insert().values(
                            id=number,
                            migration_type=sa.literal(kind, sa.String()),
                            status=sa.cast(value, sa.Text()),
                        )
                    )

    @fuzz.fuzzed(
        BYTES,
        share=0.5,
        examples=[
            ([(None, b'\xff')],),
            ([('goofballs', b'done')],),
            ([('', b'done')],),
            ([('\x1b[31m\n', b'done')],),
        ],
    )
    def test_there_and_back(self, rows):
        """Bytes that are no text, and any type, are unknown and stay."""
        self.fill_with_bytes(rows)
        before = self.raw()
        result = self.run_on_database('db', 'upgrade', '--migrate')
        self.assert_answered(result, (0, 2))
        self.assertEqual('', result.err)
        self.assert_printable(result.out)
        self.assertEqual(0, self.run_on_database('db', 'restore').code)
        self.assertEqual(before, self.raw())

    @fuzz.fuzzed(
        BYTES,
        share=0.3,
        examples=[
            ([(None, b'\xff')],),
            ([('resize', b'\x1b\xff\n'), ('resize', b'finished')],),
        ],
    )
    def test_any_byte_is_shown(self, rows):
        """Bytes that are no text hide no row, and none of themselves."""
        self.fill_with_bytes(rows)
        before = self.raw()
        listed = self.run_on_database(
            'migration', 'list', '--deleted', '-f', 'json'
        )
        self.assert_answered(listed, (0,))
        shown = {row['Migration']: row['Status'] for row in listed.json}
        for number, (_kind, status) in enumerate(rows, 1):
            said = shown.pop(str(number))
            text = status.decode('utf-8', 'backslashreplace')
            if status != text.encode():
                self.assertEqual(text, said)
            result = self.run_on_database('migration', 'show', number)
            self.assert_answered(result, (0,))
            self.assert_printable(result.out)
        self.assertEqual({}, shown)
        result = self.run_on_database('db', 'upgrade', '--contract')
        if rows:
            self.assert_refused(result)
            self.assertIn('--migrate', result.err)
            self.assertEqual(before, self.raw())
        else:
            self.assert_answered(result, (0,))
            self.run_on_database('db', 'restore')

    @fuzz.fuzzed(
        strategies.text,
        st.sampled_from(strategies.STRINGS),
        share=0.3,
        examples=[('goofballs', 'done'), ('\x1b[31m', 'done')],
    )
    def test_any_type_is_shown(self, kind, status):
        """A type that nobody knows does not hide the other rows."""
        self.fill_tables([('resize', 'finished'), (kind, status)])
        for argv in (
            ('db', 'census'),
            ('migration', 'list', '--deleted'),
            ('migration', 'show', '2'),
        ):
            result = self.run_on_database(*argv)
            self.assert_answered(result, (0,))
            self.assert_printable(result.out)

    def raw(self):
        """Return what the tables hold, as SQLite has it."""
        told = []
        with self.db.engine.connect() as connection:
            for table in models.TABLES:
                told += connection.exec_driver_sql(
                    'SELECT id, typeof(status), hex(status), status IS NULL,'
                    f' hex(migration_type), state FROM {table.name} ORDER BY 1'
                ).all()
        return told
