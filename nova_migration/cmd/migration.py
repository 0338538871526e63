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

"""``migration``: look at single moves, and help a stuck one on."""

import argparse
from collections.abc import Iterator
import datetime
import itertools
import logging
import textwrap
from typing import Any

from cliff import lister
from cliff import show
from oslo_utils import timeutils
from oslo_utils import uuidutils

from nova_migration import context
from nova_migration import objects
from nova_migration.cmd import base
from nova_migration.cmd import completion
from nova_migration.cmd import db
from nova_migration.cmd import exits
from nova_migration.cmd import formats
from nova_migration.db import api
from nova_migration.db import engine
from nova_migration.db import errors
from nova_migration.db import schema
from nova_migration.objects.migration import Result
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import registry

LOG = logging.getLogger(__name__)

Shown = tuple[tuple[str, ...], tuple[Any, ...]]

#: What `migration show` leaves out, because it says something of its own.
_DERIVED = ('status', 'legacy_status')

#: When a migration came into its state: the first that the row has.
_SINCE = ('state_changed_at', 'updated_at', 'created_at')

#: How many migrations a listing has unless told otherwise.
LIMIT = 100


def value_of(migration: objects.Migration, field: str) -> Any:
    """Return what a field holds, or what the row does that no field takes."""
    return migration.odd.get(field, getattr(migration, field))


def since(migration: objects.Migration) -> Any:
    """Return when a migration came into its state, as far as is known."""
    values = (value_of(migration, field) for field in _SINCE)
    return next((value for value in values if value is not None), None)


#: Units of an age, each with its seconds.
_UNITS = (('d', 86400), ('h', 3600), ('m', 60))


def age(since: Any, now: datetime.datetime) -> str | None:
    """Return how long ago a time was, such as 3h; None if it is none."""
    if not isinstance(since, datetime.datetime):
        return None
    past = max(0, int((now - since).total_seconds()))
    for unit, seconds in _UNITS:
        if past >= seconds:
            return f'{past // seconds}{unit}'
    return f'{past}s'


def name_of(migration: objects.Migration) -> str:
    """Return the uuid; rows from before Nova 17 may have only an id."""
    has_uuid = migration.obj_attr_is_set('uuid')
    return str(migration.uuid if has_uuid else migration.id)


def describe(migration: objects.Migration, **first: Any) -> Shown:
    """Return every field of a migration, and what it may do next."""
    told = {
        **first,
        'status': value_of(migration, 'status'),
        'legacy_status': migration.get_legacy_status(),
        **{
            field: value_of(migration, field)
            for field in sorted(migration.fields)
            if migration.obj_attr_is_set(field) and field not in _DERIVED
        },
        'allowed_events': ', '.join(migration.allowed_events),
    }
    return tuple(told), tuple(map(base.plain, told.values()))


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says which migration."""
    parser.add_argument(
        'migration', type=base.utf8, metavar='UUID', help='or its id'
    )


def is_id(name: str) -> bool:
    """Tell an id, which no uuid looks like and every database can ask for."""
    short = len(name) <= len(str(db.MOST))
    return name.isdecimal() and short and not uuidutils.is_uuid_like(name)


class _OnMigrations(base.DatabaseCommand):
    def find(self, name: str) -> objects.Migration:
        """Return the migration of a uuid or an id."""
        engine.require_expanded(self.database.engine)
        if is_id(name):
            return objects.Migration.get_by_id(self.context, int(name))
        return objects.Migration.get_by_uuid(self.context, name)


class List(formats.OwnFormatters, _OnMigrations, lister.Lister):
    """List migrations, newest first.

    The table is for people, and has what tells a move from another one.
    --long, a column, or another format gives all there is to tell; of a long
    list, all but the table and yaml print each row as it comes.
    """

    EXAMPLES = """
examples:
  nova-migration-manage migration list --in-progress
  nova-migration-manage migration list --stuck 3600 -f json
  nova-migration-manage migration list --status 'odd string'
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        _add_words(parser)
        _add_filters(parser)
        _add_page(parser)
        return parser

    #: The last one that is shown, if there are more.
    _cut_at: objects.Migration | None = None

    def take_action(
        self, parsed_args: Any
    ) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
        """Return a row for each migration."""
        engine.require_expanded(self.database.engine)
        if parsed_args.stuck:
            for server in api.get_evacuated_twice(self.database):
                print(evacuated_twice(server), file=self.app.stderr)
        found = self._found(parsed_args)
        # What is wrong is said before anything is printed.
        found = itertools.chain(list(itertools.islice(found, 1)), found)
        for_people = parsed_args.formatter == 'table' and not (
            parsed_args.long or parsed_args.columns or parsed_args.sort_columns
        )
        columns, row = (BRIEF, _brief) if for_people else (COLUMNS, _row)
        return columns, map(row, found)

    def _found(self, parsed_args: Any) -> Iterator[objects.Migration]:
        """Yield the migrations; of one more than is shown, keep that it is."""
        most = parsed_args.limit
        seen = 'yes' if parsed_args.deleted else 'no'
        found = objects.MigrationList.each_by_filters(
            context.get_admin_context(self.database, read_deleted=seen),
            filters_of(parsed_args),
            before=self._marked(parsed_args.marker),
            limit=most + 1 if most else None,
        )
        last = None
        for number, migration in enumerate(found):
            if most and number == most:
                self._cut_at = last
                return
            yield migration
            last = migration

    def _marked(self, marker: str | None) -> int | None:
        """Return the id of a marker; a row of an id may be gone."""
        if marker is None:
            return None
        return int(marker) if is_id(marker) else int(self.find(marker).id)

    def produce_output(self, parsed_args: Any, names: Any, data: Any) -> int:
        """Print the rows, and then whether there are more."""
        super().produce_output(parsed_args, names, data)
        if self._cut_at is not None:
            LOG.info(
                '%d shown; more with --marker %s or --limit 0',
                parsed_args.limit,
                name_of(self._cut_at),
            )
        return 0


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--type',
        metavar='T',
        choices=MIGRATION_TYPES,
        help=f'one of {", ".join(MIGRATION_TYPES)}',
    )
    completion.offers(
        parser.add_argument('--state', metavar='S', help='in this state'),
        registry.states_with(),
    )
    completion.offers(
        parser.add_argument(
            '--status',
            type=base.utf8,
            metavar='STRING',
            help="with this string of Nova's, known or not",
        ),
        registry.legacy_with(),
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--in-progress', action='store_true', help='that are not over'
    )
    parser.add_argument(
        '--stuck',
        type=db.positive,
        metavar='SECONDS',
        help='in progress, not waiting for a user, and in the same state'
        ' for so long',
    )
    parser.add_argument(
        '--inconsistent',
        action='store_true',
        help='whose status a program that does not know of states wrote over',
    )
    parser.add_argument(
        '--deleted', action='store_true', help='soft-deleted ones too'
    )


def _add_page(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--limit',
        type=limit,
        metavar='N',
        default=LIMIT,
        help=f'N at the most; 0 for all (default: {LIMIT})',
    )
    parser.add_argument(
        '--marker',
        type=base.utf8,
        metavar='UUID',
        help='those that come after this one, or after its id',
    )
    parser.add_argument(
        '--long', action='store_true', help='every column in the table'
    )


def filters_of(parsed_args: Any) -> dict[str, Any]:
    """Return the filters that the options stand for."""
    filters: dict[str, Any] = {}
    if parsed_args.type:
        filters['migration_type'] = parsed_args.type
    if parsed_args.state:
        filters['state'] = parsed_args.state
    if parsed_args.status is not None:
        filters['status'] = parsed_args.status
    if parsed_args.in_progress:
        filters['flag'] = MigrationFlag.IN_PROGRESS
    if parsed_args.inconsistent:
        filters['inconsistent'] = True
    if parsed_args.stuck:
        filters.update(stuck_filters(parsed_args.stuck))
    return filters


def evacuated_twice(row: Any) -> str:
    """Say of a server that it has several open evacuations from a host."""
    return (
        f'Server {base.printable(str(row.instance_uuid))} has'
        f' {row.evacuations} open evacuations from'
        f' {base.printable(str(row.source_compute))}.'
    )


def stuck_filters(seconds: int) -> dict[str, Any]:
    """Return the filters for what does not get on, and should."""
    before = timeutils.utcnow() - datetime.timedelta(seconds=seconds)
    return {
        'flag': MigrationFlag.IN_PROGRESS,
        'not-flag': MigrationFlag.UNCONFIRMED,
        'unchanged-since': before,
    }


#: All that is told of a migration in a list.
COLUMNS = (
    'Migration',
    'Id',
    'Server',
    'Type',
    'Status',
    'State',
    'Since',
    'Source',
    'Destination',
    'Reason',
)


def _row(migration: objects.Migration) -> tuple[Any, ...]:
    told = (
        name_of(migration),
        migration.id,
        migration.instance_uuid,
        migration.migration_type,
        migration.legacy_status or value_of(migration, 'status'),
        value_of(migration, 'state'),
        since(migration),
        migration.source_compute,
        migration.dest_compute,
        migration.state_reason,
    )
    return tuple(map(base.plain, told))


#: What tells a move from another one, two lines each; with an id of five
#: digits it is 80 characters wide.
BRIEF = ('Id', 'Server, source -> destination', 'Type, state', 'Age')

#: Of the server's uuid, and of the longest state.
_WIDTHS = (36, max(map(len, registry.states_with())))


def _brief(migration: objects.Migration) -> tuple[Any, ...]:
    hosts = (migration.source_compute, migration.dest_compute)
    server = migration.instance_uuid
    state = migration.state or _unknown(migration)
    return (
        migration.id,
        _lines(_WIDTHS[0], server, ' -> '.join(formats.dashed(hosts))),
        _lines(_WIDTHS[1], migration.migration_type, state),
        age(since(migration), timeutils.utcnow(with_timezone=True)),
    )


def _unknown(migration: objects.Migration) -> str | None:
    """Tell what nobody knows from a state, by saying what it is."""
    for column in ('state', 'status'):
        if migration.odd.get(column) is not None:
            return f'{column} {migration.odd[column]!r}'
    status = migration.legacy_status
    return None if status is None else f'status {status!r}'


def _lines(width: int, *texts: str | None) -> str:
    """Return texts below each other; what is too long goes on below."""
    return '\n'.join(
        textwrap.fill(base.printable(text), width, break_on_hyphens=False)
        for text in formats.dashed(texts)
    )


def limit(text: str) -> int:
    """Read how many there may be from the command line; 0 for all."""
    return int(text) and db.positive(text)


class Show(formats.OwnFormatters, _OnMigrations, show.ShowOne):
    """Show a migration, and which events lead on from where it is."""

    EXAMPLES = """
examples:
  nova-migration-manage migration show 4711
  nova-migration-manage migration show 4711 -f value -c allowed_events
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        return parser

    def take_action(self, parsed_args: Any) -> Shown:
        """Return the fields."""
        return describe(self.find(parsed_args.migration))


def said(text: str) -> str:
    """Read a reason, which nobody may keep to themselves."""
    if not text.strip():
        raise argparse.ArgumentTypeError('it is empty')
    return text


class ProcessEvent(formats.OwnFormatters, _OnMigrations, show.ShowOne):
    """Move a migration along an edge: the guarded way out of a stuck state.

    Only the row is moved: what the move means for the guest, its disks and
    its allocations has to be done, or made sure of, beforehand. See the
    admin guide, and `migration show` for the events that are allowed.
    It exits with 0 if the row was moved, and with 3 if the event was
    absorbed: a late report, which changed nothing but the reasons. Else it
    has changed nothing, and exits with 1.
    """

    EXAMPLES = """
examples:
  nova-migration-manage migration process-event \\
      f3d1d2b4-7d5e-4a51-9d3a-2f2b1d0c4f11 fail \\
      --reason 'compute-3 lost power, see ticket 4711'
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        completion.offers(
            parser.add_argument('event', metavar='EVENT', help='such as fail'),
            registry.events(),
        )
        parser.add_argument(
            '--reason',
            required=True,
            type=said,
            metavar='TEXT',
            help='why; kept with the migration',
        )
        return parser

    def take_action(self, parsed_args: Any) -> Shown:
        """Process the event and return what came of it."""
        schema.require_known(self.database)
        migration = self.find(parsed_args.migration)
        before = migration.state
        outcome = migration.process_event(
            parsed_args.event, reason=parsed_args.reason
        )
        if outcome == Result.ABSORBED:
            self._code = exits.ABSORBED
        told = {
            'uuid': name_of(migration),
            'outcome': outcome,
            'event': parsed_args.event,
            'before': before,
            'state': migration.state,
            'status': migration.status,
            'reason': migration.state_reason,
            'database': errors.shown(self.database.engine.url),
        }
        return tuple(told), tuple(map(base.plain, told.values()))

    _code = 0

    def run(self, parsed_args: Any) -> int:
        """Process it; what was absorbed must not be taken for moved."""
        return super().run(parsed_args) or self._code
