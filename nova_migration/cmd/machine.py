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

"""``machine``: the states, in words and in pictures."""

import abc
import argparse
from collections.abc import Iterable
import subprocess
from typing import Any
from typing import TextIO

from cliff import lister
from cliff.formatters import base as formatters

from nova_migration import exception
from nova_migration.cmd import base
from nova_migration.cmd import completion
from nova_migration.states import MACHINES
from nova_migration.states import draw
from nova_migration.states import registry
from nova_migration.states.machine import Machine

Rows = tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]


class _Drawing(formatters.ListFormatter):
    """Draws the machine that the rows are of, instead of listing them."""

    @abc.abstractmethod
    def draw(self, machine: Machine) -> str:
        """Return the drawing."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """Add nothing: a drawing has no options."""

    def emit_list(
        self,
        column_names: Any,
        data: Any,
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Write the drawing."""
        text = self.draw(registry.get(parsed_args.machine))
        stdout.write(text if text.endswith('\n') else text + '\n')


class Dot(_Drawing):
    """``-f dot``."""

    def draw(self, machine: Machine) -> str:
        """Return the machine in Graphviz's language."""
        return draw.dot(machine)


class Mermaid(_Drawing):
    """``-f mermaid``."""

    def draw(self, machine: Machine) -> str:
        """Return a mermaid state diagram."""
        return draw.mermaid(machine)


class Svg(_Drawing):
    """``-f svg``."""

    def draw(self, machine: Machine) -> str:
        """Return the picture.

        :raises DrawingFailed: Graphviz is not installed
        """
        try:
            return draw.svg(machine)
        except (OSError, subprocess.CalledProcessError) as error:
            raise exception.DrawingFailed(
                reason=base.one_line(error)
            ) from error


class List(base.GuardedCommand, lister.Lister):
    """List the machines: one for each kind of move."""

    EXAMPLES = """
examples:
  nova-migration-manage machine list
  nova-migration-manage machine list -f value -c Machine
"""

    def take_action(self, parsed_args: Any) -> Rows:
        """Return a row for each machine."""
        columns = ('Machine', 'Title', 'Start', 'States', 'Edges', 'Absorbed')
        rows = (
            (
                name,
                machine.table.title,
                str(machine.table.start.name),
                len(machine.table.states),
                len(machine.table.edges),
                len(machine.table.absorbed),
            )
            for name, machine in MACHINES.items()
        )
        return columns, rows


class Show(base.GuardedCommand, lister.Lister):
    """Show a machine: its edges, its states, or a drawing.

    ``-f dot``, ``-f mermaid`` and ``-f svg`` draw it; svg needs Graphviz.
    """

    EXAMPLES = """
examples:
  nova-migration-manage machine show resize
  nova-migration-manage machine show evacuation --states -f json
  nova-migration-manage machine show live-migration -f svg > live.svg
"""

    @property
    def formatter_namespace(self) -> str:
        """Where cliff finds its formatters and our drawings."""
        return 'nova_migration.machine.formatter'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        completion.offers(
            parser.add_argument(
                'machine', metavar='NAME', help=f'one of {", ".join(MACHINES)}'
            ),
            MACHINES,
        )
        parser.add_argument(
            '--states',
            action='store_true',
            help='list the states with their meaning instead of the edges',
        )
        return parser

    def take_action(self, parsed_args: Any) -> Rows:
        """Return the rows that were asked for."""
        machine = registry.get(parsed_args.machine)
        if parsed_args.states:
            return draw.STATE_COLUMNS, draw.state_rows(machine)
        return draw.EDGE_COLUMNS, draw.edge_rows(machine)
