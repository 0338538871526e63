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

"""The states of Nova's server moves: the one table that all else comes from.

What each legacy string means, who writes it and when was read off Nova 34;
the function named in an edge's sentence is Nova's. The status words are
public and stable; programs decide by the state.
"""

import enum

from nova_migration.states.table import Absorbed
from nova_migration.states.table import Edge
from nova_migration.states.table import Lengths
from nova_migration.states.table import State
from nova_migration.states.table import Table
from nova_migration.states.table import check_family

#: ``state`` is ours; ``status`` is Nova's String(255).
LENGTHS = Lengths(state=32, status=255)

#: What to do about an absorbed report that contradicts its row.
LOOK = (
    'This contradicts the row: look on both hosts which of them has the guest'
    ' and its disks.'
)


class _Word(enum.StrEnum):
    """A word that also reads as one in messages."""

    __repr__ = str.__repr__


class MigrationStatus(_Word):
    """How a move is going: public, stable, closed."""

    ACCEPTED = 'accepted'
    QUEUED = 'queued'
    PREPARING = 'preparing'
    RUNNING = 'running'
    COMPLETED = 'completed'
    CONFIRMING = 'confirming'
    CONFIRMED = 'confirmed'
    REVERTING = 'reverting'
    REVERTED = 'reverted'
    CANCELLED = 'cancelled'
    FAILED = 'failed'
    ERROR = 'error'


class MigrationState(_Word):
    """Exactly where a move is; only a machine moves it."""

    PRE_MIGRATING = 'pre-migrating'
    MIGRATING = 'migrating'
    POST_MIGRATING = 'post-migrating'
    AWAITING_CONFIRMATION = 'awaiting-confirmation'
    CONFIRMING = 'confirming'
    CONFIRMED = 'confirmed'
    REVERTING = 'reverting'
    REVERTED = 'reverted'
    ACCEPTED = 'accepted'
    QUEUED = 'queued'
    PREPARING = 'preparing'
    RUNNING = 'running'
    POSTCOPY = 'postcopy'
    REBUILDING = 'rebuilding'
    EVACUATED = 'evacuated'
    COMPLETED = 'completed'
    CANCELLED = 'cancelled'
    FAILED = 'failed'
    ERROR = 'error'


class MigrationFlag(_Word):
    """The questions that Nova's queries ask of a state.

    * ``in-progress``: the move is not over; an unconfirmed resize is not
    * ``tracked``: the resource tracker accounts for the row
    * ``listed``: ``GET /servers/{id}/migrations`` shows it
    * ``abortable``: ``DELETE /servers/{id}/migrations/{id}`` is allowed
    * ``unconfirmed``: the user has to confirm or revert
    * ``confirmable``: deleting the server completes the confirmation
    * ``doomed-source``: the source host destroys its copy when it returns
    * ``needs-source-cleanup``: the guest runs elsewhere, and the failed
      source host still has leftovers of it
    """

    IN_PROGRESS = 'in-progress'
    TRACKED = 'tracked'
    LISTED = 'listed'
    ABORTABLE = 'abortable'
    UNCONFIRMED = 'unconfirmed'
    CONFIRMABLE = 'confirmable'
    DOOMED_SOURCE = 'doomed-source'
    NEEDS_SOURCE_CLEANUP = 'needs-source-cleanup'


_S = MigrationState
_P = MigrationStatus
_F = MigrationFlag
_TRACKED = frozenset({_F.TRACKED})
_ACTIVE = frozenset({_F.IN_PROGRESS, _F.TRACKED})
_ABORTABLE = _ACTIVE | {_F.LISTED, _F.ABORTABLE}

_ERROR = State(
    name=_S.ERROR,
    status=_P.ERROR,
    legacy='error',
    flags=_TRACKED,
    meaning='A step raised; where the guest and its resources are is unknown.',
)
_ERROR_AGAIN = Absorbed(
    _S.ERROR,
    'fail',
    'Several handlers report one failure, on compute and in the conductor.',
)
# An error says that nobody knows what is true. Whoever still drives the move
# knows more, so that what he reports moves it; what users decide does not.
_GOES_ON = (
    'The resource tracker had taken the row for stale, because the instance'
    ' has the context of another move; its worker goes on.'
)
_CLEANED_UP = Edge(
    _S.ERROR,
    'clean_up',
    _S.FAILED,
    'The instance was deleted and _cleanup_incomplete_migrations removed'
    ' what was left of it.',
)

# Resize and cold migration share every path in Nova; the type says only
# whether the flavor changes.
_COLD_STATES = (
    State(
        name=_S.PRE_MIGRATING,
        status=_P.PREPARING,
        legacy='pre-migrating',
        flags=_ACTIVE,
        start=True,
        meaning='The row exists, before or after the claim on the'
        ' destination; the guest runs untouched on the source.',
    ),
    State(
        name=_S.MIGRATING,
        status=_P.RUNNING,
        legacy='migrating',
        flags=_ACTIVE,
        meaning='The source is powering the guest off and copying its disks.',
    ),
    State(
        name=_S.POST_MIGRATING,
        status=_P.RUNNING,
        legacy='post-migrating',
        flags=_ACTIVE | {_F.LISTED},
        meaning='The disks are on the destination and instance.host'
        ' switches over to it.',
    ),
    State(
        name=_S.AWAITING_CONFIRMATION,
        status=_P.COMPLETED,
        legacy='finished',
        flags=_ACTIVE | {_F.UNCONFIRMED, _F.CONFIRMABLE},
        meaning='The guest runs on the destination; the source still holds'
        ' disks, claims and allocations until the user confirms or reverts.',
    ),
    State(
        name=_S.CONFIRMING,
        status=_P.CONFIRMING,
        legacy='confirming',
        flags=_ACTIVE | {_F.CONFIRMABLE},
        meaning='A confirmation was accepted and the source is being cleaned.',
    ),
    State(
        name=_S.CONFIRMED,
        status=_P.CONFIRMED,
        legacy='confirmed',
        meaning='The disks and the claim on the source are gone; allocations'
        ' may still have to be deleted.',
    ),
    State(
        name=_S.REVERTING,
        status=_P.REVERTING,
        legacy='reverting',
        flags=_ACTIVE,
        meaning='A revert was accepted and the destination is being cleaned.',
    ),
    State(
        name=_S.REVERTED,
        status=_P.REVERTED,
        legacy='reverted',
        meaning='The destination guest and claim are gone; the source may'
        ' still be restoring the guest.',
    ),
    _ERROR,
    State(
        name=_S.FAILED,
        status=_P.FAILED,
        legacy='failed',
        terminal=True,
        meaning='The instance was deleted and its left-over files removed.',
    ),
)

_COLD_EDGES = (
    Edge(
        _S.PRE_MIGRATING,
        'claim',
        _S.PRE_MIGRATING,
        'A destination claims the move, or a reschedule uses the row again.',
    ),
    Edge(
        _S.PRE_MIGRATING,
        'migrate',
        _S.MIGRATING,
        '_resize_instance starts on the source.',
    ),
    Edge(
        _S.MIGRATING,
        'hand_over',
        _S.POST_MIGRATING,
        'migrate_disk_and_power_off returned: the disks are copied.',
    ),
    Edge(
        _S.POST_MIGRATING,
        'finish',
        _S.AWAITING_CONFIRMATION,
        '_finish_resize started the guest on the destination.',
    ),
    Edge(
        _S.AWAITING_CONFIRMATION,
        'confirm',
        _S.CONFIRMING,
        'The user confirms, or the confirm window has passed.',
    ),
    Edge(
        _S.CONFIRMING,
        'finish_confirm',
        _S.CONFIRMED,
        'drop_move_claim_at_source ran: the source is cleaned.',
    ),
    Edge(
        _S.AWAITING_CONFIRMATION,
        'finish_confirm',
        _S.CONFIRMED,
        'The server is deleted while resized, which confirms in one step.',
    ),
    Edge(
        _S.AWAITING_CONFIRMATION,
        'revert',
        _S.REVERTING,
        'The user reverts.',
    ),
    Edge(
        _S.REVERTING,
        'finish_revert',
        _S.REVERTED,
        'drop_move_claim_at_dest ran: the destination is cleaned.',
    ),
    Edge(
        _S.PRE_MIGRATING,
        'fail',
        _S.ERROR,
        'Scheduling or preparing the move failed.',
    ),
    Edge(
        _S.MIGRATING,
        'fail',
        _S.ERROR,
        'Powering off or copying raised on the source.',
    ),
    Edge(
        _S.POST_MIGRATING,
        'fail',
        _S.ERROR,
        'Handing over to, or starting on, the destination raised.',
    ),
    Edge(
        _S.AWAITING_CONFIRMATION,
        'fail',
        _S.ERROR,
        'finish_resize raised after the guest was started, or the periodic'
        ' found no resized server to confirm.',
    ),
    Edge(
        _S.CONFIRMING,
        'fail',
        _S.ERROR,
        'Cleaning the source raised.',
    ),
    Edge(
        _S.CONFIRMED,
        'fail',
        _S.ERROR,
        'confirm_resize raised after the claim was dropped, for instance on'
        ' deleting an allocation.',
    ),
    Edge(
        _S.REVERTING,
        'fail',
        _S.ERROR,
        'Cleaning the destination raised.',
    ),
    Edge(
        _S.REVERTED,
        'fail',
        _S.ERROR,
        'finish_revert_resize raised on the source: the guest may be down.',
    ),
    Edge(
        _S.ERROR,
        'claim',
        _S.PRE_MIGRATING,
        'The resource tracker had taken the row for stale before the'
        ' destination claimed it.',
    ),
    Edge(_S.ERROR, 'migrate', _S.MIGRATING, _GOES_ON),
    Edge(_S.ERROR, 'hand_over', _S.POST_MIGRATING, _GOES_ON),
    Edge(
        _S.ERROR,
        'finish',
        _S.AWAITING_CONFIRMATION,
        'It was taken for failed, and _finish_resize started the guest on the'
        ' destination after all.',
    ),
    Edge(
        _S.ERROR,
        'finish_confirm',
        _S.CONFIRMED,
        'The confirmation was taken for failed, and the source is cleaned'
        ' after all.',
    ),
    Edge(
        _S.ERROR,
        'finish_revert',
        _S.REVERTED,
        'The revert was taken for failed, and the destination is cleaned'
        ' after all.',
    ),
    _CLEANED_UP,
)

_DELETED = (
    '_cleanup_incomplete_migrations had read the row while it was an error;'
    ' the instance is deleted.'
)

_COLD_ABSORBED = (
    Absorbed(_S.CONFIRMED, 'clean_up', _DELETED),
    Absorbed(_S.REVERTED, 'clean_up', _DELETED),
    Absorbed(
        _S.FAILED,
        'finish_confirm',
        'The instance was deleted and its files removed while the'
        ' confirmation went on.',
    ),
    Absorbed(
        _S.FAILED,
        'finish_revert',
        'The instance was deleted and its files removed while the revert'
        ' went on.',
    ),
    Absorbed(
        _S.FAILED,
        'fail',
        'A handler reports the failure after the instance was deleted and'
        ' its files removed.',
    ),
    _ERROR_AGAIN,
)

# A cross-cell move has a row in each of two cells; their lives differ.
_CROSS_CELL_EDGES = (
    Edge(
        _S.PRE_MIGRATING,
        'finish',
        _S.AWAITING_CONFIRMATION,
        'The row of the target cell: the source is worked on meanwhile.',
    ),
    Edge(
        _S.POST_MIGRATING,
        'finish_confirm',
        _S.CONFIRMED,
        'The row of the source cell: the confirmation was in the target cell.',
    ),
    Edge(
        _S.POST_MIGRATING,
        'revert',
        _S.REVERTING,
        'The row of the source cell: the revert was in the target cell.',
    ),
)

_LIVE_STATES = (
    State(
        name=_S.ACCEPTED,
        status=_P.ACCEPTED,
        legacy='accepted',
        # 12.0.x wrote pre-migrating where later releases write accepted.
        aliases=('pre-migrating',),
        flags=_ACTIVE,
        start=True,
        meaning='The conductor made the row and looks for a destination; the'
        ' guest runs on the source.',
    ),
    State(
        name=_S.QUEUED,
        status=_P.QUEUED,
        legacy='queued',
        flags=_ABORTABLE,
        meaning='The source has the request and waits for a free slot.',
    ),
    State(
        name=_S.PREPARING,
        status=_P.PREPARING,
        legacy='preparing',
        flags=_ABORTABLE,
        meaning='The destination connects volumes and plugs interfaces.',
    ),
    State(
        name=_S.RUNNING,
        status=_P.RUNNING,
        legacy='running',
        flags=_ABORTABLE,
        meaning='The hypervisor copies; the row stays here until the source'
        ' is cleaned, so at the end the guest may already run on the'
        ' destination.',
    ),
    State(
        name=_S.POSTCOPY,
        status=_P.RUNNING,
        legacy='running (post-copy)',
        flags=_ACTIVE,
        meaning='The guest runs on the destination and pulls its pages from'
        ' the source: it cannot be aborted.',
    ),
    State(
        name=_S.COMPLETED,
        status=_P.COMPLETED,
        legacy='completed',
        # A later rebuild picks up a stale accepted row of any type and ends
        # it as done; no reader of done looks at live migrations.
        aliases=('done',),
        terminal=True,
        meaning='The guest runs on the destination and the source is clean.',
    ),
    State(
        name=_S.CANCELLED,
        status=_P.CANCELLED,
        legacy='cancelled',
        terminal=True,
        meaning='Aborted: the guest runs on the source.',
    ),
    State(
        name=_S.FAILED,
        status=_P.FAILED,
        legacy='failed',
        terminal=True,
        meaning='Rolled back: the guest runs on the source.',
    ),
    _ERROR,
)

_LIVE_EDGES = (
    Edge(
        _S.ACCEPTED,
        'queue',
        _S.QUEUED,
        'live_migration reached the source compute.',
    ),
    Edge(
        _S.QUEUED,
        'prepare',
        _S.PREPARING,
        'A worker took it and calls pre_live_migration.',
    ),
    Edge(
        _S.PREPARING,
        'run',
        _S.RUNNING,
        'The destination is prepared; the driver starts.',
    ),
    Edge(
        _S.RUNNING,
        'switch_to_postcopy',
        _S.POSTCOPY,
        'trigger_postcopy_switch moved execution to the destination.',
    ),
    Edge(
        _S.RUNNING,
        'complete',
        _S.COMPLETED,
        '_post_live_migration cleaned the source.',
    ),
    Edge(
        _S.POSTCOPY,
        'complete',
        _S.COMPLETED,
        '_post_live_migration cleaned the source.',
    ),
    Edge(
        _S.ACCEPTED,
        'finish_rebuild',
        _S.COMPLETED,
        'A later rebuild_instance took this stale row for its own.',
    ),
    Edge(
        _S.QUEUED,
        'cancel',
        _S.CANCELLED,
        'Aborted while it waited, or the compute service stops.',
    ),
    Edge(
        _S.PREPARING,
        'cancel',
        _S.CANCELLED,
        'Aborted while the destination prepared.',
    ),
    Edge(
        _S.RUNNING,
        'cancel',
        _S.CANCELLED,
        'The driver aborted the job and rolled back.',
    ),
    Edge(
        _S.POSTCOPY,
        'cancel',
        _S.CANCELLED,
        'The driver found the job cancelled and rolled back.',
    ),
    Edge(
        _S.ACCEPTED,
        'roll_back',
        _S.FAILED,
        'No destination within the retries; nothing was moved.',
    ),
    Edge(
        _S.RUNNING,
        'roll_back',
        _S.FAILED,
        'The driver failed and _rollback_live_migration finished.',
    ),
    Edge(
        _S.POSTCOPY,
        'roll_back',
        _S.FAILED,
        'The driver failed and _rollback_live_migration finished.',
    ),
    Edge(
        _S.ERROR,
        'roll_back',
        _S.FAILED,
        '_rollback_live_migration finished after pre_live_migration failed.',
    ),
    Edge(_S.ERROR, 'queue', _S.QUEUED, _GOES_ON),
    Edge(_S.ERROR, 'prepare', _S.PREPARING, _GOES_ON),
    Edge(_S.ERROR, 'run', _S.RUNNING, _GOES_ON),
    Edge(
        _S.ERROR,
        'switch_to_postcopy',
        _S.POSTCOPY,
        'The resource tracker had taken the row for stale; the guest runs on'
        ' the destination already.',
    ),
    Edge(
        _S.ERROR,
        'complete',
        _S.COMPLETED,
        'It was taken for failed, and _post_live_migration cleaned the source'
        ' after all.',
    ),
    Edge(
        _S.ERROR,
        'cancel',
        _S.CANCELLED,
        'The resource tracker had taken the row for stale; the abort was'
        ' carried out.',
    ),
    Edge(
        _S.ACCEPTED,
        'fail',
        _S.ERROR,
        'The conductor could not schedule or start it.',
    ),
    Edge(
        _S.QUEUED,
        'fail',
        _S.ERROR,
        'The pool was shut down before it was submitted.',
    ),
    Edge(
        _S.PREPARING,
        'fail',
        _S.ERROR,
        'pre_live_migration failed on the destination.',
    ),
    Edge(
        _S.RUNNING,
        'fail',
        _S.ERROR,
        'The driver or the steps after it raised, or the service restarted.',
    ),
    Edge(
        _S.POSTCOPY,
        'fail',
        _S.ERROR,
        'The driver or the steps after it raised.',
    ),
    _CLEANED_UP,
)

_ARRIVED = (
    'A roll-back reports of a guest that had arrived, the source being clean.'
)

_LIVE_ABSORBED = (
    Absorbed(
        _S.CANCELLED,
        'fail',
        'The libvirt driver raises once more after the cancelled job has'
        ' been rolled back.',
    ),
    Absorbed(
        _S.FAILED,
        'fail',
        'The driver, or the conductor after its last retry, raises once more'
        ' although the guest is back on the source.',
    ),
    Absorbed(
        _S.COMPLETED,
        'fail',
        'Deleting the allocation, or the driver, raised after the guest had'
        ' arrived and the source was clean.',
    ),
    Absorbed(
        _S.CANCELLED,
        'roll_back',
        'The roll-back of an aborted move reports; the cancel came first.',
    ),
    Absorbed(
        _S.FAILED,
        'cancel',
        'The abort reports after the failure had been rolled back.',
    ),
    Absorbed(_S.COMPLETED, 'cancel', _ARRIVED, contradicts=True),
    Absorbed(_S.COMPLETED, 'roll_back', _ARRIVED, contradicts=True),
    Absorbed(
        _S.CANCELLED,
        'complete',
        '_post_live_migration reports of a move that was cancelled; it still'
        ' has to delete the allocation of the source.',
        contradicts=True,
    ),
    Absorbed(
        _S.FAILED,
        'complete',
        '_post_live_migration reports of a move that was rolled back; it'
        ' still has to delete the allocation of the source.',
        contradicts=True,
    ),
    _ERROR_AGAIN,
)

_EVACUATION_STATES = (
    State(
        name=_S.ACCEPTED,
        status=_P.ACCEPTED,
        legacy='accepted',
        flags=_ACTIVE | {_F.DOOMED_SOURCE},
        start=True,
        meaning='The API accepted it; the source host is down.',
    ),
    State(
        name=_S.REBUILDING,
        status=_P.RUNNING,
        legacy='pre-migrating',
        flags=_ACTIVE | {_F.DOOMED_SOURCE},
        meaning='The destination is claimed and rebuilds the guest.',
    ),
    State(
        name=_S.EVACUATED,
        status=_P.COMPLETED,
        legacy='done',
        flags=frozenset({_F.DOOMED_SOURCE, _F.NEEDS_SOURCE_CLEANUP}),
        meaning='The guest runs on the destination; the failed source host'
        ' still has leftovers to destroy when it comes back.',
    ),
    State(
        name=_S.COMPLETED,
        status=_P.COMPLETED,
        legacy='completed',
        terminal=True,
        meaning='The source host came back and destroyed its leftovers:'
        ' nothing is left to do.',
    ),
    State(
        name=_S.FAILED,
        status=_P.FAILED,
        legacy='failed',
        terminal=True,
        meaning='The rebuild failed; the instance still belongs to the'
        ' source.',
    ),
    _ERROR,
)

_EVACUATION_EDGES = (
    Edge(
        _S.ACCEPTED,
        'rebuild',
        _S.REBUILDING,
        'The destination claimed the row and starts the rebuild.',
    ),
    Edge(
        _S.REBUILDING,
        'finish',
        _S.EVACUATED,
        'finish_evacuation moved instance.host to the destination.',
    ),
    Edge(
        _S.EVACUATED,
        'complete',
        _S.COMPLETED,
        'The source host restarted and destroyed its leftovers.',
    ),
    Edge(
        _S.ACCEPTED,
        'complete',
        _S.COMPLETED,
        'The source host restarted before a destination claimed the row.',
    ),
    Edge(
        _S.REBUILDING,
        'complete',
        _S.COMPLETED,
        'The source host restarted during the rebuild.',
    ),
    # finish_evacuation says done, from which on the source host destroys its
    # guest. A real evacuation was claimed before, so the guest is the one
    # that has just been rebuilt there.
    Edge(
        _S.ACCEPTED,
        'finish_rebuild',
        _S.FAILED,
        'A rebuild in place took this stale row for its own: nothing was'
        ' evacuated.',
        said=_S.EVACUATED,
    ),
    Edge(
        _S.ACCEPTED,
        'roll_back',
        _S.FAILED,
        'The destination refused the claim.',
    ),
    Edge(
        _S.REBUILDING,
        'roll_back',
        _S.FAILED,
        'The rebuild failed on the destination.',
    ),
    Edge(
        _S.ACCEPTED,
        'fail',
        _S.ERROR,
        'The conductor could not schedule or allocate it.',
    ),
    Edge(
        _S.REBUILDING,
        'fail',
        _S.ERROR,
        'The resource tracker found the row stale.',
    ),
    Edge(
        _S.ERROR,
        'rebuild',
        _S.REBUILDING,
        'The evacuation was taken for failed, and the destination claimed the'
        ' row after all.',
    ),
    Edge(
        _S.ERROR,
        'finish',
        _S.EVACUATED,
        'The evacuation was taken for failed, and the rebuild finished after'
        ' all.',
    ),
    Edge(
        _S.ERROR,
        'complete',
        _S.COMPLETED,
        'The source host had read the row before the evacuation was taken for'
        ' failed, and destroyed its leftovers.',
    ),
    Edge(
        _S.ERROR,
        'roll_back',
        _S.FAILED,
        'The resource tracker had taken the row for stale, and the rebuild'
        ' failed.',
    ),
    _CLEANED_UP,
)

_EVACUATION_ABSORBED = (
    Absorbed(
        _S.COMPLETED,
        'finish',
        'The source host came back and cleaned up before the destination'
        ' reported that the rebuild was done.',
    ),
    Absorbed(
        _S.COMPLETED,
        'rebuild',
        'The source host came back and cleaned up before the destination'
        ' claimed the row; the rebuild goes on.',
    ),
    Absorbed(
        _S.EVACUATED,
        'fail',
        'The resource tracker had read the row before the rebuild was done.',
    ),
    Absorbed(
        _S.EVACUATED,
        'roll_back',
        'A handler says that the rebuild failed which was done.',
        contradicts=True,
    ),
    Absorbed(
        _S.COMPLETED,
        'fail',
        'The evacuation failed after the source host had destroyed its copy.',
        contradicts=True,
    ),
    Absorbed(
        _S.COMPLETED,
        'roll_back',
        'The rebuild failed after the source host had destroyed its copy.',
        contradicts=True,
    ),
    Absorbed(
        _S.FAILED,
        'fail',
        'The resource tracker had read the row before the rebuild failed.',
    ),
    Absorbed(
        _S.FAILED,
        'complete',
        'The source host destroyed its copy of a guest whose rebuild failed'
        ' meanwhile; an error would keep the service from starting.',
        contradicts=True,
    ),
    _ERROR_AGAIN,
)

RESIZE = Table(
    name='resize',
    title='Resize',
    states=_COLD_STATES,
    edges=_COLD_EDGES,
    absorbed=_COLD_ABSORBED,
    lengths=LENGTHS,
)
MIGRATION = Table(
    name='migration',
    title='Cold migration',
    states=_COLD_STATES,
    edges=_COLD_EDGES,
    absorbed=_COLD_ABSORBED,
    lengths=LENGTHS,
)
CROSS_CELL = Table(
    name='cross-cell',
    title='Cross-cell resize and cold migration',
    states=_COLD_STATES,
    edges=_COLD_EDGES + _CROSS_CELL_EDGES,
    absorbed=_COLD_ABSORBED,
    lengths=LENGTHS,
)
LIVE_MIGRATION = Table(
    name='live-migration',
    title='Live migration',
    states=_LIVE_STATES,
    edges=_LIVE_EDGES,
    absorbed=_LIVE_ABSORBED,
    lengths=LENGTHS,
)
EVACUATION = Table(
    name='evacuation',
    title='Evacuation',
    states=_EVACUATION_STATES,
    edges=_EVACUATION_EDGES,
    absorbed=_EVACUATION_ABSORBED,
    lengths=LENGTHS,
)

#: The machines named after a migration_type, and the cross-cell variant.
TYPES = (MIGRATION, RESIZE, LIVE_MIGRATION, EVACUATION)
TABLES = (*TYPES, CROSS_CELL)

check_family(TABLES)
