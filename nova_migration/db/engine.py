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
from typing import Any
from typing import TypeVar

from oslo_config import cfg
from oslo_db import exception as db_exc
import oslo_db.api
from oslo_db.sqlalchemy import enginefacade
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration import exception
from nova_migration.conf import opts
from nova_migration.db import models

_Result = TypeVar('_Result')

#: What the drivers that the project is tested with are called.
DIALECTS = ('sqlite', 'mysql', 'mariadb', 'postgresql')


def may_run_again(error: Exception) -> bool:
    """Tell what oslo.db does not translate and a second try may get past.

    That is PostgreSQL's 40001, and SQLite's file held by another process.
    """
    origin = getattr(getattr(error, 'inner_exception', error), 'orig', None)
    if getattr(origin, 'pgcode', None) == '40001':
        return True
    return str(origin) == 'database is locked'


#: Both mean that the transaction was rolled back whole, so that the unit may
#: run again; DBDeadlock includes MariaDB's 1020 and Galera's certification.
_retry = oslo_db.api.wrap_db_retry(
    max_retries=10,
    retry_interval=0.05,
    max_retry_interval=1,
    retry_on_deadlock=True,
    exception_checker=may_run_again,
    jitter=True,
)


@dataclasses.dataclass(frozen=True)
class Database:
    """An engine, and the form in which new rows are written to it."""

    engine: sa.Engine
    status_format: opts.StatusFormat = opts.StatusFormat.LEGACY

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a transaction; commit at the end, roll back on an error."""
        with explained(self.engine), self.engine.begin() as connection:
            yield connection

    def run(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Run a unit of work in a transaction, again if the server asks."""
        try:
            result: _Result = _attempt_again(self.engine, work)
        except (db_exc.DBError, sa_exc.DBAPIError) as error:
            _explain(self.engine, error)
            raise
        return result


def _attempt(
    engine: sa.Engine, work: Callable[[sa.Connection], _Result]
) -> _Result:
    with engine.begin() as connection:
        return work(connection)


_attempt_again: Callable[..., Any] = _retry(_attempt)


@contextlib.contextmanager
def explained(engine: sa.Engine) -> Iterator[None]:
    """Turn what an unprepared database raises into what to do about it."""
    try:
        yield
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        _explain(engine, error)
        raise


def _explain(engine: sa.Engine, error: Exception) -> None:
    """Raise what to do about an error, if that is known."""
    if _is_of_connecting(error):
        raise _unavailable(engine.url, error) from error
    if _is_our_check(error):
        raise exception.LegacyRowRefused() from error
    if needs_expand(engine):
        raise exception.NotExpanded() from error


def _is_of_connecting(error: Exception) -> bool:
    """Tell that no statement was sent, because nobody was there to take it."""
    if isinstance(
        error, db_exc.DBConnectionError | db_exc.DBNonExistentDatabase
    ):
        return True
    inner = getattr(error, 'inner_exception', error)
    return isinstance(inner, sa_exc.DBAPIError) and inner.statement is None


def _unavailable(
    url: sa.URL, error: Exception
) -> exception.DatabaseUnavailable:
    return exception.DatabaseUnavailable(
        url=url.render_as_string(hide_password=True), reason=first_line(error)
    )


def _is_our_check(error: Exception) -> bool:
    """Tell contract's check; MariaDB names it after the column it is on."""
    text = first_line(error)
    return any(
        name in text
        for table in models.TABLES
        for name in (models.constraint_name(table), f'{table.name}.state`')
    )


def needs_expand(engine: sa.Engine) -> bool:
    """Return whether a table or one of our columns is not there.

    :raises DatabaseUnavailable: not even that can be found out
    """
    try:
        return _lacks_columns(sa.inspect(engine))
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        raise _unavailable(engine.url, error) from error


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

    :raises NotExpanded: saying what to run
    """
    if needs_expand(engine):
        raise exception.NotExpanded()


def first_line(error: BaseException) -> str:
    """Return what an error says, without the SQL and the links below it."""
    origin = getattr(getattr(error, 'inner_exception', error), 'orig', None)
    text = str(origin if origin is not None else error)
    return text.strip().partition('\n')[0].rstrip('.')


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
        engine = manager.writer.get_engine()
    except ImportError as error:
        raise exception.UnsupportedDatabase(
            reason=f'{error}: install the driver, as nova-migration[mysql] or'
            ' nova-migration[postgresql] does'
        ) from error
    except (sa_exc.ArgumentError, TypeError) as error:
        raise exception.UnsupportedDatabase(
            reason=first_line(error)
        ) from error
    except (db_exc.DBError, sa_exc.DBAPIError) as error:
        raise _unavailable(parsed, error) from error
    return Database(engine, status_format)


def _parse(url: str | sa.URL) -> sa.URL:
    try:
        parsed = sa.engine.make_url(url)
        name = parsed.get_backend_name()
    except (sa_exc.ArgumentError, ValueError) as error:
        raise exception.UnsupportedDatabase(
            reason=first_line(error)
        ) from error
    if name not in DIALECTS:
        raise exception.UnsupportedDatabase(
            reason=f'{name!r} is none of {", ".join(DIALECTS)}'
        )
    return parsed


def from_conf(conf: cfg.ConfigOpts) -> Database:
    """Make the handle of the database that a configuration names.

    :param conf: with the options of :func:`nova_migration.conf.opts.register`
    """
    options = {
        name: value
        for name, value in conf.database.items()
        if value is not None and name not in ('connection', 'backend')
    }
    return from_url(
        conf.database.connection,
        opts.StatusFormat(conf[opts.GROUP].status_format),
        **options,
    )
