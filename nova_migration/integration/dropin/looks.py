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

"""What is asked of each database once, when it is first connected to.

Nothing is connected to for it: a database that is down is not asked, and one
that hangs holds up nobody but those who wait for it anyhow.
"""

from collections.abc import Callable
import threading
from typing import Generic
from typing import TypeVar
import weakref

import sqlalchemy as sa

_Found = TypeVar('_Found')


class FirstLook(Generic[_Found]):
    """Knows the answer of each engine's database.

    By the dialect, which every engine has for itself and every compiled
    statement knows.

    :param ask: takes a connection, which is rolled back afterwards; what it
        raises goes to whoever connects, and the next one asks again
    """

    def __init__(self, ask: Callable[[sa.Connection], _Found]):
        self._ask = ask
        self._answers: weakref.WeakKeyDictionary[sa.Dialect, _Found]
        self._answers = weakref.WeakKeyDictionary()
        # One lock for each engine, so that none waits for a database that
        # hangs. Asking runs statements, but opens no further connection.
        self._asking: weakref.WeakKeyDictionary[sa.Dialect, threading.Lock]
        self._asking = weakref.WeakKeyDictionary()
        # Never held while a database is asked.
        self._noting = threading.Lock()

    def answer(self, dialect: sa.Dialect) -> _Found | None:
        """Return what was found; None where nobody has looked."""
        return self._answers.get(dialect)

    def forget(self, dialect: sa.Dialect) -> None:
        """Have the database asked again by whoever connects next."""
        self._answers.pop(dialect, None)

    def look(self, connection: sa.Connection) -> None:
        """Ask, while others wait: they would cache SQL."""
        dialect = connection.dialect
        if dialect in self._answers:
            return
        with self._lock_of(dialect):
            if dialect not in self._answers:
                self._answers[dialect] = self._asked(connection)
                connection.engine.clear_compiled_cache()

    def _lock_of(self, dialect: sa.Dialect) -> threading.Lock:
        with self._noting:
            return self._asking.setdefault(dialect, threading.Lock())

    def _asked(self, connection: sa.Connection) -> _Found:
        try:
            return self._ask(connection)
        finally:
            if connection.in_transaction():
                connection.rollback()


def has_database(connection: sa.Connection) -> bool:
    """Tell a connection to a server, and to no database of it.

    SQLite's databases in memory have no name.
    """
    is_file = connection.dialect.name == 'sqlite'
    return bool(connection.engine.url.database) or is_file
