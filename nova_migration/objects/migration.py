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

"""The Migration object: Nova's, with an enumerated status and a state."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import MutableMapping
from collections.abc import Sequence
import datetime
import enum
import functools
import reprlib
import types
from typing import Any
from typing import Self

from oslo_log import log as logging
from oslo_utils import timeutils
from oslo_utils import uuidutils
from oslo_utils import versionutils
from oslo_versionedobjects import base as ovo_base
from oslo_versionedobjects import fields as ovo_fields

from nova_migration import exception
from nova_migration.conf import opts
from nova_migration.db import api
from nova_migration.db import forgiving
from nova_migration.db import guard
from nova_migration.db import models
from nova_migration.objects import base
from nova_migration.objects import fields
from nova_migration.states import LOOK
from nova_migration.states import Absorbed
from nova_migration.states import Edge
from nova_migration.states import Machine
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState
from nova_migration.states import MigrationStatus
from nova_migration.states import Outcome
from nova_migration.states import State
from nova_migration.states import determine_migration_type
from nova_migration.states import machine_for
from nova_migration.states import reading
from nova_migration.states import words

LOG = logging.getLogger(__name__)

#: The version from which on status is enumerated and there is a state.
STATE_VERSION = (1, 9)

#: Which fields a version added, to be left out for older ones.
_ADDED = {
    (1, 2): ('migration_type', 'hidden'),
    (1, 4): (
        'memory_total',
        'memory_processed',
        'memory_remaining',
        'disk_total',
        'disk_processed',
        'disk_remaining',
    ),
    (1, 5): ('uuid',),
    (1, 6): ('cross_cell_move',),
    (1, 7): ('user_id', 'project_id'),
    (1, 8): ('dest_compute_id',),
    STATE_VERSION: (
        'state',
        'state_reason',
        'state_changed_at',
        'legacy_status',
    ),
}


_NONE_ODD: Mapping[str, str] = types.MappingProxyType({})


class Result(enum.StrEnum):
    """What became of a request to move; the third outcome is an exception."""

    MOVED = 'moved'
    ABSORBED = 'absorbed'


@ovo_base.VersionedObjectRegistry.register
class Migration(base.MigrationObject):
    """A server's move from host to host, driven by its type's machine."""

    # Version 1.0: Initial version
    # Version 1.1: String attributes updated to support unicode
    # Version 1.2: Added migration_type and hidden
    # Version 1.3: Added get_by_id_and_instance()
    # Version 1.4: Added migration progress detail
    # Version 1.5: Added uuid
    # Version 1.6: Added cross_cell_move and get_by_uuid()
    # Version 1.7: Added user_id and project_id
    # Version 1.8: Added dest_compute_id
    # Version 1.9: Enumerated status; added state, state_reason,
    #              state_changed_at, legacy_status, process_event() and
    #              report_legacy_status()
    VERSION = '1.9'

    # In quotes: before oslo.versionedobjects 3.10 a field takes no type.
    fields: 'MutableMapping[str, ovo_fields.Field[Any]]' = {
        'created_at': ovo_fields.DateTimeField(nullable=True),
        'updated_at': ovo_fields.DateTimeField(nullable=True),
        'deleted_at': ovo_fields.DateTimeField(nullable=True),
        'deleted': ovo_fields.BooleanField(default=False),
        'id': ovo_fields.IntegerField(),
        'uuid': ovo_fields.UUIDField(),
        'source_compute': ovo_fields.StringField(nullable=True),
        'dest_compute': ovo_fields.StringField(nullable=True),
        'source_node': ovo_fields.StringField(nullable=True),
        'dest_node': ovo_fields.StringField(nullable=True),
        'dest_compute_id': ovo_fields.IntegerField(nullable=True),
        'dest_host': ovo_fields.StringField(nullable=True),
        'old_instance_type_id': ovo_fields.IntegerField(nullable=True),
        'new_instance_type_id': ovo_fields.IntegerField(nullable=True),
        'instance_uuid': ovo_fields.StringField(nullable=True),
        # None for a string that the type's machine does not know.
        'status': fields.MigrationStatusField(nullable=True),
        'migration_type': fields.MigrationTypeField(nullable=False),
        'hidden': ovo_fields.BooleanField(nullable=False, default=False),
        'memory_total': ovo_fields.IntegerField(nullable=True),
        'memory_processed': ovo_fields.IntegerField(nullable=True),
        'memory_remaining': ovo_fields.IntegerField(nullable=True),
        'disk_total': ovo_fields.IntegerField(nullable=True),
        'disk_processed': ovo_fields.IntegerField(nullable=True),
        'disk_remaining': ovo_fields.IntegerField(nullable=True),
        'cross_cell_move': ovo_fields.BooleanField(default=False),
        'user_id': ovo_fields.StringField(nullable=True),
        'project_id': ovo_fields.StringField(nullable=True),
        'state': fields.MigrationStateField(nullable=True),
        'state_reason': fields.GuardedStringField(nullable=True),
        'state_changed_at': fields.GuardedDateTimeField(nullable=True),
        # The string of Nova's that the state would not give back.
        'legacy_status': fields.GuardedStringField(nullable=True),
    }

    #: Whether it came from a service that has Nova's strings only.
    speaks_legacy = False

    #: What the row holds that its field does not take, such as a zero date or
    #: a state that nobody knows: by the field's name. It is shown, never sent.
    odd: Mapping[str, str] = _NONE_ODD

    #: What an older service wants to be written, by save().
    _reported_status: str | None = None

    # -- where it is ------------------------------------------------------

    @property
    def machine(self) -> Machine:
        """The machine that drives this move."""
        return machine_for(self.migration_type, self.cross_cell_move)

    def has_flag(self, flag: MigrationFlag) -> bool:
        """Return whether a question of Nova's has the answer yes."""
        if self.state is None:
            return False
        return flag in self.machine.state(self.state).flags

    @property
    def is_in_progress(self) -> bool:
        """Whether the move is not over; an unconfirmed resize is not."""
        return self.has_flag(MigrationFlag.IN_PROGRESS)

    @property
    def allowed_events(self) -> tuple[str, ...]:
        """The events that lead on from here."""
        return self.machine.events_from(self.state) if self.state else ()

    @property
    def is_live_migration(self) -> bool:
        """Whether a hypervisor moves the running guest."""
        return bool(self.migration_type == 'live-migration')

    @property
    def is_resize(self) -> bool:
        """Whether the flavor changes."""
        return bool(self.migration_type == 'resize')

    @property
    def is_same_host_resize(self) -> bool:
        """Whether the flavor changes and the node does not."""
        return self.is_resize and bool(self.source_node == self.dest_node)

    def get_legacy_status(self) -> str | None:
        """Return the string that Nova 34 and older have for this row."""
        found = reading.Reading(self.status, self.state, self.legacy_status)
        return reading.spelled(
            self.migration_type, self.cross_cell_move, found
        )

    # -- moving -----------------------------------------------------------

    @base.sets_state
    @base.remotable
    def process_event(self, event: str, reason: str | None = None) -> str:
        """Move along the edge of an event: one UPDATE, no SELECT.

        Fields that were assigned meanwhile stay to be saved.

        :param event: a verb of the type's machine, such as ``complete``
        :param reason: why; kept behind the reasons there are
        :returns: ``moved``; or ``absorbed`` for a late report, which changes
            nothing but the reasons
        :raises InvalidTransition: the machine has no such step; the object
            and the row are as before
        :raises TransitionConflict: somebody else moved the row first
        :raises MigrationNotFound: the row is gone
        :raises OutcomeUnknown: the connection was lost while the move was
            committed, and the row does not tell what became of it
        :raises DatabaseUnavailable: nothing was written
        :raises UnknownStatus: nobody knows where the row is
        :raises UnknownWord: the machine has no such event
        """
        machine, state = self._position()
        ask = functools.partial(machine.decide, event=event)
        return self._carry_out(machine, state, ask, event, reason)

    @base.sets_state
    @base.remotable
    def report_legacy_status(
        self, status: str, reason: str | None = None
    ) -> str:
        """Move as a program that was not ported says: by Nova's string.

        :param status: such as ``finished``
        :returns: as :meth:`process_event`, and it raises the same
        """
        machine, state = self._position()
        target = machine.state_of_legacy(status)
        ask = functools.partial(machine.report, target=target.name)
        said = f'report of {status}'
        return self._carry_out(machine, state, ask, said, reason)

    def _position(self) -> tuple[Machine, str]:
        if not self.obj_attr_is_set('id'):
            raise exception.ObjectActionError(
                action='move', reason='the migration has not been created'
            )
        if self.state is None:
            raise exception.UnknownStatus(
                migration_id=self.id,
                status=self.legacy_status,
                migration_type=self.migration_type,
            )
        return self.machine, str(self.state)

    def _carry_out(
        self,
        machine: Machine,
        state: str,
        ask: Callable[[str], Outcome],
        event: str,
        reason: str | None,
    ) -> str:
        """Do what the machine answers for a state.

        A report that lost a race may be nothing but late where the row is
        now; so the machine is asked again before that is a conflict.
        """
        outcome = ask(state)
        reason = _storable(reason)
        try:
            if isinstance(outcome, Edge):
                return self._move(machine, outcome, reason)
            if isinstance(outcome, Absorbed):
                return self._absorb(outcome, reason)
        except exception.TransitionConflict as conflict:
            return self._absorb(self._late(conflict, ask), reason)
        raise exception.InvalidTransition(
            migration_id=self.id,
            state=str(self.state),
            event=event,
            machine=machine.name,
            allowed=', '.join(self.allowed_events) or 'nothing',
        )

    def _move(self, machine: Machine, edge: Edge, reason: str | None) -> str:
        database = base.database_of(self._context)
        now = guard.move(database, self.id, machine, edge, reason)
        target = machine.state(edge.target)
        self._obj_state = MigrationState(target.name)
        self._obj_status = MigrationStatus(target.status)
        self._obj_legacy_status = None
        self._obj_state_changed_at = self._obj_updated_at = _aware(now)
        if reason is not None:
            self._keep_reason(reason)
        return Result.MOVED.value

    def _late(
        self,
        conflict: exception.TransitionConflict,
        ask: Callable[[str], Outcome],
    ) -> Absorbed:
        """Return why a report that lost a race is nothing but late.

        :raises TransitionConflict: because it is not
        """
        if conflict.actual in self.machine.states:
            outcome = ask(conflict.actual)
            if isinstance(outcome, Absorbed):
                self._follow()
                return outcome
        raise conflict

    def _follow(self) -> None:
        """Take the row's position; fields to be saved stay as they are."""
        database = base.database_of(self._context)
        newest = api.get_committed(database, self.id)
        row = type(self)(self._context)._load(newest)
        for name in _POSITION:
            self.__dict__[_ATTRIBUTES[name]] = getattr(row, name)

    def _absorb(self, pair: Absorbed, reason: str | None) -> str:
        said = f'late {pair.event}: {reason or pair.why}'
        level, told = logging.INFO, said
        if pair.contradicts:
            level = logging.WARNING
            told = f'late {pair.event}: {pair.why} {LOOK}'
        LOG.log(
            level,
            'Migration %(id)s stays %(state)s: %(told)s',
            {'id': self.id, 'state': pair.state, 'told': told},
        )
        database = base.database_of(self._context)
        guard.absorb(database, self.id, self.machine, pair, said)
        self._keep_reason(said)
        return Result.ABSORBED.value

    def _keep_reason(self, reason: str) -> None:
        earlier: str | None = self.state_reason
        if earlier is None or reason not in earlier:
            self._obj_state_reason = guard.with_reason(earlier, reason)

    # -- the row ----------------------------------------------------------

    def _load(self, row: Sequence[Any]) -> Self:
        """Take the values of a row, which has the model's columns in order.

        They come from our own tables, so they are not coerced one by one:
        that is what a list of thousands would spend its time on.
        """
        values = dict(zip(_COLUMNS, row, strict=True))
        self._set_aside(values)
        for name in _TIMES:
            values[name] = _aware(values[name])
        for name in _BOOLEANS:
            values[name] = bool(values[name])
        if values['migration_type'] is None:
            values['migration_type'] = determine_migration_type(
                values['old_instance_type_id'], values['new_instance_type_id']
            )
        found = _read(values)
        if found['state'] is None and values['state'] is not None:
            self.odd = {**self.odd, **{n: values[n] for n in _CANONICAL}}
        values.update(found)
        if values['uuid'] is None:
            del values['uuid']
        self.__dict__.update(
            (_ATTRIBUTES[name], value) for name, value in values.items()
        )
        self.obj_reset_changes()
        return self

    def _set_aside(self, values: dict[str, Any]) -> None:
        """Keep apart what no field takes; the field is as if it was empty."""
        self.odd = _NONE_ODD
        if forgiving.Odd not in map(type, values.values()):
            return
        self.odd = {
            name: value
            for name, value in values.items()
            if type(value) is forgiving.Odd
        }
        values.update((n, None) for n in self.odd if n not in _BOOLEANS)

    @base.sets_state
    @base.remotable
    def create(self) -> None:
        """Insert the row, in the start state of its type's machine.

        :raises ObjectActionError: it is there already, or its type or the
            destination's id is missing
        """
        self._complete_for_create()
        database = base.database_of(self._context)
        values = self.obj_get_changes()
        first = self._first_state()
        values['state_changed_at'] = timeutils.utcnow()
        if database.status_format == opts.StatusFormat.CANONICAL:
            values.update(status=first.status, state=first.name)
        else:
            values.update(status=first.legacy)
        self._load(api.create(database, values))

    def _first_state(self) -> State:
        """Return the start state, or where an older service begins.

        An evacuation for which the conductor found no row is created when
        the rebuild has begun (``_create_migration`` in Nova's resource
        tracker).
        """
        reported, self._reported_status = self._reported_status, None
        if reported is None:
            return self.machine.table.start
        return self.machine.state_of_legacy(reported)

    def _complete_for_create(self) -> None:
        if self.obj_attr_is_set('id'):
            raise _cannot_create('already created')
        if not self.obj_attr_is_set('migration_type'):
            raise _cannot_create('migration_type is not set')
        changes = self.obj_what_changed()
        if 'dest_node' in changes and 'dest_compute_id' not in changes:
            raise _cannot_create('dest_node is set but not dest_compute_id')
        if not self.obj_attr_is_set('uuid'):
            self.uuid = uuidutils.generate_uuid()
        for name in ('user_id', 'project_id'):
            if not self.obj_attr_is_set(name):
                setattr(self, name, getattr(self._context, name, None))

    @base.sets_state
    @base.remotable
    def save(self) -> None:
        """Write the fields that were assigned, and read the row again.

        Status and state are not among them. An object of an older service
        that has a new status is a report, and may be refused.

        :raises MigrationNotFound: the row is gone
        """
        database = base.database_of(self._context)
        values = self.obj_get_changes()
        values.pop('id', None)
        reported, self._reported_status = self._reported_status, None
        if reported is not None:
            current = api.get_committed(database, self.id)
            type(self)(self._context)._load(current).report_legacy_status(
                reported
            )
        self._load(api.update(database, self.id, values))

    def obj_load_attr(self, attrname: str) -> None:
        """Load what an older service does not send; that is no change."""
        value: Any = None
        if attrname == 'migration_type':
            value = determine_migration_type(
                self.old_instance_type_id, self.new_instance_type_id
            )
        elif attrname in _BOOLEANS:
            value = False
        elif attrname not in _ADDED[STATE_VERSION]:
            super().obj_load_attr(attrname)
        self.__dict__[_ATTRIBUTES[attrname]] = value

    # -- older versions ---------------------------------------------------

    def obj_to_primitive(
        self,
        target_version: str | None = None,
        version_manifest: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the primitive, of this version unless told otherwise.

        Only a conductor's answer, which has single fields and no version, is
        put in the words of the service that asked.
        """
        speaks_legacy, self.speaks_legacy = self.speaks_legacy, False
        try:
            return super().obj_to_primitive(target_version, version_manifest)
        finally:
            self.speaks_legacy = speaks_legacy

    def obj_make_compatible(
        self, primitive: dict[str, Any], target_version: str
    ) -> None:
        """Give an older service its string for status, and no newer field."""
        super().obj_make_compatible(primitive, target_version)
        target = versionutils.convert_version_to_tuple(target_version)
        if target < STATE_VERSION and 'status' in primitive:
            primitive['status'] = self.get_legacy_status()
        for version, names in _ADDED.items():
            if target < version:
                for name in names:
                    primitive.pop(name, None)

    @classmethod
    def _obj_from_primitive(
        cls, context: Any, objver: str, primitive: dict[str, Any]
    ) -> Self:
        """Take in what a service sends, of this version or an older one."""
        version = versionutils.convert_version_to_tuple(objver)
        newer = () if version >= STATE_VERSION else _ADDED[STATE_VERSION]
        data = {
            name: value
            for name, value in primitive[_DATA].items()
            if name not in newer
        }
        changes = set(primitive.get(_CHANGES, ()))
        _require_sense(data, version)
        reported = None
        if version < STATE_VERSION and 'status' in data:
            if 'status' in changes:
                reported = data['status']
                changes.discard('status')
            data.update(_read(_typed(data)))
        migration = cls(context)
        migration.speaks_legacy = version < STATE_VERSION
        with migration._setting_state():
            for name in cls.fields:
                if name in data:
                    migration._take(name, data[name])
        migration._changed_fields = changes & set(cls.fields)
        migration._reported_status = reported
        return migration

    def _take(self, name: str, value: Any) -> None:
        """Set a field to what was sent for it."""
        try:
            taken = self.fields[name].from_primitive(self, name, value)
            setattr(self, name, taken)
        except words.UnknownWord:
            raise
        except _NOT_A_VALUE as error:
            raise base.invalid(
                f'{name} cannot be {reprlib.repr(value)}'
            ) from error

    # -- finding ----------------------------------------------------------

    @classmethod
    def _found(cls, context: Any, row: Sequence[Any]) -> Self:
        return cls(context)._load(row)

    @classmethod
    @base.remotable_query
    def get_by_uuid(cls, context: Any, migration_uuid: str) -> Self:
        """Return the migration of a uuid, soft-deleted or not."""
        database = base.database_of(context)
        return cls._found(context, api.get_by_uuid(database, migration_uuid))

    @classmethod
    @base.remotable_query
    def get_by_id(cls, context: Any, migration_id: int) -> Self:
        """Return the migration of an id, soft-deleted or not."""
        database = base.database_of(context)
        return cls._found(context, api.get(database, migration_id))

    @classmethod
    @base.remotable_query
    def get_by_id_and_instance(
        cls, context: Any, migration_id: int, instance_uuid: str
    ) -> Self:
        """Return the migration of an id if it is the instance's."""
        database = base.database_of(context)
        row = api.get_by_id_and_instance(database, migration_id, instance_uuid)
        return cls._found(context, row)

    @classmethod
    @base.remotable_query
    def get_by_instance_and_status(
        cls, context: Any, instance_uuid: str, status: str
    ) -> Self:
        """Return the newest migration of an instance with Nova's string."""
        database = base.database_of(context)
        row = api.get_by_instance_and_status(database, instance_uuid, status)
        return cls._found(context, row)


_COLUMNS = tuple(column.name for column in models.MIGRATIONS.c)
_ATTRIBUTES = {name: f'_obj_{name}' for name in Migration.fields}
_TIMES = ('created_at', 'updated_at', 'deleted_at', 'state_changed_at')
_POSITION = ('status', 'updated_at', *_ADDED[STATE_VERSION])
_CANONICAL = ('status', 'state')
_BOOLEANS = ('deleted', 'hidden', 'cross_cell_move')
_DATA = f'{Migration.OBJ_SERIAL_NAMESPACE}.data'
_CHANGES = f'{Migration.OBJ_SERIAL_NAMESPACE}.changes'

#: What the library's fields raise for what is no value, mostly unnamed.
_NOT_A_VALUE = (
    AttributeError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def _aware(value: Any) -> Any:
    return value and value.replace(tzinfo=datetime.UTC)


def _storable(reason: Any) -> str | None:
    if reason is None:
        return None
    if not isinstance(reason, str):
        raise exception.ObjectActionError(
            action='move',
            reason=f'a reason is text and not {type(reason).__name__}',
        )
    return guard.storable(reason)


def _cannot_create(reason: str) -> exception.ObjectActionError:
    return exception.ObjectActionError(action='create', reason=reason)


def _require_sense(data: Mapping[str, Any], version: tuple[int, ...]) -> None:
    """Refuse a status that is no text, and a state it does not belong to.

    :raises InvalidPrimitive: saying which
    """
    status, state = data.get('status'), data.get('state')
    if not isinstance(status, str | None):
        raise base.invalid(f'status cannot be {reprlib.repr(status)}')
    if version < STATE_VERSION or (state is None and status is None):
        return
    if state is None:
        raise base.invalid(f'status {status!r} has no state beside it')
    typed = _typed(data)
    machine = machine_for(typed['migration_type'], typed['cross_cell_move'])
    row = machine.state(state)
    if row.status != status:
        raise base.invalid(
            f'status {status!r} does not belong to state {row.name!r}'
        )


def _typed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a primitive's data with the type that older ones lack."""
    kind = data.get('migration_type') or determine_migration_type(
        data.get('old_instance_type_id'), data.get('new_instance_type_id')
    )
    return {'cross_cell_move': False, **data, 'migration_type': kind}


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    found = reading.of_row(
        values['migration_type'],
        values['cross_cell_move'],
        values['status'],
        values.get('state'),
        values.get('legacy_status'),
    )
    return {
        'status': found.status,
        'state': found.state,
        'legacy_status': found.legacy_status,
    }


@ovo_base.VersionedObjectRegistry.register
class MigrationList(ovo_base.ObjectListBase[Migration], base.MigrationObject):
    """Migrations that a query found."""

    # Version 1.0: Initial version
    #              Migration <= 1.1
    # Version 1.1: Added use_slave to get_unconfirmed_by_dest_compute
    # Version 1.2: Migration version 1.2
    # Version 1.3: Added get_in_progress_by_instance()
    # Version 1.4: Added sort_keys, sort_dirs, limit and marker to
    #              get_by_filters()
    # Version 1.5: Added get_in_progress_and_error()
    VERSION = '1.5'

    fields = {'objects': ovo_fields.ListOfObjectsField('Migration')}

    @classmethod
    def _obj_from_primitive(
        cls, context: Any, objver: str, primitive: dict[str, Any]
    ) -> Self:
        """Take in a list that another service sends."""
        if not isinstance(primitive[_DATA].get('objects', []), list):
            raise base.invalid('objects is not a list')
        taken: Self = super()._obj_from_primitive(context, objver, primitive)
        return taken

    @classmethod
    def _found(cls, context: Any, rows: api.Rows) -> Self:
        found = cls(context)
        found.objects = [Migration(context)._load(row) for row in rows]
        found.obj_reset_changes()
        return found

    @classmethod
    @base.remotable_query
    def get_unconfirmed_by_dest_compute(
        cls,
        context: Any,
        confirm_window: int,
        dest_compute: str,
        use_slave: bool = False,
    ) -> Self:
        """Return what has waited on a host for confirmation for too long.

        :param confirm_window: seconds
        :param use_slave: as Nova has it; there is one database here
        """
        database = base.database_of(context)
        rows = api.get_unconfirmed_by_dest_compute(
            database, confirm_window, dest_compute
        )
        return cls._found(context, rows)

    @classmethod
    @base.remotable_query
    def get_in_progress_by_host_and_node(
        cls, context: Any, host: str, node: str
    ) -> Self:
        """Return the moves from or to a node that are not over."""
        database = base.database_of(context)
        rows = api.get_in_progress_by_host_and_node(
            database, host, node, read_deleted=_read_deleted(context)
        )
        return cls._found(context, rows)

    @classmethod
    @base.remotable_query
    def get_in_progress_and_error(
        cls, context: Any, host: str, node: str
    ) -> Self:
        """Return the moves from or to a node that it accounts for."""
        database = base.database_of(context)
        rows = api.get_in_progress_and_error_by_host_and_node(
            database, host, node, read_deleted=_read_deleted(context)
        )
        return cls._found(context, rows)

    @classmethod
    @base.remotable_query
    def get_in_progress_by_instance(
        cls,
        context: Any,
        instance_uuid: str,
        migration_type: str | None = None,
    ) -> Self:
        """Return the moves of an instance that the REST API lists."""
        database = base.database_of(context)
        rows = api.get_in_progress_by_instance(
            database,
            instance_uuid,
            migration_type,
            read_deleted=_read_deleted(context),
        )
        return cls._found(context, rows)

    @classmethod
    @base.remotable_query
    def get_by_filters(
        cls,
        context: Any,
        filters: Mapping[str, Any],
        sort_keys: Sequence[str] | None = None,
        sort_dirs: Sequence[str] | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> Self:
        """Return what matches filters, sorted and paged.

        ``status`` among the filters is Nova's string, as its callers mean
        it; :func:`nova_migration.db.api.get_all_by_filters` has the rest.
        """
        rows = api.get_all_by_filters(
            base.database_of(context),
            filters,
            sort_keys=sort_keys,
            sort_dirs=sort_dirs,
            limit=limit,
            marker=marker,
            read_deleted=_read_deleted(context),
        )
        return cls._found(context, rows)

    @staticmethod
    def each_by_filters(
        context: Any,
        filters: Mapping[str, Any],
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[Migration]:
        """Yield what matches filters, the newest first, and hold few of it.

        It wants a database, and is not for a process that asks a conductor.
        :func:`nova_migration.db.api.each_by_filters` has the parameters.
        """
        rows = api.each_by_filters(
            base.database_of(context),
            filters,
            before=before,
            limit=limit,
            read_deleted=_read_deleted(context),
        )
        for row in rows:
            yield Migration(context)._load(row)


def _read_deleted(context: Any) -> str:
    return str(getattr(context, 'read_deleted', 'no'))
