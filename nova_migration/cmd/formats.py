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

"""How listings are printed: what cliff's formatters do otherwise."""

from collections.abc import Iterable
from collections.abc import Sequence
import json
import textwrap
from typing import Any
from typing import TextIO

from cliff import columns
from cliff.formatters import json_format
from cliff.formatters import table

#: For people, where there is nothing.
NOTHING = '-'

Row = Sequence[Any]


def dashed(row: Row) -> list[Any]:
    """Return a row for people, who are not told None."""
    return [NOTHING if cell is None else cell for cell in row]


class Table(table.TableFormatter):
    """A table with a dash for nothing. It is drawn when all rows are there."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Row],
        stdout: TextIO,
        parsed_args: Any,
    ) -> None:
        """Write a row for each."""
        super().emit_list(column_names, map(dashed, data), stdout, parsed_args)

    def emit_one(
        self,
        column_names: Sequence[str],
        data: Row,
        stdout: TextIO,
        parsed_args: Any,
    ) -> None:
        """Write a line for each value."""
        super().emit_one(column_names, dashed(data), stdout, parsed_args)


class Json(json_format.JSONFormatter):
    """JSON that is written row by row: a list may be long."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Row],
        stdout: TextIO,
        parsed_args: Any,
    ) -> None:
        """Write an object for each row."""
        indent = None if parsed_args.noindent else 2
        end, between = (']', ', ') if indent is None else ('\n]', ',\n')
        opening = '[' if indent is None else '[\n'
        before = opening
        for row in data:
            values = dict(zip(column_names, map(_machine, row), strict=True))
            text = json.dumps(values, indent=indent)
            stdout.write(before + textwrap.indent(text, ' ' * (indent or 0)))
            before = between
        stdout.write('[]\n' if before is opening else end + '\n')


def _machine(cell: Any) -> Any:
    known = isinstance(cell, columns.FormattableColumn)
    return cell.machine_readable() if known else cell


class OwnFormatters:
    """Mixed into a command of cliff's that shows something."""

    def _load_formatter_plugins(self) -> Any:
        """Return cliff's formatters, with those of this module."""
        found = super()._load_formatter_plugins()  # type: ignore[misc]
        found['table'].obj, found['json'].obj = Table(), Json()
        return found
