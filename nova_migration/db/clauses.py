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

"""SQL made from the table of states: nothing here names a state.

Both forms of a row are understood: a canonical one has its ``state`` set, a
legacy one has NULL there and one of Nova's strings in ``status``.
"""

from collections.abc import Collection
from collections.abc import Mapping
import functools
from typing import Any
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext import compiler
from sqlalchemy.sql import functions

from nova_migration.db import forgiving
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import registry
from nova_migration.states.table import find

_Value = TypeVar('_Value')


class exact(functions.FunctionElement[str]):
    """A string compared byte for byte.

    MariaDB's default collations take ``Done`` and ``done `` for ``done``.
    """

    name = 'exact'
    type = sa.String()
    inherit_cache = True


@compiler.compiles(exact)
def _exact(element: exact, compile_: Any, **kw: Any) -> str:
    return f'({compile_.process(element.clauses, **kw)})'


@compiler.compiles(exact, 'mysql')
@compiler.compiles(exact, 'mariadb')
def _exact_bytes(element: exact, compile_: Any, **kw: Any) -> str:
    return f'CAST({compile_.process(element.clauses, **kw)} AS BINARY)'


def constant(word: str) -> sa.ColumnElement[str]:
    """Return a word of the table as a part of the SQL, not as a parameter.

    A statement that is sent often would else have each one put in again.
    """
    quoted = word.replace("'", "''")
    return sa.literal_column(f"'{quoted}'", sa.String())


def text_of(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Read a column as plain text, whatever an enumeration says of it."""
    return sa.type_coerce(column, forgiving.AnyText())


def is_kind(table: sa.Table, kinds: Collection[str]) -> sa.ColumnElement[bool]:
    """Match rows whose machine is one of the types'; never NULL.

    A row without a type is a resize or a cold migration from before Nova 12:
    its flavors say which.
    """
    kind = table.c.migration_type
    typed = sa.and_(kind.is_not(None), kind.in_(sorted(kinds)))
    flavors = table.c.old_instance_type_id, table.c.new_instance_type_id
    changed = flavors[0].is_distinct_from(flavors[1])
    untyped = {
        registry.determine_migration_type(1, 1): sa.not_(changed),
        registry.determine_migration_type(1, 2): changed,
    }
    meant = [condition for name, condition in untyped.items() if name in kinds]
    if len(meant) == len(untyped):
        return sa.or_(kind.is_(None), typed)
    return sa.or_(typed, *(sa.and_(kind.is_(None), each) for each in meant))


def alike(by_kind: Mapping[str, _Value]) -> list[tuple[list[str], _Value]]:
    """Group the types of which the same holds."""
    groups: dict[str, tuple[list[str], _Value]] = {}
    for kind, value in by_kind.items():
        groups.setdefault(repr(value), ([], value))[0].append(kind)
    return list(groups.values())


def legacy_meanings() -> dict[str, dict[str, str]]:
    """Return, for each type, the state that each legacy string means."""
    return {
        kind: {
            word: state.name for word, state in MACHINES[kind].legacy.items()
        }
        for kind in MIGRATION_TYPES
    }


def translate(
    value: sa.ColumnElement[Any], words: Mapping[str, str]
) -> sa.ColumnElement[Any]:
    """Return the word that a value is replaced by, or NULL."""
    if not words:
        return sa.null()
    whens = (
        (sa.literal(word, sa.String()), sa.literal(new, sa.String()))
        for word, new in words.items()
    )
    return sa.case(*whens, value=value)


def state_of_legacy(
    table: sa.Table, meanings: Mapping[str, Mapping[str, str]]
) -> sa.ColumnElement[Any]:
    """Return the state that a legacy row is in, or NULL when not known."""
    return sa.case(
        *(
            (is_kind(table, kinds), translate(exact(table.c.status), meaning))
            for kinds, meaning in alike(meanings)
        )
    )


def status_of_legacy(
    table: sa.Table, meanings: Mapping[str, Mapping[str, str]]
) -> sa.ColumnElement[Any]:
    """Return the public status of a legacy row, or NULL when not known.

    From the string at once, not by way of the state: that would be told
    again for each status there is, and is what an UPDATE then mostly does.
    """
    status = {
        name: str(word)
        for word, names in registry.states_by_status().items()
        for name in names
    }
    public = {
        kind: {word: status[name] for word, name in meaning.items()}
        for kind, meaning in meanings.items()
    }
    return state_of_legacy(table, public)


def kept_legacy(
    table: sa.Table, meanings: Mapping[str, Mapping[str, str]]
) -> sa.ColumnElement[Any]:
    """Return the string to keep because the state would not give it back."""
    odd: list[tuple[list[str], list[str]]] = []
    for kinds, meaning in alike(meanings):
        spelled = MACHINES[kinds[0]].states
        words = [w for w, s in meaning.items() if spelled[s].legacy != w]
        if words:
            odd.append((kinds, words))
    if not odd:
        return sa.null()
    matches = (
        sa.and_(is_kind(table, kinds), exact(table.c.status).in_(words))
        for kinds, words in odd
    )
    return sa.case((sa.or_(*matches), table.c.status))


def legacy_of_state(table: sa.Table) -> sa.ColumnElement[Any]:
    """Return the string that Nova writes for a canonical row's state."""
    spelled = {
        kind: {name: s.legacy for name, s in MACHINES[kind].states.items()}
        for kind in MIGRATION_TYPES
    }
    return sa.case(
        *(
            (is_kind(table, kinds), translate(table.c.state, words))
            for kinds, words in alike(spelled)
        )
    )


def status_of_state(state: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the public status that belongs to a state."""
    groups = registry.states_by_status()
    return sa.case(
        *(
            (state.in_(names), sa.literal(status, sa.String()))
            for status, names in groups.items()
        )
    )


def consistent(table: sa.Table) -> sa.ColumnElement[bool]:
    """Match rows in canonical form, and rows that have no status at all.

    Comparing NULL gives NULL, which a check constraint lets pass; so NULLs
    are spelled out.
    """
    state, status = table.c.state, table.c.status
    pairs = (
        sa.and_(exact(status) == word, exact(state).in_(names))
        for word, names in registry.states_by_status().items()
    )
    states = {kind: list(MACHINES[kind].states) for kind in MIGRATION_TYPES}
    owned = (
        sa.and_(is_kind(table, kinds), exact(state).in_(names))
        for kinds, names in alike(states)
    )
    return sa.or_(
        sa.and_(state.is_(None), status.is_(None)),
        sa.and_(
            state.is_not(None),
            status.is_not(None),
            sa.or_(*pairs),
            sa.or_(*owned),
        ),
    )


def in_states(
    table: sa.Table, wanted: Mapping[str, Collection[str]]
) -> sa.ColumnElement[bool]:
    """Match the rows, of both forms, that are in states given by type."""
    spelled = {
        kind: {
            name: MACHINES[kind].state(name).spellings
            for name in sorted(names)
        }
        for kind, names in wanted.items()
    }
    matches = (
        sa.and_(is_kind(table, kinds), either_form(table, states))
        for kinds, states in alike(spelled)
    )
    return sa.or_(sa.false(), *matches)


def in_any_state(
    table: sa.Table, names: Collection[str]
) -> sa.ColumnElement[bool]:
    """Match the rows, of both forms, that are in one of the states.

    :raises UnknownWord: for a state that no machine has
    """
    for name in names:
        find('state', name, registry.states_with())
    return in_states(
        table,
        {
            kind: [name for name in names if name in MACHINES[kind].states]
            for kind in MIGRATION_TYPES
        },
    )


def either_form(
    table: sa.Table, states: Mapping[str, Collection[str]]
) -> sa.ColumnElement[bool]:
    """Match canonical rows by state and legacy rows by string.

    :param states: the legacy strings of each state
    """
    strings = sorted({word for words in states.values() for word in words})
    return sa.or_(
        sa.and_(table.c.state.is_not(None), table.c.state.in_(sorted(states))),
        sa.and_(table.c.state.is_(None), table.c.status.in_(strings)),
    )


@functools.cache
def has_flag(table: sa.Table, flag: MigrationFlag) -> sa.ColumnElement[bool]:
    """Match rows, of both forms, in a state of which the flag holds."""
    return in_states(table, registry.states_by_type(flag))


@functools.cache
def not_over(table: sa.Table, flag: MigrationFlag) -> sa.ColumnElement[bool]:
    """Match as :func:`has_flag`, and legacy strings that nobody knows too.

    Nova lists what is over and takes every other string for a move that
    still holds resources; a row without status is in neither list.
    """
    state, status = table.c.state, table.c.status
    flagged = registry.states_with(flag)
    over = registry.legacy_with() - registry.legacy_with(flag)
    return sa.or_(
        state.in_(sorted(flagged)),
        sa.and_(state.is_(None), status.not_in(sorted(over))),
    )


def _is_one_of(
    column: sa.ColumnElement[Any], words: Collection[str]
) -> sa.ColumnElement[bool]:
    """Match exactly, and so that an index on the column can be used."""
    return sa.and_(column.in_(words), exact(column).in_(words))


def legacy_status_in(
    table: sa.Table, strings: Collection[str]
) -> sa.ColumnElement[bool]:
    """Match rows that a reader of Nova 34 would find under the strings.

    A canonical row is found by the string its state stands for, or by the
    odd one that it was migrated from; a legacy row by what it holds.
    """
    state, kept = table.c.state, table.c.legacy_status
    usual = {
        kind: {
            name
            for name, row in MACHINES[kind].states.items()
            if row.legacy in strings
        }
        for kind in MIGRATION_TYPES
    }
    canonical = (
        sa.and_(is_kind(table, [kind]), state.in_(sorted(names)))
        for kind, names in usual.items()
        if names
    )
    words = sorted(strings)
    return sa.or_(
        sa.and_(state.is_(None), _is_one_of(table.c.status, words)),
        sa.and_(state.is_not(None), _is_one_of(kept, words)),
        sa.and_(kept.is_(None), sa.or_(sa.false(), *canonical)),
    )
