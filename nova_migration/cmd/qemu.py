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


"""``qemu``: what two QEMUs, or a recorded stream of them, come to."""

import argparse
import asyncio
from collections.abc import Iterable
from collections.abc import Iterator
import logging
import pathlib
import sys
from typing import Any

from cliff import columns
from cliff import lister
import tqdm

from nova_migration import exception
from nova_migration.cmd import base
from nova_migration.hypervisor.qemu import progress as progress_mod
from nova_migration.hypervisor.qemu import stream
from nova_migration.hypervisor.qemu import verdict

LOG = logging.getLogger(__name__)

COLUMNS = ('attempt', 'state', 'reasons', 'verdict', 'qemu_status')

Rows = tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]


class _Reasons(columns.FormattableColumn[list[str]]):
    def human_readable(self) -> str:
        return '\n'.join(map(base.printable, self._value))


class _Statuses(columns.FormattableColumn[dict[str, str | None]]):
    def human_readable(self) -> str:
        return '\n'.join(
            base.printable(f'{end}: {status or "-"}')
            for end, status in self._value.items()
        )


def rows(conclusions: Iterable[verdict.Conclusion]) -> Rows:
    """Return what is printed: one row for each attempt."""
    return COLUMNS, (
        (
            told['attempt'],
            told['state'],
            _Reasons(told['reasons']),
            told['verdict'],
            _Statuses(told['qemu_status']),
        )
        for told in (one.to_dict() for one in conclusions)
    )


class Display:
    """Shows changes as lines and the counters as a bar, on standard error.

    Away from a terminal there is no bar.
    """

    def __init__(self) -> None:
        self._said = ''
        self._bar: Any = tqdm.tqdm(
            unit='B',
            unit_scale=True,
            unit_divisor=1024,
            disable=not sys.stderr.isatty(),
            desc='idle',
            # The rate of reading a file is nobody's rate.
            bar_format='{l_bar}{bar}| {n_fmt}/{total_fmt}{postfix}',
        )

    def __enter__(self) -> 'Display':
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def change(self, now: verdict.Conclusion, when: str = '') -> None:
        """Show a change; one of QEMU's own words alone is none."""
        reasons = '; '.join(str(reason) for reason in now.reasons)
        said = f'attempt {now.attempt}: {now.state}, verdict {now.verdict}'
        said += f' ({reasons})' if reasons else ''
        if said == self._said:
            return
        self._said = said
        with tqdm.tqdm.external_write_mode(file=sys.stderr):
            LOG.info('%s%s', when, base.printable(said))
        self._bar.set_description(str(now.state))

    def progress(self, now: progress_mod.Progress) -> None:
        """Show the counters; what is left tells more than what was sent."""
        if now.total is None or now.remaining is None:
            return
        self._bar.total = now.total
        self._bar.n = now.total - now.remaining
        self._bar.set_postfix_str(now.summary, refresh=False)
        self._bar.refresh()


class Replay(base.GuardedCommand, lister.Lister):
    """Show what a recorded stream comes to, without any QEMU.

    The file has one JSON object a line; the documentation says which.
    """

    EXAMPLES = """
examples:
  nova-migration-manage qemu replay stream.jsonl
  nova-migration-manage -q qemu replay stream.jsonl -f json
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        parser.add_argument('file', metavar='FILE', type=pathlib.Path)
        return parser

    def take_action(self, parsed_args: Any) -> Rows:
        """Return a row for each attempt."""
        name = str(parsed_args.file)
        with parsed_args.file.open('rb') as lines:
            items = list(stream.read(lines, name))
        replay = stream.Replay(items, name)
        with Display() as display:
            for item in items:
                replay.feed(item)
                _show(display, replay, item)
        replay.journal.adopt()
        return rows(verdict.advance(one) for one in replay.journal.attempts)


def _show(display: Display, replay: stream.Replay, item: stream.Item) -> None:
    """Show what an item of a stream has changed."""
    if replay.changed:
        when = item.get('t')
        since = f'{when:8.3f} s  ' if isinstance(when, float) else ''
        display.change(verdict.advance(replay.journal.current), since)
    answer = item.get('return')
    if item['side'] == 'src' and isinstance(answer, dict) and 'ram' in answer:
        display.progress(progress_mod.Progress.from_query(answer))


class Watch(base.GuardedCommand, lister.Lister):
    """Watch two running QEMUs until it is proved where the guest runs.

    It asks and listens, and changes nothing: Ctrl-C leaves both as they are.
    QEMU serves one client on each monitor socket, so give it two of its own.
    """

    EXAMPLES = """
examples:
  nova-migration-manage qemu watch /run/source.qmp /run/destination.qmp
  nova-migration-manage -q qemu watch 127.0.0.1:4444 127.0.0.1:4445 -f json
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'source',
            metavar='SRC.sock',
            type=address,
            help="the source's QMP socket: a path, or HOST:PORT",
        )
        parser.add_argument(
            'destination',
            metavar='DST.sock',
            type=address,
            help='the same of the destination',
        )
        parser.add_argument(
            '--interval',
            type=float,
            default=1.0,
            metavar='SECONDS',
            help='between two queries (default: %(default)s)',
        )
        parser.add_argument(
            '--timeout',
            type=float,
            metavar='SECONDS',
            help='show what is known by then (default: wait for the end)',
        )
        return parser

    def take_action(self, parsed_args: Any) -> Rows:
        """Return a row for each attempt that was seen."""
        with Display() as display:
            return rows(asyncio.run(_watch(parsed_args, display)))


async def _watch(
    parsed_args: Any, display: Display
) -> list[verdict.Conclusion]:
    try:
        # The one part that needs an extra: replay works without.
        from nova_migration.hypervisor.qemu import driver  # noqa: PLC0415
    except ImportError as error:
        raise exception.HypervisorError(
            reason=f"{error}: 'pip install nova-migration[qemu]' for it"
        ) from error
    timing = driver.Timing(interval=parsed_args.interval)
    pair = driver.Pair(
        parsed_args.source, parsed_args.destination, timing=timing
    )
    pair.subscribe(display.change)
    pair.subscribe_progress(display.progress)
    async with pair:
        await pair.wait(
            lambda now: now.definite or pair.both_ended, parsed_args.timeout
        )
        return pair.conclusions


def address(text: str) -> Any:
    """Return a monitor's address: a path, or a host and its port."""
    host, colon, port = text.rpartition(':')
    if colon and port.isdecimal() and '/' not in text:
        return host, int(port)
    return text
