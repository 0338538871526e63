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

"""Nova's Migration object, with a state beside the status.

It stays version 1.8: no field is added, and what goes over the wire and out
of the REST API is what Nova's own object has.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import contextvars
import datetime
import functools
from typing import Any

from nova import exception
from nova.objects import base
from nova.objects import migration as nova_migration_objects

from nova_migration.integration.dropin import judge
from nova_migration.states import Machine
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState
from nova_migration.states import reading

#: What the object that is being created or saved in this thread of work knew
#: of its row. Nova's functions between here and the guard cannot be told.
_seen: contextvars.ContextVar[judge.Seen | None]
_seen = contextvars.ContextVar('nova_migration_seen', default=None)


def seen() -> judge.Seen | None:
    """Return what the object that is being saved knew; None without one."""
    return _seen.get()


@contextlib.contextmanager
def _saving(what: judge.Seen) -> Iterator[None]:
    token = _seen.set(what)
    try:
        yield
    finally:
        _seen.reset(token)


def _remotable(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let a compute service call a method of Nova's name in a conductor.

    Nova pins the signatures of such methods, and its own have no annotations.
    """
    method.__annotations__ = {}
    remotable: Callable[[Any], None] = base.remotable(method)
    return remotable


def _takes_back(save: Callable[[Any], None]) -> Callable[[Any], None]:
    """Have a save that is refused take the status back, where it was asked.

    That may be a compute service, where nothing but this is run: the method
    itself is run in a conductor.
    """

    @functools.wraps(save)
    def save_or_take_back(migration: Any) -> None:
        try:
            save(migration)
        except exception.InstanceInvalidState:
            migration._forget_status()
            raise

    return save_or_take_back


class Migration(nova_migration_objects.Migration):  # type: ignore[misc]
    """A Nova migration whose status moves along a machine."""

    #: Nova's string that the row had when the object was read from it.
    _status_seen: str | None = None

    def obj_reset_changes(
        self, fields: Any = None, recursive: bool = False
    ) -> None:
        """Remember what the row says whenever the object has just read it."""
        super().obj_reset_changes(fields=fields, recursive=recursive)
        if fields is None and self.obj_attr_is_set('status'):
            self._status_seen = self.status

    @classmethod
    def _obj_from_primitive(
        cls, context: Any, objver: str, primitive: dict[str, Any]
    ) -> Any:
        """Remember what the row said, unless that was assigned over."""
        self = super()._obj_from_primitive(context, objver, primitive)
        if 'status' in self and 'status' not in self.obj_what_changed():
            self._status_seen = self.status
        return self

    @_remotable
    def create(self) -> None:
        """Insert the row; a status has to be one that means a state.

        A copy of another cell's row may have any.

        :raises nova.exception.InstanceInvalidState: in the mode enforce, for
            a status that nobody knows
        """
        with _saving(judge.Seen()):
            super().create()

    @_takes_back
    @_remotable
    def save(self) -> None:
        """Write what was assigned; a status among it is a report.

        Afterwards the object shows what the row says, which is something
        else than was assigned if the report came too late.

        :raises nova.exception.InstanceInvalidState: in the mode enforce, for
            a status that the machine does not lead to
        """
        with _saving(judge.Seen(self._status_seen, self._read_at())):
            super().save()

    def _forget_status(self) -> None:
        """Take a refused status back: the next save must not ask again."""
        if self._status_seen is not None:
            self.status = self._status_seen
        self._changed_fields.discard('status')

    def _read_at(self) -> datetime.datetime | None:
        if not self.obj_attr_is_set('updated_at'):
            return None
        read: datetime.datetime | None = self.updated_at
        return read and read.replace(tzinfo=None)

    @property
    def machine(self) -> Machine:
        """The machine that drives this move."""
        return judge.machine_of(
            {
                'migration_type': self.migration_type,
                'cross_cell_move': self.cross_cell_move,
            }
        )

    @property
    def state(self) -> MigrationState | None:
        """Where the move is; None for a status that nobody knows."""
        found = reading.of_row(
            self.migration_type, self.cross_cell_move, self.status
        )
        return MigrationState(found.state) if found.state else None

    def has_flag(self, flag: MigrationFlag) -> bool:
        """Return whether a question of Nova's has the answer yes."""
        state = self.state
        return state is not None and flag in self.machine.state(state).flags

    @property
    def is_in_progress(self) -> bool:
        """Whether the move is not over; an unconfirmed resize is not."""
        return self.has_flag(MigrationFlag.IN_PROGRESS)

    @property
    def allowed_events(self) -> tuple[str, ...]:
        """The events that lead on from here."""
        state = self.state
        return self.machine.events_from(state) if state else ()

    def process_event(self, event: str) -> None:
        """Write what an event leads to, and save.

        The row decides, whatever this object has seen: from where the row
        is by then, it takes the step that leads there, or the report is
        late or refused.

        :param event: a verb of the type's machine, such as ``complete``
        :raises nova.exception.InstanceInvalidState: no step leads there, or
            this object has seen it being taken; its status is as before
        :raises UnknownWord: the machine has no such event
        """
        machine, state = self.machine, self.state
        asked = judge.status_after(machine, event)
        # Saved, it would be no report but a copy of what the row says.
        again = asked == self.status
        if again and state and machine.decide(state, event) is None:
            raise exception.InstanceInvalidState(
                instance_uuid=self.instance_uuid,
                attr='migration status',
                state=self.status,
                method=event,
            )
        self.status = asked
        self.save()


def register() -> None:
    """Make it the Migration of Nova's registry, unless it is already."""
    registry = base.NovaObjectRegistry
    if registry.obj_classes()['Migration'][0] is not Migration:
        registry.register(Migration)
