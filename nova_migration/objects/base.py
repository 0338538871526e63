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

"""What the objects share: Nova's namespace and columns, and the guard."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import copy
import functools
import importlib.metadata
from typing import Any
from typing import Concatenate
from typing import ParamSpec
from typing import Self
from typing import TypeVar
from typing import cast

from oslo_versionedobjects import base

from nova_migration import exception
from nova_migration.db import engine

_P = ParamSpec('_P')
_R = TypeVar('_R')
_C = TypeVar('_C')

remotable = base.remotable

_LIBRARY = importlib.metadata.version('oslo.versionedobjects')

#: Since 3.10 the library's remotable() takes class methods, too, and warns of
#: the function that older releases have for them.
_TAKES_CLASS_METHODS = tuple(map(int, _LIBRARY.split('.')[:2])) >= (3, 10)


def remotable_query(
    method: Callable[Concatenate[type[_C], _P], _R],
) -> Callable[Concatenate[type[_C], _P], _R]:
    """Let a conductor answer a class method; ``@classmethod`` goes above.

    The context may be given by name with every release of the library: 3.10
    and 3.11 look for it among the positional arguments only.
    """
    ask = _class_method_of_library(method)

    @functools.wraps(ask)
    def wrapper(cls: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        return ask(cls, context, *args, **kwargs)

    return cast(Callable[Concatenate[type[_C], _P], _R], wrapper)


def _class_method_of_library(method: Callable[..., Any]) -> Any:
    if _TAKES_CLASS_METHODS:
        return remotable(method)
    return base.remotable_classmethod(method).__func__


#: What belongs to one object; the context is shared.
_NOT_COPIED = ('_context', 'state_may_be_set')


class MigrationObject(base.VersionedObject):
    """A versioned object in Nova's namespace."""

    OBJ_SERIAL_NAMESPACE = 'nova_object'
    OBJ_PROJECT_NAMESPACE = 'nova'

    #: Whether guarded fields can be set: only while loading or moving.
    state_may_be_set = False

    @classmethod
    def obj_from_primitive(
        cls, primitive: dict[str, Any], context: Any = None
    ) -> Self:
        """Take in what a service sends, if it has the shape of an object.

        :raises InvalidPrimitive: it has not; the library would leave with
            the KeyError or TypeError that came of it
        """
        _require_shape(primitive, cls._obj_primitive_key)
        return super().obj_from_primitive(primitive, context)

    @contextlib.contextmanager
    def _setting_state(self) -> Iterator[None]:
        before, self.state_may_be_set = self.state_may_be_set, True
        try:
            yield
        finally:
            self.state_may_be_set = before

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self)()
        memo[id(self)] = copied
        copied._context = self._context
        copied.__dict__.update(
            (name, copy.deepcopy(value, memo))
            for name, value in self.__dict__.items()
            if name not in _NOT_COPIED
        )
        return copied


#: What a primitive has, and of which type.
_SHAPE = {'name': str, 'namespace': str, 'version': str, 'data': dict}


def invalid(reason: str) -> exception.InvalidPrimitive:
    """Return the error for what is not an object that was sent."""
    return exception.InvalidPrimitive(reason=reason)


def _require_shape(primitive: Any, key: Callable[[str], str]) -> None:
    if not isinstance(primitive, dict):
        raise invalid(f'it is {type(primitive).__name__} and not dict')
    for name, kind in _SHAPE.items():
        value = primitive.get(key(name))
        if not isinstance(value, kind):
            raise invalid(
                f'{key(name)} is {type(value).__name__} and not'
                f' {kind.__name__}'
            )
    changes = primitive.get(key('changes'), [])
    if not isinstance(changes, list) or not all(
        isinstance(name, str) for name in changes
    ):
        raise invalid(f'{key("changes")} is not a list of names')


def sets_state(
    method: Callable[_P, _R],
) -> Callable[_P, _R]:
    """Let a method, or what a conductor answers to it, set guarded fields."""

    @functools.wraps(method)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        self: Any = args[0]
        before, self.state_may_be_set = self.state_may_be_set, True
        try:
            return method(*args, **kwargs)
        finally:
            self.state_may_be_set = before

    return wrapper


def database_of(context: Any) -> engine.Database:
    """Return the database that a context carries.

    :raises ObjectActionError: it has none, so that a call must go to a
        conductor, or the context was not made for these objects
    """
    database: engine.Database | None = getattr(context, 'db', None)
    if database is None:
        raise exception.ObjectActionError(
            action='database access',
            reason='the context has no database: make it with'
            ' nova_migration.context, or set an indirection_api',
        )
    return database
