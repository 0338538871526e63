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

"""SQL from the table, evaluated over every kind of row there can be."""

import ast
import functools
import itertools
import re

import sqlalchemy as sa

from nova_migration.db import census
from nova_migration.db import clauses
from nova_migration.db import mapping
from nova_migration.db import models
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import UnknownWord
from nova_migration.states import determine_migration_type
from nova_migration.states import reading
from nova_migration.states import registry
from tests import base

T = models.MIGRATIONS
STATES = set(registry.states_with())
STATUSES = set(registry.states_by_status())
LEGACY = set(registry.legacy_with())
# Near misses that a collation or a careless comparison lets pass.
JUNK = {'', 'Done', 'done ', 'RUNNING', 'junk'}

KINDS = (*MIGRATION_TYPES, None)
ROWS = list(
    itertools.product(
        KINDS,
        [*sorted(STATUSES | LEGACY | JUNK), None],
        [*sorted(STATES | JUNK), None],
    )
)
DIALECTS = {
    name: sa.make_url(url).get_dialect()()
    for name, url in (
        ('sqlite', 'sqlite://'),
        ('mysql', 'mysql+pymysql://'),
        ('mariadb', 'mariadb+pymysql://'),
        ('postgresql', 'postgresql+psycopg2://'),
    )
}


@functools.cache
def engine():
    """Return an engine of a database in memory that has every row."""
    made = sa.create_engine('sqlite://', poolclass=sa.StaticPool)
    models.MIGRATIONS.create(made)
    with made.begin() as connection:
        connection.execute(
            sa.insert(T),
            [
                {'migration_type': kind, 'status': status, 'state': state}
                for kind, status, state in ROWS
            ],
        )
    return made


def evaluate(expression):
    """Yield every row with what an expression says of it."""
    query = sa.select(
        clauses.text_of(T.c.migration_type), T.c.status, T.c.state, expression
    )
    with engine().connect() as connection:
        rows = connection.execute(query).all()
    assert len(rows) == len(ROWS)
    for kind, status, state, answer in rows:
        yield (kind, status, state), answer


def matched(clause):
    """Return the rows that a WHERE clause finds."""
    return {row for row, answer in evaluate(clause) if answer}


def machine_of(kind):
    """Return the machine of a row, which may have no type."""
    return MACHINES[kind or determine_migration_type(None, None)]


def position(kind, status, state):
    """Return the state that a row is in, in whichever form; or None."""
    machine = machine_of(kind)
    if state is not None:
        return machine.states.get(state)
    return machine.legacy.get(status)


def text(expression, dialect):
    """Return the SQL with all values in it."""
    return str(
        expression.compile(
            dialect=DIALECTS[dialect], compile_kwargs={'literal_binds': True}
        )
    )


class ConsistentTest(base.TestCase):
    """The condition of the check constraint."""

    def test_never_null(self):
        """The check says yes or no; NULL would let a row pass."""
        for row, answer in evaluate(clauses.consistent(T)):
            self.assertIn(answer, (0, 1), row)

    def test_agrees_with_the_census(self):
        """The check passes what counts as canonical or empty, and no more."""
        passed = (census.Form.CANONICAL, census.Form.NONE)
        for row, answer in evaluate(clauses.consistent(T)):
            form = census.form_of(*row)
            self.assertEqual(form in passed, bool(answer), row)

    def test_refuses_every_legacy_row(self):
        """A row with a status and without a state is refused."""
        found = matched(clauses.consistent(T))

        self.assertEqual(
            {(kind, None, None) for kind in KINDS},
            {row for row in found if row[2] is None},
        )

    def test_refuses_a_state_without_a_status(self):
        """A row with a state has the status of it."""
        found = matched(clauses.consistent(T))

        self.assertEqual(set(), {r for r in found if r[2] and r[1] is None})


class TranslationTest(base.TestCase):
    """The expressions of migrate and restore."""

    def test_state_of_a_legacy_row(self):
        """SQL reads a legacy string as the table does, exactly."""
        said = clauses.state_of_legacy(T, clauses.legacy_meanings())
        for (kind, status, state), answer in evaluate(said):
            if state is None:
                row = machine_of(kind).legacy.get(status)
                self.assertEqual(row and row.name, answer, (kind, status))

    def test_string_that_is_kept(self):
        """SQL keeps the strings that the pure reading keeps."""
        kept = clauses.kept_legacy(T, clauses.legacy_meanings())
        for (kind, status, state), answer in evaluate(kept):
            machine = machine_of(kind)
            if state is None and status in machine.legacy:
                found = reading.of_row(machine.name, False, status)
                self.assertEqual(found.legacy_status, answer, (kind, status))

    def test_string_that_an_operator_mapped(self):
        """A string that was mapped is kept, for the way back."""
        meanings = mapping.meanings_with(['junk=error', 'resize:Done=failed'])
        state = clauses.state_of_legacy(T, meanings)
        kept = clauses.kept_legacy(T, meanings)

        for (kind, status, _state), answer in evaluate(state):
            if status == 'junk':
                self.assertEqual('error', answer)
            if status == 'Done':
                alone = kind == 'resize'
                self.assertEqual('failed' if alone else None, answer)
        for (kind, status, _state), answer in evaluate(kept):
            if status == 'junk' or (kind, status) == ('resize', 'Done'):
                self.assertEqual(status, answer)

    def test_legacy_string_of_a_state(self):
        """SQL spells a state as the type's machine does."""
        for (kind, _status, state), answer in evaluate(
            clauses.legacy_of_state(T)
        ):
            row = machine_of(kind).states.get(state)
            self.assertEqual(row and row.legacy, answer, (kind, state))

    def test_status_of_a_state(self):
        """SQL gives a state the status that belongs to it."""
        said = clauses.status_of_state(T.c.state)
        for (_kind, _status, state), answer in evaluate(said):
            row = registry.states_with().get(state)
            self.assertEqual(row and row.status, answer, state)

    def test_there_and_back(self):
        """A legacy row that is migrated and restored is as it was."""
        meanings = clauses.legacy_meanings()
        kept = clauses.kept_legacy(T, meanings)
        state = clauses.state_of_legacy(T, meanings)
        restored = dict(evaluate(clauses.legacy_of_state(T)))
        odd = dict(evaluate(kept))
        for row, there in evaluate(state):
            kind, status, _state = row
            if row[2] is None and there is not None:
                back = odd[row] or restored[kind, status, there]
                self.assertEqual(status, back)

    def test_nothing_to_translate(self):
        """Without words, everything is translated to NULL."""
        answers = {a for _r, a in evaluate(clauses.translate(T.c.state, {}))}

        self.assertEqual({None}, answers)


class QueryTest(base.TestCase):
    """The conditions of queries, over both forms of a row."""

    def test_flag(self):
        """A flag finds the rows, of both forms, in a state that has it."""
        for flag in MigrationFlag:
            expected = {
                row
                for row in ROWS
                if (found := position(*row)) and flag in found.flags
            }

            self.assertNotEqual(set(), expected)
            self.assertEqual(expected, matched(clauses.has_flag(T, flag)))

    def test_not_over(self):
        """Nova takes a string that it does not know for a move under way."""
        for flag in (MigrationFlag.IN_PROGRESS, MigrationFlag.TRACKED):
            for row, answer in evaluate(clauses.not_over(T, flag)):
                _kind, status, state = row
                if state is not None:
                    known = registry.states_with().get(state)
                    expected = bool(known) and flag in known.flags
                elif status in LEGACY:
                    # A string has the flag in every type that has it.
                    expected = any(
                        flag in machine.legacy[status].flags
                        for machine in MACHINES.values()
                        if status in machine.legacy
                    )
                else:
                    expected = status is not None
                self.assertEqual(expected, bool(answer), row)

    def test_any_state(self):
        """A state finds the rows of both forms that are in it."""
        for name in STATES:
            expected = {
                row
                for row in ROWS
                if (found := position(*row)) and found.name == name
            }

            self.assertEqual(
                expected, matched(clauses.in_any_state(T, [name]))
            )

    def test_several_states(self):
        """Several states find the rows of each."""
        names = sorted(STATES)[:4]

        self.assertEqual(
            set().union(
                *(matched(clauses.in_any_state(T, [n])) for n in names)
            ),
            matched(clauses.in_any_state(T, names)),
        )

    def test_no_state(self):
        """No state finds no row."""
        self.assertEqual(set(), matched(clauses.in_any_state(T, [])))

    def test_unknown_state(self):
        """A state that no machine has is an error, not an empty answer."""
        error = self.assertRaises(
            UnknownWord, clauses.in_any_state, T, ['evacuatd']
        )

        self.assertEqual(['evacuated'], error.nearest)

    def test_novas_string(self):
        """Nova's string finds what Nova would have found before migrate."""
        for word in LEGACY | JUNK:
            found = matched(clauses.legacy_status_in(T, [word]))
            expected = {
                (kind, status, state)
                for kind, status, state in ROWS
                if (
                    status == word
                    if state is None
                    else state in machine_of(kind).states
                    and machine_of(kind).states[state].legacy == word
                )
            }

            self.assertEqual(expected, found)

    def test_string_that_was_kept(self):
        """A migrated row is found by the string that Nova had for it."""
        made = sa.create_engine('sqlite://', poolclass=sa.StaticPool)
        models.MIGRATIONS.create(made)
        kept = ('done', 'Odd', '', None)
        rows = [
            {
                'migration_type': kind,
                'status': row.status,
                'state': row.name,
                'legacy_status': word,
            }
            for kind in MIGRATION_TYPES
            for row in MACHINES[kind].states.values()
            for word in kept
        ]
        with made.begin() as connection:
            connection.execute(sa.insert(T), rows)
            for word in LEGACY | {'Odd', ''}:
                query = sa.select(T.c.id).where(
                    clauses.legacy_status_in(T, [word])
                )
                found = set(connection.scalars(query))
                expected = {
                    number
                    for number, row in enumerate(rows, 1)
                    if _spelled(row) == word
                }
                self.assertEqual(expected, found, word)

    def test_kind(self):
        """A row without a type is a cold migration; its flavor is the same."""
        for kind in MIGRATION_TYPES:
            kinds = {row[0] for row in matched(clauses.is_kind(T, [kind]))}
            untyped = {None} if kind == 'migration' else set()

            self.assertEqual({kind} | untyped, kinds)


def _spelled(row):
    kind = row['migration_type']
    found = reading.of_row(
        kind, False, row['status'], row['state'], row['legacy_status']
    )
    return reading.spelled(kind, False, found)


def literals(sql):
    """Return the strings that stand in the SQL."""
    return set(re.findall(r"'([^']*)'", sql))


class GeneratedSqlTest(base.TestCase):
    """What is sent to each kind of server."""

    def test_check_names_the_tables_words(self):
        """The check names each state, status and type, and nothing else."""
        for dialect in DIALECTS:
            self.assertEqual(
                STATES | STATUSES | set(MIGRATION_TYPES),
                literals(text(clauses.consistent(T), dialect)),
            )

    def test_migrate_names_the_tables_words(self):
        """Reading legacy rows names each string, state and type."""
        said = clauses.state_of_legacy(T, clauses.legacy_meanings())
        for dialect in DIALECTS:
            self.assertEqual(
                STATES | LEGACY | set(MIGRATION_TYPES),
                literals(text(said, dialect)),
            )

    def test_restore_names_the_tables_words(self):
        """Spelling states names each state, its own string and the types."""
        own = {
            row.legacy for m in MACHINES.values() for row in m.states.values()
        }
        for dialect in DIALECTS:
            self.assertEqual(
                STATES | own | set(MIGRATION_TYPES),
                literals(text(clauses.legacy_of_state(T), dialect)),
            )

    def test_statuses_name_the_tables_words(self):
        """Giving states their status names each of both."""
        said = clauses.status_of_state(T.c.state)
        for dialect in DIALECTS:
            self.assertEqual(STATES | STATUSES, literals(text(said, dialect)))

    def test_flags_name_the_tables_words(self):
        """A flag names the states that have it, and their strings."""
        for flag in MigrationFlag:
            for dialect in DIALECTS:
                named = literals(text(clauses.has_flag(T, flag), dialect))
                self.assertEqual(
                    set(registry.states_with(flag))
                    | registry.legacy_with(flag),
                    named - set(MIGRATION_TYPES),
                )

    def test_exact_compares_bytes_where_collations_do_not(self):
        """A string is cast to bytes on MySQL and MariaDB, only there."""
        expression = clauses.exact(T.c.status) == 'done'
        casts = {
            dialect: 'AS BINARY' in text(expression, dialect)
            for dialect in DIALECTS
        }

        self.assertEqual(
            {
                'sqlite': False,
                'mysql': True,
                'mariadb': True,
                'postgresql': False,
            },
            casts,
        )

    def test_status_is_compared_exactly_where_it_is_translated(self):
        """Migrate and the check tell ``Done`` and ``done `` from ``done``."""
        meanings = clauses.legacy_meanings()
        for expression in (
            clauses.consistent(T),
            clauses.state_of_legacy(T, meanings),
            clauses.kept_legacy(T, meanings),
        ):
            for dialect in ('mysql', 'mariadb'):
                sql = text(expression, dialect)

                self.assertIn('CAST(migrations.status AS BINARY)', sql)
                self.assertNotRegex(sql, r'migrations\.status (=|IN|WHEN) ')

    def test_types_are_grouped_by_what_they_read(self):
        """Types that read every string alike share a branch of the SQL."""
        groups = clauses.alike(clauses.legacy_meanings())

        self.assertEqual(
            sorted(MIGRATION_TYPES),
            sorted(kind for kinds, _meaning in groups for kind in kinds),
        )
        self.assertIn(
            {'resize', 'migration'}, [set(kinds) for kinds, _m in groups]
        )
        for kinds, meaning in groups:
            for kind in kinds:
                self.assertEqual(clauses.legacy_meanings()[kind], meaning)


class SourceTest(base.TestCase):
    """The modules that derive from the table do not repeat it."""

    def test_no_state_is_typed(self):
        """No state or legacy string stands in the code of db or objects."""
        for folder in ('db', 'objects'):
            path = base.ROOT / 'nova_migration' / folder
            for module in sorted(path.glob('*.py')):
                typed = {
                    node.value
                    for node in ast.walk(ast.parse(module.read_text()))
                    if isinstance(node, ast.Constant)
                }
                self.assertEqual(set(), typed & (STATES | LEGACY), module.name)
