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

"""The call sites of the page on porting, which a test runs."""

from nova import exception

from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState


def unported(migration):
    """Write as Nova does."""
    # assigning
    migration.status = 'post-migrating'
    migration.dest_compute = 'host2'
    migration.save()
    # end


def ported(migration):
    """Write by saying what happens."""
    # happening
    migration.dest_compute = 'host2'
    migration.process_event('hand_over')
    # end


def refused(migration, log):
    """Meet a row that is somewhere else."""
    # refusing
    try:
        migration.process_event('revert')
    except exception.InstanceInvalidState as error:
        log(f'Not reverted: {error.format_message()}')
    # end


def deciding(migration):
    """Decide by where the move is."""
    # deciding
    waits = migration.state == MigrationState.AWAITING_CONFIRMATION
    holds_resources = migration.has_flag(MigrationFlag.TRACKED)
    may_revert = 'revert' in migration.allowed_events
    # end
    return waits, holds_resources, may_revert
