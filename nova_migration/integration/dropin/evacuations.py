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

"""More than one evacuation of a server: which is meant, and which is over.

The conductor is told of a server, not of a migration, and takes any row that
is accepted; where the message of an earlier evacuation was lost, that may be
the earlier row. The source host that returns takes one row of each server,
and would leave the others, for which it destroys the guest again when it is
restarted, although that may have come back to it since.
"""

from collections.abc import Mapping
import functools
from typing import Any

from nova import exception
from nova.db.main import api
from nova.db.main import models as nova_models
import sqlalchemy as sa

from nova_migration.db import clauses
from nova_migration.db import models
from nova_migration.integration.dropin import judge
from nova_migration.states import MACHINES
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState
from nova_migration.states.migration import EVACUATION

_T = models.MIGRATIONS
_KIND = EVACUATION.name
_MACHINE = MACHINES[_KIND]
_START = _MACHINE.table.start.name

_NAME = 'migration_get_by_instance_and_status'


def install() -> None:
    """Find the newest row of a server; doing so twice does no harm."""
    current = getattr(api, _NAME)
    if not hasattr(current, 'nova_migration_replaces'):
        found = functools.wraps(current)(_newest)
        vars(found)['nova_migration_replaces'] = current
        setattr(api, _NAME, found)


@api.pick_context_manager_reader  # type: ignore[untyped-decorator]
def _newest(context: Any, instance_uuid: str, status: str) -> Any:
    """Return the row that was created last, which is what callers mean."""
    query = api.model_query(context, nova_models.Migration, read_deleted='yes')
    # All of them, because a limit has some servers read the table backwards.
    found = query.filter_by(instance_uuid=instance_uuid, status=status).all()
    if not found:
        raise exception.MigrationNotFoundByStatus(
            instance_id=instance_uuid, status=status
        )
    return max(found, key=lambda migration: migration.id)


def superseded_by(session: Any, row: Mapping[str, Any]) -> list[int]:
    """Return the evacuations that a new one is in the place of.

    Those which nobody has claimed, wherever they were to come from: nothing
    has been done for them. One that was claimed may be rebuilding still; it
    stays, until its worker or the source host says what became of it.

    :param row: the new one, by column
    """
    if judge.kind_of(row)[0] != _KIND:
        return []
    unclaimed = clauses.in_states(_T, {_KIND: [_START]})
    return _ids(session, row, unclaimed)


def cleaned_up_with(session: Any, row: Mapping[str, Any]) -> list[int]:
    """Return the evacuations that are over because one of them is.

    The source host has destroyed its copy, which is true of all of them.

    :param row: the one that the source host completes, by column
    """
    if judge.kind_of(row)[0] != _KIND:
        return []
    doomed = clauses.has_flag(_T, MigrationFlag.DOOMED_SOURCE)
    is_same = _T.c.source_compute == row['source_compute']
    return _ids(session, row, doomed, is_same)


def _ids(session: Any, row: Mapping[str, Any], *conditions: Any) -> list[int]:
    """Return the other rows of a server, in the order they are locked in."""
    if row.get('instance_uuid') is None:
        return []
    query = sa.select(_T.c.id).where(
        _T.c.deleted == 0,
        _T.c.instance_uuid == row['instance_uuid'],
        _T.c.id != row['id'],
        *conditions,
    )
    return list(session.execute(query.order_by(_T.c.id)).scalars())


def is_unclaimed(row: judge.Row) -> bool:
    """Return whether nobody has claimed an evacuation."""
    return row.machine is _MACHINE and row.state == _START


def is_doomed(row: judge.Row) -> bool:
    """Return whether the source host is to destroy its copy."""
    if row.machine is not _MACHINE or row.state is None:
        return False
    return MigrationFlag.DOOMED_SOURCE in row.machine.state(row.state).flags


def is_completion(row: judge.Row, verdict: judge.Verdict) -> bool:
    """Return whether the source host says that it has destroyed its copy."""
    target = verdict.target
    return (
        row.machine is _MACHINE
        and target is not None
        and target.name == MigrationState.COMPLETED
    )
