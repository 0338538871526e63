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

"""``demo``: the whole way on a small database, for a newcomer to read."""

import argparse
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
import pathlib
import tempfile
import textwrap
from typing import Any

import prettytable
import sqlalchemy as sa

from nova_migration import context
from nova_migration import exception
from nova_migration import objects
from nova_migration.cmd import base
from nova_migration.cmd import exits
from nova_migration.cmd import sample
from nova_migration.conf import opts
from nova_migration.db import census
from nova_migration.db import engine
from nova_migration.db import mapping
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.db import upgrade

Say = Callable[[str], None]

#: What the operator knows of the one string that nobody knows.
_MAP = 'evacuation:Done=evacuated'

#: One live migration: each step's event and reason.
_WALK = (
    ('queue', None),
    ('prepare', None),
    ('run', None),
    ('queue', None),
    ('cancel', 'the user asked for it'),
    ('fail', 'future.result() raised'),
    ('switch_to_postcopy', None),
)


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    table = prettytable.PrettyTable(list(columns))
    table.align = 'l'
    for row in rows:
        table.add_row(['-' if cell is None else cell for cell in row])
    return textwrap.indent(table.get_string(), '  ')


def _said(counts: Iterable[census.Count]) -> str:
    """Return the census of both tables together."""
    rows: Counter[tuple[str | None, ...]] = Counter()
    for count in counts:
        key = (count.migration_type, count.status, count.state)
        rows[(*key, count.form.value)] += count.rows
    listed = sorted(rows.items(), key=str)
    return _table(
        ('Type', 'Status', 'State', 'Form', 'Rows'),
        ((*key, number) for key, number in listed),
    )


class Tour:
    """The stations of the demonstration, on one database.

    :param say: what to print a paragraph with
    """

    def __init__(self, database: engine.Database, say: Say):
        self.database = database
        self.say = say

    def before(self) -> str:
        """Build the database and show it; return its checksum."""
        sample.build(self.database)
        checksum = sample.checksum(self.database)
        self.say('1. A Nova cell database, as it is')
        self.say(
            '   Its rows ended where moves of a real Nova ended, and a few'
            ' are older than that.\n   Three words say "over": finished,'
            ' completed and done. They are three different facts.'
        )
        self.say(_said(census.take(self.database)))
        self.say(f'   sha256 of every original column: {checksum[:16]}...')
        return checksum

    def upgrade(self) -> None:
        """Expand, migrate, map what is not known, contract."""
        self.say('2. db upgrade')
        schema.expand(self.database, create=True)
        self.say('   expand    columns and an index added; Nova goes on')
        changed = self._migrate()
        self.say(f'   migrate   {changed} rows are canonical')
        for count in self._unknown():
            self.say(f'             not known, left alone: {count.described}')
        changed = self._migrate(_MAP)
        self.say(f"   migrate   --map '{_MAP}': {changed} row")
        schema.contract(self.database)
        self.say('   contract  from now on, legacy rows are refused')
        self.say(
            '   status is what people read, one small vocabulary; state is'
            ' what code decides by.\n   finished, completed and done are all'
            ' "completed" now, and still three states.'
        )
        self.say(_said(census.take(self.database)))

    def _unknown(self) -> list[census.Count]:
        counts = census.take(self.database)
        return census.of_form(counts, census.Form.UNKNOWN)

    def _migrate(self, *rules: str) -> int:
        meanings = mapping.meanings_with(rules)
        batches = upgrade.migrate(self.database, meanings)
        return sum(batch.changed for batch in batches)

    def walk(self) -> None:
        """Drive one live migration through its machine."""
        self.say('3. One live migration and its machine')
        migration = objects.Migration(
            context.get_admin_context(self.database),
            migration_type='live-migration',
            source_compute='compute-1',
            dest_compute='compute-2',
        )
        migration.create()
        rows = [('create', 'moved', migration.state, migration.status, '')]
        for event, reason in _WALK:
            outcome, note = self._step(migration, event, reason)
            rows.append(
                (event, outcome, migration.state, migration.status, note)
            )
        self.say(_table(('Event', 'Outcome', 'State', 'Status', 'Why'), rows))
        self.say(f'   state_reason: {migration.state_reason}')
        self._forget(migration)

    @staticmethod
    def _step(
        migration: objects.Migration, event: str, reason: str | None
    ) -> tuple[str, str]:
        try:
            outcome = migration.process_event(event, reason=reason)
        except (exception.InvalidTransition, ValueError) as error:
            return 'refused', textwrap.fill(base.one_line(error), 44)
        return outcome, textwrap.fill(reason or '', 44)

    def back(self, checksum: str) -> bool:
        """Go back; return whether every original byte is the same."""
        self.say('4. db restore')
        schema.revert_contract(self.database)
        changed = sum(b.changed for b in upgrade.restore(self.database))
        now = sample.checksum(self.database)
        self.say(f'   restore   {changed} rows have their string back')
        self.say(f'   sha256 of every original column: {now[:16]}...')
        same = now == checksum
        said = 'the same' if same else 'NOT the same, which is a bug:'
        self.say(f'   {said} bytes as before the upgrade')
        return same

    def _forget(self, migration: objects.Migration) -> None:
        """Remove the row of the walk, which the sample did not have."""
        table = models.MIGRATIONS
        with self.database.transaction() as connection:
            connection.execute(
                table.delete().where(table.c.id == migration.id)
            )


class Demo(base.GuardedCommand):
    """Show what it does on a small database; a newcomer's first command.

    It builds a SQLite cell database with Nova's schema and the moves of a
    real Nova, upgrades it, drives a live migration through its machine, and
    goes back to the same bytes. It touches no database of yours.
    """

    EXAMPLES = """
examples:
  nova-migration-manage demo
  nova-migration-manage demo --keep cell.db
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--keep',
            metavar='PATH',
            help='leave the database in this new file, to look at',
        )
        return parser

    def take_action(self, parsed_args: Any) -> int:
        """Run the tour; the exit code says whether the bytes were the same."""
        if parsed_args.keep:
            return self._tour(_new_file(parsed_args.keep))
        with tempfile.TemporaryDirectory() as folder:
            return self._tour(pathlib.Path(folder) / 'cell.db')

    def _tour(self, path: pathlib.Path) -> int:
        url = sa.URL.create('sqlite', database=str(path))
        database = engine.from_url(url, opts.StatusFormat.CANONICAL)
        tour = Tour(database, self._say)
        checksum = tour.before()
        tour.upgrade()
        tour.walk()
        same = tour.back(checksum)
        database.engine.dispose()
        self._say(_NEXT)
        return exits.DONE if same else exits.DIFFERS

    def _say(self, paragraph: str) -> None:
        print(paragraph + '\n', file=self.app.stdout)


_NEXT = """Next:
   nova-migration-manage machine show live-migration
   nova-migration-manage --config-file /etc/nova/nova.conf db census"""


def _new_file(name: str) -> pathlib.Path:
    path = pathlib.Path(name)
    if path.exists():
        raise exception.DatabaseError(
            reason=f'{name} is there already: --keep wants a new file'
        )
    return path
