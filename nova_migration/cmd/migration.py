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
from typing import Any

from cliff import lister
from cliff import show
from oslo_utils import timeutils
from oslo_utils import uuidutils

from nova_migration import context
from nova_migration import objects
from nova_migration.cmd import base
from nova_migration.cmd import db
from nova_migration.db import engine
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag

Shown = tuple[tuple[str, ...], tuple[Any, ...]]

#: What `migration show` leaves out, because it says something of its own.
_DERIVED = ('status', 'legacy_status')


def since(migration: objects.Migration) -> str:
    """Return when a migration came into its state, as far as is known."""
    known = (
        migration.state_changed_at
        or migration.updated_at
        or migration.created_at
    )
    return base.plain(known) or ''


def name_of(migration: objects.Migration) -> str:
    """Return the uuid; rows from before Nova 17 may have only an id."""
    has_uuid = migration.obj_attr_is_set('uuid')
    return str(migration.uuid if has_uuid else migration.id)


def describe(migration: objects.Migration, **first: Any) -> Shown:
    """Return every field of a migration, and what it may do next."""
    told = {
        **first,
        'status': migration.status,
        'legacy_status': migration.get_legacy_status(),
        **{
            field: getattr(migration, field)
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


class _OnMigrations(base.DatabaseCommand):
    def find(self, name: str) -> objects.Migration:
        """Return the migration of a uuid or an id."""
        engine.require_expanded(self.database.engine)
        is_id = name.isdecimal() and len(name) <= len(str(db.MOST))
        if uuidutils.is_uuid_like(name) or not is_id:
            return objects.Migration.get_by_uuid(self.context, name)
        return objects.Migration.get_by_id(self.context, int(name))


class List(_OnMigrations, lister.Lister):
    """List migrations, newest first."""

    EXAMPLES = """
examples:
  nova-migration-manage migration list --in-progress
  nova-migration-manage migration list --stuck 3600 -f json
  nova-migration-manage migration list --status 'odd string'
"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's own options."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--type',
            metavar='T',
            choices=MIGRATION_TYPES,
            help=f'one of {", ".join(MIGRATION_TYPES)}',
        )
        parser.add_argument('--state', metavar='S', help='in this state')
        parser.add_argument(
            '--status',
            type=base.utf8,
            metavar='STRING',
            help="with this string of Nova's, known or not",
        )
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
            help='whose status a program that does not know of states wrote'
            ' over',
        )
        parser.add_argument(
            '--deleted', action='store_true', help='soft-deleted ones too'
        )
        parser.add_argument(
            '--limit', type=db.positive, metavar='N', help='N at the most'
        )
        return parser

    def take_action(
        self, parsed_args: Any
    ) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
        """Return a row for each migration."""
        engine.require_expanded(self.database.engine)
        seen = 'yes' if parsed_args.deleted else 'no'
        found = objects.MigrationList.get_by_filters(
            context.get_admin_context(self.database, read_deleted=seen),
            filters_of(parsed_args),
            sort_keys=['id'],
            sort_dirs=['desc'],
            limit=parsed_args.limit,
        )
        columns = (
            'Migration',
            'Type',
            'Status',
            'State',
            'Since',
            'Source',
            'Destination',
            'Reason',
        )
        return columns, (_row(migration) for migration in found)


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


def stuck_filters(seconds: int) -> dict[str, Any]:
    """Return the filters for what does not get on, and should."""
    before = timeutils.utcnow() - datetime.timedelta(seconds=seconds)
    return {
        'flag': MigrationFlag.IN_PROGRESS,
        'not-flag': MigrationFlag.UNCONFIRMED,
        'unchanged-since': before,
    }


def _row(migration: objects.Migration) -> tuple[Any, ...]:
    told = (
        name_of(migration),
        migration.migration_type,
        migration.legacy_status or migration.status,
        migration.state,
        since(migration),
        migration.source_compute,
        migration.dest_compute,
        migration.state_reason,
    )
    return tuple(map(base.plain, told))


class Show(_OnMigrations, show.ShowOne):
    """Show a migration, and which events lead on from where it is."""

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


class ProcessEvent(_OnMigrations, show.ShowOne):
    """Move a migration along an edge: the guarded way out of a stuck state.

    Only the row is moved: what the move means for the guest, its disks and
    its allocations has to be done, or made sure of, beforehand. See the
    admin guide, and `migration show` for the events that are allowed.
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
        parser.add_argument('event', metavar='EVENT', help='such as fail')
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
        migration = self.find(parsed_args.migration)
        result = migration.process_event(
            parsed_args.event, reason=parsed_args.reason
        )
        return describe(migration, result=result)
