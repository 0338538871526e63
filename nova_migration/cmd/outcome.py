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


"""What a phase came to: a line for people, a row for programs.

Lines are printed as the phases end. The other formats have a row for each
phase that has ended, those before an error included.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
from typing import Any

from cliff import columns
from cliff import lister
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from nova_migration.cmd import base
from nova_migration.cmd import exits
from nova_migration.db import census
from nova_migration.db import errors
from nova_migration.db import held as held_mod

#: The format of who names none.
LINES = 'lines'

Rows = tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]


class LeftAlone(columns.FormattableColumn[tuple[census.Count, ...]]):
    """Rows that nobody can read: words in a table, fields elsewhere."""

    def human_readable(self) -> str:
        """Return a line for each count."""
        return '\n'.join(count.described for count in self._value)

    def machine_readable(self) -> Any:
        """Return plain values; the form is a member of an enumeration."""
        return [
            {**dataclasses.asdict(count), 'form': str(count.form)}
            for count in self._value
        ]


class HeldRows(columns.FormattableColumn[tuple[held_mod.Held, ...]]):
    """Rows that somebody holds: words in a table, fields elsewhere."""

    def human_readable(self) -> str:
        """Return the lines that name them."""
        return '\n'.join(_lines_of(self._value))

    def machine_readable(self) -> Any:
        """Return plain values."""
        return [dataclasses.asdict(each) for each in self._value]


def _lines_of(held: tuple[held_mod.Held, ...]) -> Iterator[str]:
    return (line for each in held for line in each.lines)


class Lines(columns.FormattableColumn[Any]):
    """Lines in a table, a list elsewhere."""

    def human_readable(self) -> str:
        """Return them one below the other."""
        return '\n'.join(self._value)

    def machine_readable(self) -> list[str]:
        """Return them."""
        return [line.strip() for line in self._value]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a phase came to on a database.

    :param phase: such as ``expand``
    :param said: the line for people, without the database
    :param changed: whether anything in the database is not as it was
    :param rows_changed: how many rows are not as they were
    :param rows_remaining: how many rows the phase could still change
    :param left_alone: rows that need a decision
    :param next: the phase that comes next, if any does
    :param held: rows that were left because somebody holds them
    :param statements: the DDL that would be run, of a dry run
    :param below: lines below the first one
    :param code: what the command exits with if no other phase follows
    """

    phase: str
    said: str
    changed: bool
    rows_changed: int = 0
    rows_remaining: int = 0
    left_alone: tuple[census.Count, ...] = ()
    next: str | None = None
    held: tuple[held_mod.Held, ...] = ()
    statements: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    code: int = exits.DONE

    def row(self, database: str) -> dict[str, Any]:
        """Return what a program is told.

        :param database: its name, without what is secret
        """
        return {
            'database': database,
            'phase': self.phase,
            'changed': self.changed,
            'rows_changed': self.rows_changed,
            'rows_remaining': self.rows_remaining,
            'left_alone': LeftAlone(self.left_alone),
            'next': self.next,
            'held': HeldRows(self.held),
            'statements': Lines(self.statements),
            'notes': Lines(self.below),
        }

    def lines(self, database: str) -> Iterable[str]:
        """Return what people are told."""
        return (
            f'{self.said} ({database})',
            *(f'  {line}' for line in _lines_of(self.held)),
            *self.below,
            *self.statements,
        )


COLUMNS = tuple(Outcome('', '', changed=False).row(''))

#: What ends a command and leaves something to be told of the phases before.
_ENDS = (
    *base.EXPECTED,
    db_exc.DBError,
    sa_exc.SQLAlchemyError,
    KeyboardInterrupt,
)


class _Display(lister.Lister):
    """cliff's formats, and lines where none is named."""

    def print_lines(self, parsed_args: Any) -> int:
        """Do the work and print lines meanwhile."""
        raise NotImplementedError

    def run(self, parsed_args: Any) -> int:
        """Run the command; returns 0."""
        if parsed_args.formatter == LINES:
            return self.print_lines(parsed_args)
        return int(super().run(parsed_args))


class OutcomeCommand(base.DatabaseCommand, _Display):
    """A command on a database that has outcomes."""

    _error: BaseException | None = None
    _code = exits.DONE

    def outcomes(self, parsed_args: Any) -> Iterable[Outcome]:
        """Do the work; yield what each phase came to as it ends."""
        raise NotImplementedError

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser, which says of a call that it is wrong."""
        parser = super().get_parser(prog_name)
        self.wrong_call = parser.error
        parser.set_defaults(formatter=LINES)
        for action in parser._actions:
            if action.dest == 'formatter':
                action.help = 'for programs (default: lines for people)'
            if action.dest == 'columns':
                # cliff would look at it when the work is done.
                action.choices = COLUMNS
        return parser

    @property
    def shown(self) -> str:
        """The name of the database, without what is secret."""
        return errors.shown(self.database.engine.url)

    def run(self, parsed_args: Any) -> int:
        """Run it; an error is told after what was done before it."""
        return super().run(parsed_args) or self._code

    def print_lines(self, parsed_args: Any) -> int:
        """Do the work and print lines meanwhile."""
        if parsed_args.columns:
            self.wrong_call('-c is for programs: it needs -f')
        for outcome in self._told(self.outcomes(parsed_args)):
            for line in outcome.lines(self.shown):
                print(line, file=self.app.stdout, flush=True)
        return self._ended()

    def take_action(self, parsed_args: Any) -> Rows:
        """Do the work; return a row for each phase."""
        told = self._told(self.outcomes(parsed_args))
        return COLUMNS, (
            tuple(outcome.row(self.shown).values()) for outcome in told
        )

    def produce_output(
        self,
        parsed_args: Any,
        column_names: Any,
        data: Any,
    ) -> int:
        """Print the rows; raises what has ended the work."""
        # A format that cannot print as it goes would not say what was done.
        super().produce_output(parsed_args, column_names, list(data))
        return self._ended()

    def _told(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        try:
            for outcome in outcomes:
                self._code = outcome.code
                yield outcome
        except _ENDS as error:
            self._error = error

    def _ended(self) -> int:
        if self._error is not None:
            raise self._error
        return exits.DONE
