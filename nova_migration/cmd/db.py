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
import contextlib
import dataclasses
import math
import types
from typing import Any

from cliff import lister

from nova_migration import exception
from nova_migration.cmd import base
from nova_migration.cmd import exits
from nova_migration.cmd import outcome
from nova_migration.cmd import plan
from nova_migration.cmd import progress
from nova_migration.db import batches
from nova_migration.db import census
from nova_migration.db import engine
from nova_migration.db import exclusive
from nova_migration.db import held as held_mod
from nova_migration.db import mapping
from nova_migration.db import schema
from nova_migration.db import upgrade
from nova_migration.integration import release

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
    :param held: what was left because somebody else holds it
    """

    changed: int = 0
    interrupted: bool = False
    held: list[held_mod.Held] = dataclasses.field(default_factory=list)

    @property
    def left(self) -> str:
        """What the last line says of held rows, if there are any."""
        count = sum(each.count for each in self.held)
        return f', {count} held by others' if count else ''


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
            if batch.held is not None:
                work.held.append(batch.held)
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


class _Changing(outcome.OutcomeCommand):
    """A command that is alone with its database, or changes nothing."""

    FAILED = exits.UPGRADE_ERROR
    CODES = types.MappingProxyType({exception.AnotherAtWork: exits.AT_WORK})

    #: What others are told of this one.
    COMMAND: exclusive.Command

    def script_phases(self, parsed_args: Any) -> tuple[str, ...]:
        """Return the phases whose DDL was asked for."""
        raise NotImplementedError

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser, with what changes nothing."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--wait',
            type=seconds,
            metavar='SECONDS',
            default=0.0,
            help='wait for another upgrade or restore that is at work'
            f' (default: exit with {exits.AT_WORK})',
        )
        only = parser.add_mutually_exclusive_group()
        only.add_argument(
            '--dry-run',
            action='store_true',
            help='say what would be done, and change nothing',
        )
        only.add_argument(
            '--sql',
            action='store_true',
            help="print the DDL for the server's own client; the server is"
            ' not asked, and rows are not in it',
        )
        return parser

    def run(self, parsed_args: Any) -> int:
        """Run it, or print the script of it."""
        if not parsed_args.sql:
            return super().run(parsed_args)
        if parsed_args.formatter != outcome.LINES or parsed_args.columns:
            self.wrong_call('--sql has a format of its own: no -f and no -c')
        return base.guarded(
            lambda: self._print_script(parsed_args),
            self.app.options.debug,
            self.FAILED,
        )

    def refuse(
        self, parsed_args: Any, options: Iterable[str], why: str
    ) -> None:
        """Refuse options that nobody would read."""
        for option in options:
            value = getattr(parsed_args, option.strip('-').replace('-', '_'))
            # A zero was given, too; that of a flag was not.
            if value is not None and value is not False:
                self.wrong_call(f'{option} {why}')

    @contextlib.contextmanager
    def alone(self, parsed_args: Any) -> Iterator[None]:
        """Keep others from changing the database that is to be changed.

        :raises AnotherAtWork: they do already
        """
        if parsed_args.dry_run:
            yield
            return
        with exclusive.hold(self.database, self.COMMAND, parsed_args.wait):
            yield

    def _print_script(self, parsed_args: Any) -> int:
        phases = self.script_phases(parsed_args)
        dialect = engine.dialect_of(self.app.conf.database.connection)
        for phase in phases:
            print(schema.script(dialect, phase), file=self.app.stdout)
        return exits.DONE


_PHASES = ('expand', 'migrate', 'contract')

#: Options that only batches read, and those that only migrate reads.
_OF_BATCHES = ('--batch-size', '--max-count', '--throttle', '--max-lag')
_OF_MIGRATE = (*_OF_BATCHES, '--map', '--inconsistent')

_NOT_IN_SQL = 'needs the server: --sql does not read it'


class Upgrade(_Changing):
    """Bring a Nova cell database over: expand, migrate, contract.

    Without an option all three are done, which is for a service that is
    stopped. A service that runs is upgraded phase by phase; see the admin
    guide.
    """

    COMMAND = exclusive.Command.UPGRADE
    EXAMPLES = """
examples:
  nova-migration-manage --config-file nova.conf db upgrade --dry-run
  nova-migration-manage --config-file nova.conf db upgrade --expand -f json
  nova-migration-manage --config-file nova.conf db upgrade --expand --sql
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
        parser.add_argument(
            '--create',
            action='store_true',
            help="also make Nova's two tables, in an empty database",
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
        return parser

    def outcomes(self, parsed_args: Any) -> Iterator[outcome.Outcome]:
        """Run the phases that were asked for, until one is not done."""
        chosen = [name for name in _PHASES if getattr(parsed_args, name)]
        # An argument that makes no sense must not change anything.
        self._require_used(parsed_args, chosen)
        self.app.creates = parsed_args.create and not parsed_args.dry_run
        meanings = mapping.meanings_with(parsed_args.map or ())
        run = self._plan if parsed_args.dry_run else self._run
        with self.alone(parsed_args):
            for name in chosen or _PHASES:
                for came_to in run(name, parsed_args, meanings):
                    yield came_to
                    if came_to.code:
                        return

    def _plan(
        self, phase: str, parsed_args: Any, meanings: mapping.Meanings
    ) -> Iterator[outcome.Outcome]:
        """Yield what a phase would do."""
        alone = any(getattr(parsed_args, name) for name in _PHASES)
        if phase == 'expand':
            yield plan.expand(self.database, parsed_args.create)
        elif phase == 'migrate':
            yield plan.migrate(self.database, meanings, parsed_args, alone)
        else:
            yield plan.contract(self.database, alone)

    def script_phases(self, parsed_args: Any) -> tuple[str, ...]:
        """Return the one phase that was asked for; it must have DDL."""
        chosen = [name for name in _PHASES if getattr(parsed_args, name)]
        if chosen not in (['expand'], ['contract']):
            self.wrong_call(
                '--sql is for --expand or --contract: rows are migrated'
                ' between them, by --migrate without --sql'
            )
        self._require_used(parsed_args, chosen)
        self.refuse(parsed_args, ('--create',), _NOT_IN_SQL)
        return tuple(chosen)

    def _require_used(self, parsed_args: Any, chosen: list[str]) -> None:
        """Refuse an option that the chosen phase does not read."""
        if parsed_args.create and chosen not in ([], ['expand']):
            self.wrong_call(
                f'--create is for expand: --{chosen[0]} does not read it'
            )
        if not chosen or 'migrate' in chosen:
            return
        self.refuse(
            parsed_args,
            _OF_MIGRATE,
            f'is for migrate: --{chosen[0]} does not read it',
        )

    def _run(
        self, phase: str, parsed_args: Any, meanings: mapping.Meanings
    ) -> Iterator[outcome.Outcome]:
        if phase == 'migrate':
            yield from self._migrate(parsed_args, meanings)
        else:
            yield self._change_schema(phase, parsed_args)

    def _change_schema(self, phase: str, parsed_args: Any) -> outcome.Outcome:
        before = schema.present(self.database)
        if phase == 'expand':
            schema.expand(self.database, create=parsed_args.create)
        else:
            schema.contract(self.database)
        changed = schema.present(self.database) != before
        said = 'done' if changed else 'nothing to do'
        return outcome.Outcome(
            phase,
            f'{phase}: {said}',
            changed,
            next=self._next_phase(parsed_args),
        )

    def _migrate(
        self, parsed_args: Any, meanings: mapping.Meanings
    ) -> Iterator[outcome.Outcome]:
        schema.require_expanded(self.database)
        schema.take_back(self.database)
        held = False
        if parsed_args.inconsistent:
            settled = self._settle(parsed_args)
            yield settled
            if settled.code:
                return
            held = bool(settled.held)
        work = carry_out(
            lambda stop: upgrade.migrate(
                self.database, meanings, manner=manner_of(parsed_args, stop)
            ),
            plan.asked_for(
                parsed_args,
                upgrade.count(self.database, upgrade.is_legacy),
            ),
            'migrate',
        )
        yield self._migrated(work, parsed_args, held)

    def _migrated(
        self, work: Work, parsed_args: Any, held: bool
    ) -> outcome.Outcome:
        """Return what was done.

        :param held: whether rows that could not be settled remain, too
        """
        counts = census.take(self.database)
        remain = census.total(census.of_form(counts, census.Form.LEGACY))
        left = census.of_form(counts, *census.LEFT_ALONE)
        code = exits.NOT_MIGRATED if left else exits.DONE
        code = exits.ROWS_REMAIN if remain or held else code
        code = exits.INTERRUPTED if work.interrupted else code
        return outcome.Outcome(
            'migrate',
            f'migrate: {work.changed} made canonical, {remain} remain,'
            f' {census.total(left)} left alone{work.left}',
            work.changed > 0,
            work.changed,
            remain,
            tuple(left),
            self._next_phase(parsed_args),
            held=tuple(work.held),
            below=_named(left) if code == exits.NOT_MIGRATED else (),
            code=code,
        )

    def _next_phase(self, parsed_args: Any) -> str | None:
        """Return what comes next, which takes time, if it will be shown."""
        if parsed_args.formatter == outcome.LINES:
            return None
        return _what_is_next(self.database).next

    def _settle(self, parsed_args: Any) -> outcome.Outcome:
        """Settle the inconsistent rows."""
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
        return outcome.Outcome(
            'settle',
            f'settle: {work.changed} inconsistent, their {believed} believed'
            f'{work.left}',
            work.changed > 0,
            work.changed,
            next='migrate',
            held=tuple(work.held),
            code=exits.INTERRUPTED if work.interrupted else exits.DONE,
        )


def _named(left: list[census.Count]) -> tuple[str, ...]:
    """Return lines that name rows, and say what is to be done."""
    forms = dict.fromkeys(count.form for count in left)
    return (
        *(f'  {count.described}' for count in left),
        *(_ADVICE[form] for form in forms),
    )


class Restore(_Changing):
    """Go back: give every row the string that it had, byte for byte."""

    COMMAND = exclusive.Command.RESTORE
    EXAMPLES = """
examples:
  nova-migration-manage --config-file nova.conf db restore --dry-run
  nova-migration-manage --config-file nova.conf db restore
  nova-migration-manage db restore --drop-columns -f json
"""

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

    def outcomes(self, parsed_args: Any) -> Iterator[outcome.Outcome]:
        """Allow legacy rows again, write them, and remove the columns."""
        with self.alone(parsed_args):
            if parsed_args.dry_run:
                yield from plan.restore(self.database, parsed_args)
            else:
                yield from self._go_back(parsed_args)

    def _go_back(self, parsed_args: Any) -> Iterator[outcome.Outcome]:
        if engine.needs_expand(self.database.engine):
            yield from self._remove_rest(parsed_args)
            return
        restored = self._restore(parsed_args)
        yield restored
        if parsed_args.drop_columns and restored.code == exits.DONE:
            yield self._drop_columns()

    def script_phases(self, parsed_args: Any) -> tuple[str, ...]:
        """Return what is restored of the schema."""
        self.refuse(parsed_args, _OF_BATCHES, _NOT_IN_SQL)
        return ('drop-columns',) if parsed_args.drop_columns else ('restore',)

    def _restore(self, parsed_args: Any) -> outcome.Outcome:
        before = schema.present(self.database)
        schema.revert_contract(self.database)
        allowed = schema.present(self.database) != before
        with self._uncontracted():
            work = carry_out(
                lambda stop: upgrade.restore(
                    self.database, manner=manner_of(parsed_args, stop)
                ),
                plan.asked_for(
                    parsed_args,
                    upgrade.count(self.database, upgrade.is_canonical),
                ),
                'restore',
            )
        remain = upgrade.count(self.database, upgrade.is_canonical)
        code = exits.ROWS_REMAIN if remain else exits.DONE
        return outcome.Outcome(
            'restore',
            f'restore: {work.changed} given their string back,'
            f' {remain} remain{work.left}',
            allowed or work.changed > 0,
            work.changed,
            remain,
            next='restore' if remain else None,
            held=tuple(work.held),
            code=exits.INTERRUPTED if work.interrupted else code,
        )

    @contextlib.contextmanager
    def _uncontracted(self) -> Iterator[None]:
        """Say so where the check that was removed is there again.

        :raises AnotherAtWork: in place of the advice to do what is being done
        """
        try:
            yield
        except exception.LegacyRowRefused as error:
            raise exception.AnotherAtWork(
                url=self.shown, reason='it has contracted it meanwhile'
            ) from error

    def _remove_rest(self, parsed_args: Any) -> Iterator[outcome.Outcome]:
        """Remove what a killed expand or --drop-columns has left."""
        engine.require_cell(self.database.engine)
        begun = schema.is_begun(self.database)
        if begun:
            schema.require_restored(self.database)
        if begun and parsed_args.drop_columns:
            yield self._drop_columns()
            return
        before = schema.present(self.database)
        schema.take_back(self.database)
        yield outcome.Outcome(
            'restore',
            plan.said_of_rest(begun),
            schema.present(self.database) != before,
        )

    def _drop_columns(self) -> outcome.Outcome:
        before = schema.present(self.database)
        schema.revert_expand(self.database)
        return outcome.Outcome(
            'drop-columns',
            'restore: columns removed',
            schema.present(self.database) != before,
        )


class Version(base.DatabaseCommand, lister.Lister):
    """Show which revisions have been run."""

    EXAMPLES = """
examples:
  nova-migration-manage --config-file nova.conf db version -f json
"""

    def take_action(
        self, parsed_args: Any
    ) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
        """Return a row for each branch."""
        engine.require_cell(self.database.engine)
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

    EXAMPLES = """
examples:
  nova-migration-manage --config-file nova.conf db census
  nova-migration-manage db census -f csv -c Status -c Rows
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


#: What the fence stands for that a removal of the columns has put up.
FENCED = (
    "'db restore --drop-columns' is at work, or was killed: no row may be"
    ' given a state until it has ended, or db upgrade takes it back'
)


class Check(outcome.OutcomeCommand):
    """Say which phase of the upgrade is next."""

    EXAMPLES = """
examples:
  nova-migration-manage --config-file nova.conf db check
  nova-migration-manage --config-file nova.conf db check -f value -c next
"""

    def outcomes(self, parsed_args: Any) -> Iterator[outcome.Outcome]:
        """Yield what comes next; say which Nova is installed beside it."""
        nova = release.beside()
        if nova.version is not None:
            print(nova.described, file=self.app.stderr)
        found = _what_is_next(self.database)
        if schema.is_fenced(self.database):
            found = dataclasses.replace(found, below=(f'  {FENCED}',))
        yield found


def _what_is_next(database: engine.Database) -> outcome.Outcome:
    """Return which phase is next, and what it has to do."""
    engine.require_cell(database.engine)
    if not schema.is_expanded(database):
        return _needed('expand', exits.EXPAND_NEEDED)
    counts = census.take(database)
    legacy = census.total(census.of_form(counts, census.Form.LEGACY))
    left = census.of_form(counts, *census.LEFT_ALONE)
    if legacy or left:
        return outcome.Outcome(
            'check',
            f'migrate needed: {legacy} legacy, {census.total(left)}'
            ' unknown or inconsistent; see db census',
            changed=False,
            rows_remaining=legacy,
            left_alone=tuple(left),
            next='migrate',
            code=exits.MIGRATE_NEEDED,
        )
    if not schema.is_contracted(database):
        return _needed('contract', exits.CONTRACT_NEEDED)
    return outcome.Outcome('check', 'nothing to do', changed=False)


def _needed(phase: str, code: int) -> outcome.Outcome:
    return outcome.Outcome(
        'check',
        f'{phase} needed: db upgrade --{phase}',
        changed=False,
        next=phase,
        code=code,
    )
