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


"""``--dry-run``: what a phase would do. It reads, and writes nothing."""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
from typing import Any

from nova_migration.cmd import exits
from nova_migration.cmd import outcome
from nova_migration.db import adopt
from nova_migration.db import census
from nova_migration.db import ddl
from nova_migration.db import engine
from nova_migration.db import mapping
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from nova_migration.states import determine_migration_type

Counts = list[census.Count]


@dataclasses.dataclass(frozen=True)
class Rows:
    """What would become of the rows.

    :param changed: that would be changed, were there no --max-count
    :param left: that would be left alone
    """

    changed: Counts
    left: Counts


def _statements(
    database: engine.Database, phase: str, changed: bool
) -> tuple[str, ...]:
    if not changed:
        return ()
    return schema.statements(database.engine.dialect.name, phase)


def _ddl(
    database: engine.Database, phase: str, changed: bool
) -> outcome.Outcome:
    said = 'would be run' if changed else 'nothing to do'
    return outcome.Outcome(
        phase,
        f'{phase}: {said}',
        changed,
        statements=_statements(database, phase, changed),
    )


def expand(database: engine.Database, create: bool) -> outcome.Outcome:
    """Return what expand would do.

    :param create: as of :func:`nova_migration.db.schema.expand`
    :raises NotACell: it would refuse
    :raises EmptyDatabase: it would refuse
    :raises UnknownSchema: it would refuse
    """
    with database.transaction() as connection:
        adopt.require_cell(connection, create)
        adopt.check(connection)
    done = schema.is_expanded(database)
    needed = not done or engine.needs_expand(database.engine)
    return _ddl(database, schema.EXPAND, needed)


def contract(database: engine.Database, alone: bool) -> outcome.Outcome:
    """Return what contract would do.

    :param alone: without the phases before it, so that it would refuse what
        they have not done
    :raises NotExpanded: it would refuse
    :raises LegacyRowsRemain: it would refuse
    """
    if alone:
        schema.require_expanded(database)
        with database.transaction() as connection:
            ddl.require_canonical(connection)
    return _ddl(database, schema.CONTRACT, not schema.is_contracted(database))


def _believed(count: census.Count, believed: str) -> census.Count:
    """Return what an inconsistent row would be after settling."""
    if believed == upgrade.Believed.STATUS:
        form = census.form_of(count.migration_type, count.status, None)
        return dataclasses.replace(count, state=None, form=form)
    states = MACHINES.get(_kind_of(count))
    state = states and states.states.get(count.state or '')
    if not state:
        return count
    return dataclasses.replace(
        count, status=state.status, form=census.Form.CANONICAL
    )


def _kind_of(count: census.Count) -> str:
    kind = count.migration_type
    return determine_migration_type(None, None) if kind is None else kind


def _settled(counts: Counts, believed: str | None) -> Counts:
    if believed is None:
        return counts
    return [
        _believed(count, believed)
        if count.form is census.Form.INCONSISTENT
        else count
        for count in counts
    ]


def rows_of(counts: Counts, meanings: mapping.Meanings) -> Rows:
    """Return which rows migrate would change, and which it would leave."""
    changed: Counts = []
    left: Counts = []
    for count in counts:
        known = count.status in meanings.get(_kind_of(count), {})
        if count.state is None and count.status is not None and known:
            changed.append(count)
        elif count.form in census.LEFT_ALONE:
            left.append(count)
    return Rows(changed, left)


def _tables(counts: Iterable[census.Count]) -> tuple[str, ...]:
    """Return a line for each table that has such rows."""
    numbers: dict[str, int] = {}
    for count in counts:
        numbers[count.table] = numbers.get(count.table, 0) + count.rows
    return tuple(f'  {number} of {name}' for name, number in numbers.items())


def asked_for(parsed_args: Any, count: int) -> int:
    """Return how many rows of those that there are will be done."""
    most = parsed_args.max_count
    return count if most is None else min(count, most)


def _counts(database: engine.Database, create: bool) -> Counts:
    """Count the rows; there are none yet where expand would make the tables.

    :param create: as of :func:`expand`
    """
    if create:
        with database.transaction() as connection:
            if not adopt.check(connection):
                return []
    return census.take(database)


def migrate(
    database: engine.Database,
    meanings: mapping.Meanings,
    parsed_args: Any,
    alone: bool,
) -> outcome.Outcome:
    """Return what migrate would do, settling before it included.

    :param alone: as of :func:`contract`
    :raises NotExpanded: it would refuse
    :raises UnknownRevision: it would refuse
    """
    if alone:
        schema.require_expanded(database)
    counts = _counts(database, parsed_args.create)
    settled = _settled(counts, parsed_args.inconsistent)
    rows = rows_of(settled, meanings)
    total = census.total(rows.changed)
    number = asked_for(parsed_args, total)
    code = exits.NOT_MIGRATED if rows.left else exits.DONE
    left = census.total(rows.left)
    return outcome.Outcome(
        'migrate',
        f'migrate: {number} would be made canonical, {total - number} would'
        f' remain, {left} would be left alone',
        number > 0 or settled != counts,
        number,
        total - number,
        tuple(rows.left),
        below=(
            *_tables(rows.changed),
            *(f'  left alone: {count.described}' for count in rows.left),
        ),
        code=exits.ROWS_REMAIN if total > number else code,
    )


def said_of_rest(begun: bool) -> str:
    """Return the line on a database that has not all that expand adds.

    :param begun: it has something, and no row has a state
    """
    if begun:
        return (
            'restore: no row has a state; --drop-columns removes what a'
            ' killed run has left'
        )
    return 'restore: nothing was expanded'


def restore(
    database: engine.Database, parsed_args: Any
) -> Iterator[outcome.Outcome]:
    """Yield what restore would do, and removing the columns.

    :raises NotACell: it would refuse
    :raises CanonicalRowsRemain: it would refuse
    """
    if engine.needs_expand(database.engine):
        engine.require_cell(database.engine)
        begun = schema.is_begun(database)
        if begun:
            schema.require_restored(database)
        if begun and parsed_args.drop_columns:
            yield _ddl(database, 'drop-columns', changed=True)
        else:
            yield outcome.Outcome(
                'restore', said_of_rest(begun), schema.is_fenced(database)
            )
        return
    restored = _restored(database, parsed_args)
    yield restored
    if parsed_args.drop_columns and not restored.code:
        yield _ddl(database, 'drop-columns', changed=True)


def _restored(database: engine.Database, parsed_args: Any) -> outcome.Outcome:
    having = [count for count in census.take(database) if count.state]
    total = census.total(having)
    number = asked_for(parsed_args, total)
    allowed = any(part.endswith(' check') for part in schema.present(database))
    return outcome.Outcome(
        'restore',
        f'restore: {number} would be given their string back,'
        f' {total - number} would remain',
        number > 0 or allowed,
        number,
        total - number,
        statements=_statements(database, 'restore', allowed),
        below=_tables(having),
        code=exits.ROWS_REMAIN if total > number else exits.DONE,
    )
