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

"""A handle on one database; passed in, never global."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import enum
import functools
import os
import threading
from typing import Any
from typing import TypeVar
import urllib.parse
import warnings

from oslo_config import cfg
from oslo_db import exception as db_exc
import oslo_db.api
from oslo_db.sqlalchemy import enginefacade
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration import exception
from nova_migration.conf import opts
from nova_migration.db import adopt
from nova_migration.db import errors
from nova_migration.db import forgiving
from nova_migration.db import galera
from nova_migration.db import models

_Result = TypeVar('_Result')

#: What the drivers that the project is tested with are called.
DIALECTS = ('sqlite', 'mysql', 'mariadb', 'postgresql')


def _nothing_was_written(error: Exception) -> bool:
    return isinstance(error, exception.ConnectionLost) or errors.may_run_again(
        error
    )


def _nothing_is_lost(error: Exception) -> bool:
    """Tell what a second try may get past if twice is as good as once."""
    return isinstance(error, exception.OutcomeUnknown) or _nothing_was_written(
        error
    )


def _retrying(
    checker: Callable[[Exception], bool],
) -> oslo_db.api.wrap_db_retry:
    """Return what tries again for some five seconds, then gives up.

    A deadlock (MariaDB's 1020 and Galera's certification are ones to oslo.db)
    means that the transaction was rolled back whole. So is a lock that could
    not be had; there the server has waited, too, each time.
    """
    return oslo_db.api.wrap_db_retry(
        max_retries=10,
        retry_interval=0.05,
        max_retry_interval=1,
        retry_on_deadlock=True,
        exception_checker=checker,
        jitter=True,
    )


class _Stage(enum.Enum):
    """How far a unit of work had come when something was raised."""

    CONNECTING = enum.auto()
    WORKING = enum.auto()
    COMMITTING = enum.auto()


@dataclasses.dataclass(frozen=True)
class Database:
    """An engine, and the form in which new rows are written to it."""

    engine: sa.Engine
    status_format: opts.StatusFormat = opts.StatusFormat.LEGACY
    #: Who has answered before may come back; nobody waits for a wrong URL.
    _answered: threading.Event = dataclasses.field(
        default_factory=threading.Event, init=False, repr=False, compare=False
    )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a transaction; commit at the end, roll back on an error."""
        with explained(self.engine), self.engine.begin() as connection:
            yield connection

    def run(
        self,
        work: Callable[[sa.Connection], _Result],
        repeatable: bool = False,
    ) -> _Result:
        """Run a unit of work in a transaction, again where that is safe.

        It is when the server rolled the transaction back, and when the
        connection was lost before COMMIT was sent.

        :param repeatable: twice is as good as once, as for a query: so it is
            also run again when the answer to COMMIT was lost
        :raises OutcomeUnknown: the answer to COMMIT was lost
        :raises ConnectionLost: nobody has answered any more for some
            seconds; nothing was written, or it was repeatable
        """
        attempt = _attempt_repeatable if repeatable else _attempt_once
        try:
            result: _Result = attempt(self, work)
        except (db_exc.DBError, sa_exc.DBAPIError) as error:
            _explain(self.engine, error)
            raise
        return result


def _attempt(
    database: Database, work: Callable[[sa.Connection], _Result]
) -> _Result:
    stage = _Stage.CONNECTING
    try:
        with database.engine.begin() as connection:
            stage = _Stage.WORKING
            if not database._answered.is_set():
                database._answered.set()
            result = work(connection)
            stage = _Stage.COMMITTING
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        _explain_loss(database, error, stage)
        raise
    return result


_attempt_once = _retrying(_nothing_was_written)(_attempt)
_attempt_repeatable = _retrying(_nothing_is_lost)(_attempt)


def _explain_loss(database: Database, error: Exception, stage: _Stage) -> None:
    """Raise what a lost connection means at a stage; else do nothing."""
    engine = database.engine
    if stage is _Stage.COMMITTING:
        if errors.leaves_open(engine, error):
            raise exception.OutcomeUnknown(
                what='A write', reason=errors.said(engine.url, error)
            ) from error
        return
    if stage is _Stage.WORKING:
        lost = errors.is_lost(engine, error)
    else:
        lost = database._answered.is_set() and errors.is_of_connecting(error)
    if lost:
        cause = errors.source(engine.url, error)
        raise errors.lost(engine.url, error) from cause


@contextlib.contextmanager
def explained(engine: sa.Engine, preparing: bool = False) -> Iterator[None]:
    """Turn what a database raises into what to do about it.

    :param preparing: what fails is the work that prepares the database, so
        that no missing preparation can be the cause
    """
    # SQLAlchemy lets out what a driver raises when the isolation level of a
    # connection is set, or reset on the way back to the pool.
    raw = engine.dialect.loaded_dbapi.Error
    try:
        yield
    except (db_exc.DBError, sa_exc.DBAPIError, raw) as error:
        _explain(engine, error, preparing)
        raise


def _explain(
    engine: sa.Engine, error: Exception, preparing: bool = False
) -> None:
    """Raise what to do about an error, if that is known."""
    cause = errors.source(engine.url, error)
    if errors.has_ended(engine, error):
        raise errors.lost(engine.url, error) from cause
    if errors.is_of_connecting(error):
        raise errors.unavailable(engine.url, error) from cause
    if errors.is_our_fence(error):
        raise exception.RestoreAtWork(url=errors.shown(engine.url)) from error
    if errors.is_our_check(error):
        raise exception.LegacyRowRefused() from error
    if not preparing and errors.is_of_absence(error):
        require_expanded(engine)
    if preparing or errors.remedy(error):
        raise errors.refused(engine.url, error) from cause


@contextlib.contextmanager
def _looking(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Connect to see what is there.

    :raises DatabaseError: not even that can be found out
    """
    with (
        explained(engine, preparing=True),
        engine.connect() as connection,
        galera.caught_up(connection),
    ):
        yield connection


def needs_expand(engine: sa.Engine) -> bool:
    """Return whether a table or one of our columns is not there.

    :raises DatabaseError: not even that can be found out
    """
    with _looking(engine) as connection:
        return _lacks_columns(sa.inspect(connection))


def require_cell(engine: sa.Engine) -> None:
    """Refuse a database that is not the one of a Nova cell.

    :raises NotACell: saying what it looks like, if it is not empty
    """
    with _looking(engine) as connection:
        adopt.require_cell(connection)


def _lacks_columns(inspector: sa.Inspector) -> bool:
    wanted = {column.name for column in models.added_columns()}
    for table in models.TABLES:
        if not inspector.has_table(table.name):
            return True
        found = {
            column['name'] for column in inspector.get_columns(table.name)
        }
        if not wanted <= found:
            return True
    return False


def require_expanded(engine: sa.Engine) -> None:
    """Refuse a database that does not have our columns.

    :raises NotACell: it has none of the tables
    :raises NotExpanded: saying what to run
    """
    with _looking(engine) as connection:
        adopt.require_cell(connection)
        if _lacks_columns(sa.inspect(connection)):
            raise exception.NotExpanded()


def require_file(engine: sa.Engine) -> None:
    """Refuse a SQLite file that is not there: connecting would make it.

    :raises EmptyDatabase: naming the file
    """
    path = _file_of(engine)
    if path and not os.path.exists(path):
        raise exception.EmptyDatabase(
            url=errors.shown(engine.url),
            table=models.MIGRATIONS.name,
            looks='is a file that is not there',
        )


def _file_of(engine: sa.Engine) -> str | None:
    """Return the file of a SQLite database; None for one in memory."""
    if engine.dialect.name != 'sqlite':
        return None
    (name, *_rest), options = engine.dialect.create_connect_args(engine.url)
    if options.get('uri'):
        parts = urllib.parse.urlsplit(name)
        in_memory = 'mode=memory' in parts.query
        name = '' if in_memory else urllib.parse.unquote(parts.path)
    return None if name in ('', ':memory:') else str(name)


def from_url(
    url: str | sa.URL,
    status_format: opts.StatusFormat = opts.StatusFormat.LEGACY,
    **options: Any,
) -> Database:
    """Make the handle of a database URL.

    :param options: of ``[database]``, as oslo.db names them
    :raises UnsupportedDatabase: no URL, no driver, or another kind of server
    :raises DatabaseUnavailable: nobody answers there
    """
    parsed = _parse(url)
    # It sleeps after each transaction to let other greenthreads run, which
    # they do already while this one waits for the server.
    options.setdefault('thread_checkin', False)
    manager = enginefacade.transaction_context()
    manager.configure(connection=parsed, **options)
    try:
        engine = _made(manager)
    except ImportError as error:
        raise exception.UnsupportedDatabase(
            reason=f'{errors.said(parsed, error)}: install the driver, as'
            ' nova-migration[mysql] or nova-migration[postgresql] does'
        ) from errors.source(parsed, error)
    except _BAD_URL as error:
        raise exception.UnsupportedDatabase(
            reason=errors.said(parsed, error) + _options_of(parsed)
        ) from errors.source(parsed, error)
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        cause = errors.source(parsed, error)
        raise errors.unavailable(parsed, error) from cause
    sa.event.listen(engine, 'do_connect', functools.partial(_connect, parsed))
    forgiving.listen(engine)
    return Database(engine, status_format)


#: What a URL whose parts do not fit makes a dialect raise.
_BAD_URL = (sa_exc.ArgumentError, TypeError, ValueError)


def _made(manager: Any) -> sa.Engine:
    with warnings.catch_warnings(record=True) as heard:
        engine: sa.Engine = manager.writer.get_engine()
    for warning in heard:
        # That an option is ignored, such as SQLite's mode=ro: who asks for
        # that must not be given a database that is written to.
        if issubclass(warning.category, sa_exc.SAWarning):
            raise sa_exc.ArgumentError(str(warning.message))
    return engine


#: What drivers raise for an option that is none of theirs, besides errors of
#: their own: a charset that PyMySQL does not know is an AttributeError.
_BAD_OPTION = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)


def _options_of(url: sa.URL) -> str:
    """Return which options a URL has: their values may be secret."""
    names = ', '.join(sorted(url.query))
    return f' (its options: {names})' if names else ''


def _connect(
    url: sa.URL,
    dialect: sa.Dialect,
    _record: Any,
    arguments: Any,
    options: Any,
) -> Any:
    """Connect; the options of a URL are the driver's arguments."""
    try:
        return dialect.connect(*arguments, **options)
    except dialect.loaded_dbapi.Error as error:
        errors.mark_connecting(error)
        raise
    except _BAD_OPTION as error:
        raise exception.UnsupportedDatabase(
            reason='its host, its port or an option behind the ? is not for'
            f' the driver: {errors.said(url, error)}{_options_of(url)}'
        ) from errors.source(url, error)


def _parse(url: str | sa.URL) -> sa.URL:
    try:
        parsed = sa.engine.make_url(url)
        name = parsed.get_backend_name()
    except sa_exc.ArgumentError:
        # What is none may be anything, and is not repeated.
        raise exception.UnsupportedDatabase(
            reason='it is not of the form dialect://user:password@host/name'
        ) from None
    except ValueError:
        # The error repeats what stands there, which is the password where
        # the host was left out.
        raise exception.UnsupportedDatabase(
            reason='its port is not a number'
        ) from None
    if parsed.username is not None and str(url).count('@') > 1:
        # SQLAlchemy takes the first one for the end of the password, and
        # would show the rest of it as the host.
        raise exception.UnsupportedDatabase(
            reason="there is more than one '@': write %40 for one that is part"
            ' of the password'
        )
    if name not in DIALECTS:
        raise exception.UnsupportedDatabase(
            reason=f'{name!r} is none of {", ".join(DIALECTS)}'
        )
    return parsed


def dialect_of(url: str | sa.URL) -> str:
    """Return SQLAlchemy's name of a URL's kind of server; nobody is asked.

    :raises UnsupportedDatabase: as :func:`from_url`
    """
    return _parse(url).get_backend_name()


#: What an engine is not made with; nothing is read from a replica.
_NOT_PASSED_ON = ('connection', 'slave_connection', 'backend')


def from_conf(conf: cfg.ConfigOpts) -> Database:
    """Make the handle of the database that a configuration names.

    :param conf: with the options of :func:`nova_migration.conf.opts.register`
    """
    try:
        own = dict(conf[opts.GROUP].items())
        options = {
            name: conf.database[name]
            for name in conf.database
            if name not in _NOT_PASSED_ON
        }
    except RecursionError as error:
        raise exception.DatabaseError(
            reason=f'An option of [database] or [{opts.GROUP}] has a $ that'
            ' stands for the option itself.'
        ) from error
    known = {name: v for name, v in options.items() if v is not None}
    return from_url(
        conf.database.connection,
        opts.StatusFormat(own['status_format']),
        **known,
    )
