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

"""Fields that only the object itself may set, and the enumerated ones."""

import enum
from typing import Any

from oslo_versionedobjects import fields

from nova_migration import exception
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationState
from nova_migration.states import MigrationStatus
from nova_migration.states import words


class _Guarded:
    """A field that is set by moving or loading the object, never assigned."""

    def coerce(self, obj: Any, attr: str, value: Any) -> Any:
        if not obj.state_may_be_set:
            raise exception.StateAssigned(field=attr)
        return super().coerce(obj, attr, value)  # type: ignore[misc]


class _Words(fields.Enum):
    """A closed vocabulary; values are members of a StrEnum."""

    words: type[enum.StrEnum]
    what: str

    def __init__(self) -> None:
        super().__init__(valid_values=tuple(w.value for w in self.words))

    def coerce(self, obj: Any, attr: str, value: Any) -> enum.StrEnum:
        try:
            return self.words(value)
        except ValueError as error:
            raise words.UnknownWord(
                what=self.what, word=value, valid=self._valid_values
            ) from error

    def to_primitive(self, obj: Any, attr: str, value: Any) -> str:
        return str(value)


class _Status(_Words):
    words = MigrationStatus
    what = 'status'

    def to_primitive(self, obj: Any, attr: str, value: Any) -> str:
        if getattr(obj, 'speaks_legacy', False):
            return str(obj.get_legacy_status())
        return super().to_primitive(obj, attr, value)


class _State(_Words):
    words = MigrationState
    what = 'state'


class MigrationStatusField(_Guarded, fields.BaseEnumField):
    """The public status, a :class:`MigrationStatus`."""

    AUTO_TYPE = _Status()


class MigrationStateField(_Guarded, fields.BaseEnumField):
    """The state, a :class:`MigrationState`."""

    AUTO_TYPE = _State()


class GuardedStringField(_Guarded, fields.StringField):
    """A string that goes with the state."""


class GuardedDateTimeField(_Guarded, fields.DateTimeField):
    """A time that goes with the state."""


class _MigrationType(fields.Enum):
    def __init__(self) -> None:
        super().__init__(valid_values=MIGRATION_TYPES)


class MigrationTypeField(fields.BaseEnumField):
    """The kind of move, as Nova's column enumerates it."""

    AUTO_TYPE = _MigrationType()
