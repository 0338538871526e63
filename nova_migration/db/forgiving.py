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

"""Reading rows of which a value is not of its column's kind.

MariaDB keeps the zero dates of its old modes, PostgreSQL years that Python
has not, and SQLite whatever it is given. One such value must not hide its
row, nor all others: it is read as an :class:`Odd`, which is its text. Only
reading is lenient. What the objects hold, send and write is as strict as
their fields.
"""

from collections.abc import Callable
import datetime
import functools
from typing import Any

import sqlalchemy as sa


class Odd(str):
    """What a row holds where another kind of value should be, as text."""

    __slots__ = ()


_Reader = Callable[[Any], Any]

#: What drivers and dialects raise for text that is no time.
_NO_TIME = (ArithmeticError, AttributeError, TypeError, ValueError)


def _decoded(value: bytes) -> str:
    return value.decode('utf-8', 'backslashreplace')


def _text(value: Any) -> str:
    return _decoded(value) if isinstance(value, bytes) else str(value)


def read_text(value: Any) -> str | None:
    """Return the text of a value, whatever it is; None for NULL."""
    return value if value is None or type(value) is str else _text(value)


def _read_integer(value: Any) -> int | str | None:
    known = value is None or isinstance(value, int)
    return value if known else Odd(_text(value))


def _read_truth(value: Any) -> bool | str | None:
    found = _read_integer(value)
    return bool(found) if isinstance(found, int) else found


def _read_time(read: _Reader | None, value: Any) -> Any:
    """Read a time as the dialect does, or else as text."""
    try:
        found = read(value) if read else value
    except _NO_TIME:
        return Odd(_text(value))
    if found is None or isinstance(found, datetime.datetime):
        return found
    return Odd(_text(value))


class _AnyOnSqlite(sa.types.TypeDecorator[Any]):
    """A type of which SQLite alone has values of other kinds."""

    cache_ok = True
    reader: _Reader

    def result_processor(
        self, dialect: sa.Dialect, coltype: object
    ) -> _Reader | None:
        """Return what reads a value; None where it is right as it is."""
        if dialect.name == 'sqlite':
            return type(self).reader
        return super().result_processor(dialect, coltype)


class AnyText(_AnyOnSqlite):
    """Text; of what is none, its text."""

    impl = sa.String
    cache_ok = True
    reader = staticmethod(read_text)


class _AnyInteger(_AnyOnSqlite):
    impl = sa.Integer
    cache_ok = True
    reader = staticmethod(_read_integer)


class _AnyTruth(_AnyOnSqlite):
    impl = sa.Boolean
    cache_ok = True
    reader = staticmethod(_read_truth)


class _AnyTime(sa.types.TypeDecorator[Any]):
    """A time; every kind of database can hold one that Python cannot."""

    impl = sa.DateTime
    cache_ok = True

    def result_processor(
        self, dialect: sa.Dialect, coltype: object
    ) -> _Reader | None:
        """Return what reads a value."""
        read = super().result_processor(dialect, coltype)
        return functools.partial(_read_time, read)


#: The first that fits: an enumeration is text, a truth no integer.
_KINDS: tuple[tuple[type[Any], type[Any]], ...] = (
    (sa.Boolean, _AnyTruth),
    (sa.Integer, _AnyInteger),
    (sa.DateTime, _AnyTime),
    (sa.String, AnyText),
)


def column(
    original: sa.ColumnElement[Any], name: str | None = None
) -> sa.ColumnElement[Any]:
    """Return a column that can be read whatever the row holds there."""
    (kind, *_rest) = (
        lenient
        for strict, lenient in _KINDS
        if isinstance(original.type, strict)
    )
    return sa.type_coerce(original, kind()).label(name or original.key)


def select(*columns: sa.Column[Any]) -> sa.Select[Any]:
    """Select columns of rows that may hold anything."""
    return sa.select(*map(column, columns))


def listen(engine: sa.Engine) -> None:
    """Have each connection give what its driver would refuse to read.

    When it is taken from the pool: an engine may have some there already.
    """
    prepare = _PREPARE.get(engine.dialect.driver)
    if prepare is None:
        return

    def on_checkout(connection: Any, record: Any, _proxy: Any) -> None:
        if __name__ not in record.info:
            prepare(engine.dialect, connection)
            record.info[__name__] = True

    sa.event.listen(engine, 'checkout', on_checkout)


def _escape(_dialect: sa.Dialect, connection: Any) -> None:
    """Have text of SQLite that is no UTF-8 read with escapes in it."""
    connection.text_factory = _decoded


#: PostgreSQL's number for a time without a zone.
_TIMESTAMP = 1114


def _keep_times(dialect: sa.Dialect, connection: Any) -> None:
    """Have times before our era, and after the year 9999, read as text."""
    extensions: Any = dialect.loaded_dbapi.extensions

    def read(value: str | None, cursor: Any) -> Any:
        try:
            return extensions.PYDATETIME(value, cursor)
        except (ValueError, OverflowError):
            return value

    kind = extensions.new_type((_TIMESTAMP,), 'ANY_TIMESTAMP', read)
    extensions.register_type(kind, connection)


_PREPARE = {'pysqlite': _escape, 'psycopg2': _keep_times}
