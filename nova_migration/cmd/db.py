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

"""``db``: bring the database over, look at it, take it back."""

import argparse
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import math
from typing import Any

from cliff import lister

from nova_migration.cmd import base
from nova_migration.cmd import exits
from nova_migration.cmd import progress
from nova_migration.db import batches
from nova_migration.db import census
from nova_migration.db import engine
from nova_migration.db import mapping
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.integration import release

#: What migrate does not touch and contract refuses.
LEFT_ALONE = (census.Form.UNKNOWN, census.Form.INCONSISTENT)

_ADVICE = {
    census.Form.UNKNOWN: 'Nobody knows the unknown ones: look at them with'
    ' `migration list --deleted --status STRING`, and say what they mean with'
    " --map '[TYPE:]OLD=STATE'.",
    census.Form.INCONSISTENT: 'A program that does not know of states wrote'
    ' over the status of the inconsistent ones: find it, look at them with'
    ' `migration list --deleted --inconsistent`, and say which column holds'
    ' with --inconsistent status or --inconsistent state.',
}

#: The part of the time, in percent, in which nothing is done.
THROTTLE = 0

#: More rows, or seconds, than there are; databases count no further.
MOST = 2**31 - 1


def positive(text: str) -> int:
    """Read a number of rows or seconds from the command line."""
    number = int(text)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f'{text} is not 1 to {MOST}')
    return number


@dataclasses.dataclass
class Work:
    """What a run of batches came to.

    :param changed: rows that were changed
    :param interrupted: whether the user ended it
    """

    changed: int = 0
    interrupted: bool = False


def seconds(text: str) -> float:
    """Read a length of time from the command line."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is not 0 or more')
    return number


def percent(text: str) -> int:
    """Read a share of time from the command line."""
    number = int(text)
    if not 0 <= number < 100:
        raise argparse.ArgumentTypeError(f'{text} is not 0 to 99')
    return number


def carry_out(
    begin: Callable[[progress.Stop], Iterable[upgrade.Batch]],
    total: int,
    verb: str,
) -> Work:
    """Go through the batches, to the end or to a boundary before it.

    :param begin: makes the batches; it is given what may stop them
    """
    work = Work()
    with progress.stop_on_signal() as stop:
        for batch in progress.followed(begin(stop), total, verb):
            work.changed += batch.changed
            if stop.requested:
                break
        work.interrupted = stop.requested
    return work


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add what migrating and restoring have in common."""
    parser.add_argument(
        '--batch-size',
        type=positive,
        metavar='N',
        help='rows in one transaction; only conflicts make them fewer'
        ' (default: as many as take a tenth of a second, or about one while'
        ' nobody else writes, as it is measured)',
    )
    parser.add_argument(
        '--max-count',
        type=positive,
        metavar='N',
        help='stop when N rows have been changed; run again to go on',
    )
    parser.add_argument(
        '--throttle',
        type=percent,
        metavar='PERCENT',
        help='do nothing for this part of the time: with 75, a batch of 0.1'
        f' seconds is followed by a pause of 0.3 (default: {THROTTLE})',
    )
    parser.add_argument(
        '--max-lag',
        type=seconds,
        metavar='SECONDS',
        help='wait for a standby that is further behind, where PostgreSQL'
        f' says so; 0 for not to look (default: {batches.MAX_LAG})',
    )


def manner_of(parsed_args: Any, stop: progress.Stop) -> batches.Manner:
    """Return how hard the database is to be worked."""
    throttle, max_lag = parsed_args.throttle, parsed_args.max_lag
    return batches.Manner(
        batch_size=parsed_args.batch_size,
        max_count=parsed_args.max_count,
        idle=(THROTTLE if throttle is None else throttle) / 100,
        max_lag=batches.MAX_LAG if max_lag is None else max_lag,
        wait=stop.wait,
    )


#: Options that only migrate reads.
_OF_MIGRATE = (
    '--batch-size',
    '--max-count',
    '--throttle',
    '--max-lag',
    '--map',
    '--inconsistent',
)


class Upgrade(base.DatabaseCommand):
    """Bring a Nova cell database over: expand, migrate, contract.

    Without an option all three are done, which is for a service that is
    stopped. A service that runs is upgraded phase by phase; see the admin
    guide.
    """

    FAILED = exits.UPGRADE_ERROR
    EXAMPLES = """
examples:
  nova-migration-manage --config-file nova.conf db upgrade --expand
  nova-migration-manage --config-file nova.conf db upgrade --migrate \\
      --max-count 100000
  nova-migration-manage --config-file nova.conf db upgrade --migrate \\
      --map 'resize:Finished=awaiting-confirmation' --map 'odd=error'
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        phase = parser.add_mutually_exclusive_group()
        phase.add_argument(
            '--expand',
            action='store_true',
            help='add the columns and the index',
        )
        phase.add_argument(
            '--migrate',
            action='store_true',
            help='make legacy rows canonical, in batches',
        )
        phase.add_argument(
            '--contract',
            action='store_true',
            help='refuse legacy rows from now on',
        )
        add_batch_options(parser)
        parser.add_argument(
            '--map',
            action='append',
            metavar='[TYPE:]OLD=STATE',
            help='rows that say OLD are in STATE; may be repeated',
        )
        parser.add_argument(
            '--inconsistent',
            choices=[column.value for column in upgrade.Believed],
            help='which column to believe where a program that does not know'
            ' of states wrote over the status',
        )
        self._wrong_call = parser.error
        return parser

    def take_action(self, parsed_args: Any) -> int:
        """Run the phases that were asked for."""
        chosen = [
            name
            for name in ('expand', 'migrate', 'contract')
            if getattr(parsed_args, name)
        ]
        # An argument that makes no sense must not change anything.
        self._require_used(parsed_args, chosen)
        meanings = mapping.meanings_with(parsed_args.map or ())
        for name in chosen or ['expand', 'migrate', 'contract']:
            code = self._run(name, parsed_args, meanings)
            if code:
                return code
        return 0

    def _require_used(self, parsed_args: Any, chosen: list[str]) -> None:
        """Refuse an option that the chosen phase does not read."""
        if not chosen or 'migrate' in chosen:
            return
        for option in _OF_MIGRATE:
            name = option.strip('-').replace('-', '_')
            if getattr(parsed_args, name) is not None:
                self._wrong_call(
                    f'{option} is for migrate: --{chosen[0]} does not read it'
                )

    def _run(
        self, phase: str, parsed_args: Any, meanings: mapping.Meanings
    ) -> int:
        if phase == 'migrate':
            return self._migrate(parsed_args, meanings)
        run = schema.expand if phase == 'expand' else schema.contract
        run(self.database)
        print(f'{phase}: done', file=self.app.stdout)
        return 0

    def _migrate(self, parsed_args: Any, meanings: mapping.Meanings) -> int:
        engine.require_expanded(self.database.engine)
        if parsed_args.inconsistent and self._settle(parsed_args):
            return exits.INTERRUPTED
        work = carry_out(
            lambda stop: upgrade.migrate(
                self.database, meanings, manner=manner_of(parsed_args, stop)
            ),
            upgrade.count(self.database, upgrade.is_legacy),
            'migrate',
        )
        counts = census.take(self.database)
        remain = census.total(census.of_form(counts, census.Form.LEGACY))
        left = census.of_form(counts, *LEFT_ALONE)
        print(
            f'migrate: {work.changed} made canonical, {remain} remain,'
            f' {census.total(left)} left alone',
            file=self.app.stdout,
        )
        if work.interrupted:
            return exits.INTERRUPTED
        return exits.ROWS_REMAIN if remain else self._name(left)

    def _settle(self, parsed_args: Any) -> bool:
        """Settle the inconsistent rows; return whether that was stopped."""
        believed = upgrade.Believed(parsed_args.inconsistent)
        work = carry_out(
            lambda stop: upgrade.settle(
                self.database,
                believed,
                manner=dataclasses.replace(
                    manner_of(parsed_args, stop), max_count=None
                ),
            ),
            upgrade.count(self.database, upgrade.is_inconsistent),
            'settle',
        )
        print(
            f'settle: {work.changed} inconsistent, their {believed} believed',
            file=self.app.stdout,
        )
        return work.interrupted

    def _name(self, left: list[census.Count]) -> int:
        for count in left:
            print(f'  {count.described}', file=self.app.stdout)
        for form in dict.fromkeys(count.form for count in left):
            print(_ADVICE[form], file=self.app.stdout)
        return exits.NOT_MIGRATED if left else 0


class Restore(base.DatabaseCommand):
    """Go back: give every row the string that it had, byte for byte."""

    FAILED = exits.UPGRADE_ERROR

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        add_batch_options(parser)
        parser.add_argument(
            '--drop-columns',
            action='store_true',
            help='also remove our columns, index and version table, once'
            ' every row is restored; reasons and times of states are lost',
        )
        return parser

    def take_action(self, parsed_args: Any) -> int:
        """Allow legacy rows again, and write them."""
        if engine.needs_expand(self.database.engine):
            return self._remove_rest(parsed_args)
        schema.revert_contract(self.database)
        work = carry_out(
            lambda stop: upgrade.restore(
                self.database, manner=manner_of(parsed_args, stop)
            ),
            upgrade.count(self.database, upgrade.is_canonical),
            'restore',
        )
        remain = upgrade.count(self.database, upgrade.is_canonical)
        print(
            f'restore: {work.changed} given their string back,'
            f' {remain} remain',
            file=self.app.stdout,
        )
        if work.interrupted:
            return exits.INTERRUPTED
        if remain:
            return exits.ROWS_REMAIN
        return self._drop_columns() if parsed_args.drop_columns else 0

    def _remove_rest(self, parsed_args: Any) -> int:
        """Remove what a killed expand or --drop-columns has left."""
        if schema.is_begun(self.database):
            schema.require_restored(self.database)
            if parsed_args.drop_columns:
                return self._drop_columns()
        print('restore: nothing was expanded', file=self.app.stdout)
        return 0

    def _drop_columns(self) -> int:
        schema.revert_expand(self.database)
        print('restore: columns removed', file=self.app.stdout)
        return 0


class Version(base.DatabaseCommand, lister.Lister):
    """Show which revisions have been run."""

    def take_action(
        self, parsed_args: Any
    ) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
        """Return a row for each branch."""
        applied = schema.applied(self.database)
        rows = (
            (branch, head, head in applied)
            for branch, head in schema.heads().items()
        )
        return ('Branch', 'Head', 'Applied'), rows


class Census(base.DatabaseCommand, lister.Lister):
    """Count the rows by type, status and state; name what is not known.

    It works on a database that has not been touched yet, too.
    """

    def take_action(
        self, parsed_args: Any
    ) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
        """Return a row for each thing that rows say."""
        columns = ('Table', 'Type', 'Status', 'State', 'Form', 'Rows')
        counts = census.take(self.database)
        return columns, (
            tuple(map(base.plain, dataclasses.astuple(count)))
            for count in counts
        )


class Check(base.DatabaseCommand):
    """Say which phase of the upgrade is next."""

    def take_action(self, parsed_args: Any) -> int:
        """Print and exit with what comes next."""
        nova = release.beside()
        if nova.version is not None:
            print(nova.described, file=self.app.stderr)
        code, text = self._next()
        print(text, file=self.app.stdout)
        return code

    def _next(self) -> tuple[int, str]:
        if not schema.is_expanded(self.database):
            return exits.EXPAND_NEEDED, 'expand needed: db upgrade --expand'
        counts = census.take(self.database)
        legacy = census.total(census.of_form(counts, census.Form.LEGACY))
        left = census.total(census.of_form(counts, *LEFT_ALONE))
        if legacy or left:
            return exits.MIGRATE_NEEDED, (
                f'migrate needed: {legacy} legacy, {left} unknown or'
                ' inconsistent; see db census'
            )
        if not schema.is_contracted(self.database):
            return (
                exits.CONTRACT_NEEDED,
                'contract needed: db upgrade --contract',
            )
        return 0, 'nothing to do'
