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

"""What an error of a database means: pure, of what the driver has said."""

from collections.abc import Iterator
import re
from typing import Any

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration import exception
from nova_migration.db import models

#: What InnoDB says of a commit that something below or beside it refused, as
#: Galera does when the node has just lost its cluster.
_ERROR_DURING_COMMIT = 1180

#: What MariaDB says when a lock is held, and what a Galera node says that has
#: no cluster or stands still for a backup.
_LOCK_WAIT_TIMEOUT, _NOT_READY = 1205, 1047

_CONNECTING = f'{__name__}.connecting'


def origin_of(error: BaseException) -> BaseException | None:
    """Return what the driver raised, below what was made of it."""
    inner = getattr(error, 'inner_exception', error)
    if isinstance(inner, sa_exc.PendingRollbackError) and inner.__context__:
        # Somebody cleaned up on a connection that was lost just before.
        return origin_of(inner.__context__)
    return getattr(inner, 'orig', None)


def code_of(error: BaseException) -> Any:
    """Return MariaDB's number for an error, or None."""
    return (*getattr(origin_of(error), 'args', ()), None)[0]


def _has_sqlstate(error: BaseException, sqlstate: str) -> bool:
    return getattr(origin_of(error), 'pgcode', None) == sqlstate


def _is_locked_file(error: BaseException) -> bool:
    return str(origin_of(error)) == 'database is locked'


def may_run_again(error: BaseException) -> bool:
    """Tell what oslo.db does not translate and a second try may get past.

    That is PostgreSQL's 40001, and SQLite's file held by another process.
    """
    return _has_sqlstate(error, '40001') or _is_locked_file(error)


def is_lock_timeout(error: BaseException) -> bool:
    """Tell that somebody held a lock for longer than was to be waited."""
    return (
        code_of(error) == _LOCK_WAIT_TIMEOUT
        or _has_sqlstate(error, '55P03')
        or _is_locked_file(error)
    )


def is_not_ready(error: BaseException) -> bool:
    """Tell the answer of a Galera node that takes no statement now."""
    return bool(code_of(error) == _NOT_READY)


def mark_connecting(error: BaseException) -> None:
    """Keep with a driver's error that it was raised while connecting.

    Nothing else tells: an error of a fetch or of COMMIT has no statement
    either.
    """
    setattr(error, _CONNECTING, True)


def is_of_connecting(error: BaseException) -> bool:
    """Tell that no statement was sent, because nobody was there to take it."""
    if isinstance(
        error, db_exc.DBConnectionError | db_exc.DBNonExistentDatabase
    ):
        return True
    return getattr(origin_of(error), _CONNECTING, False)


def has_ended(engine: sa.Engine, error: Exception) -> bool:
    """Tell what a driver says when a connection that was there has ended.

    :param error: the driver's own, or what was made of it
    """
    origin = origin_of(error) or error
    return isinstance(
        origin, engine.dialect.loaded_dbapi.Error
    ) and engine.dialect.is_disconnect(origin, None, None)


def is_lost(engine: sa.Engine, error: Exception) -> bool:
    """Tell that the connection is of no use any more.

    oslo.db knows more than the dialect, such as a Galera node that has lost
    its cluster.
    """
    return isinstance(error, db_exc.DBConnectionError) or has_ended(
        engine, error
    )


def leaves_open(engine: sa.Engine, error: Exception) -> bool:
    """Tell the answers to COMMIT after which it may have happened."""
    during_commit = code_of(error) == _ERROR_DURING_COMMIT
    return during_commit or is_lost(engine, error)


def lost(url: sa.URL, error: Exception) -> exception.ConnectionLost:
    """Return what to raise when a connection that was there has ended."""
    refused = is_not_ready(error)
    kind = exception.NodeNotReady if refused else exception.ConnectionLost
    return kind(url=shown(url), reason=said(url, error))


def unavailable(
    url: sa.URL, error: Exception
) -> exception.DatabaseUnavailable:
    """Return what to raise when nobody has answered."""
    refused = is_not_ready(error)
    kind = exception.NodeNotReady if refused else exception.DatabaseUnavailable
    return kind(url=shown(url), reason=said(url, error))


def shown(url: str | sa.URL) -> str:
    """Return a URL without what is secret, for every place that shows one.

    :returns: it with its password masked and its options left out, each of
        which may hold a password too
    :raises ArgumentError: it is no URL, and may be anything
    """
    parsed = sa.engine.make_url(url)
    return parsed.set(query={}).render_as_string(hide_password=True)


def said(url: sa.URL, error: BaseException, parts: bool = True) -> str:
    """Return what a driver said, without what is secret in the URL.

    :param parts: mask also the words that are a part of an option's value,
        which is what is repeated of it while connecting
    """
    secret = _secret_of(url, parts)
    text = first_line(error)
    return secret.sub(_MASK, text) if secret else text


def source(url: sa.URL, error: BaseException) -> BaseException | None:
    """Return an error as the cause of another one; None if it tells secrets.

    A traceback shows the causes of an error, too.
    """
    secret = _secret_of(url)
    told = secret and any(secret.search(str(each)) for each in _chain(error))
    return None if told else error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


#: What SQLAlchemy has for a password.
_MASK = '***'

#: What is shorter is in every sentence.
_WORD = re.compile(r'\w{3,}')


def _secret_of(url: sa.URL, parts: bool = True) -> re.Pattern[str] | None:
    """Return what finds the secrets of a URL in a text; None without any."""
    values = [url.password] if url.password else []
    for value in url.query.values():
        values += [value] if isinstance(value, str) else value
    if parts:
        values += [word for value in values for word in _WORD.findall(value)]
    # As drivers write them in their own sentences.
    values += [written(v)[1:-1] for v in values for written in (repr, ascii)]
    secrets = {*values} - {url.username, url.host, url.database, ''}
    if not secrets:
        return None
    found = '|'.join(map(re.escape, sorted(secrets, key=len, reverse=True)))
    return re.compile(rf'(?<!\w)(?:{found})(?!\w)')


_Marks = tuple[set[int], set[str], tuple[str, ...]]

#: What no table and no column is called: MariaDB's numbers, PostgreSQL's
#: states, SQLite's words.
_ABSENT: _Marks = (
    {1054, 1146},
    {'42703', '42P01'},
    ('no such table', 'no such column', 'has no column named'),
)

#: What is to be done about an error, by what tells it as above.
_REMEDIES: tuple[tuple[_Marks, str], ...] = (
    (
        ({1044, 1142, 1143, 1227, 1370}, set(), ()),
        'Give the user of the URL the privileges SELECT, INSERT, UPDATE,'
        ' DELETE, CREATE, DROP, ALTER and INDEX on the database, or name a'
        ' user who has them.',
    ),
    (
        (set(), {'42501'}, ()),
        'Name a user who owns the tables, or is a member of the role that'
        ' does, and who has CREATE on their schema.',
    ),
    (
        (
            {1290, 1792, 1836},
            {'25006'},
            ('attempt to write a readonly database',),
        ),
        'Name the server that is written to, and not a replica, or end what'
        ' makes it read-only: read_only of MariaDB,'
        ' default_transaction_read_only of PostgreSQL, the mode of a SQLite'
        ' file and of its folder.',
    ),
    (
        ({1845, 1846}, set(), ()),
        'The table would have to be copied, with every writer waiting: SHOW'
        ' TABLE STATUS tells its engine and row format, which have to be'
        ' InnoDB and DYNAMIC.',
    ),
    (
        ({1117, 1118}, set(), ()),
        'The table has no room for more columns: SHOW TABLE STATUS tells its'
        ' row format, which has to be DYNAMIC.',
    ),
    (
        ({3, 1021, 1114}, {'53100'}, ('database or disk is full',)),
        'Make room on the disk of the server, for its temporary files too.',
    ),
    (
        (set(), set(), ('file is not a database',)),
        'The URL names a file that SQLite has not made: correct it.',
    ),
    (
        ({1969, 3024}, {'57014'}, ()),
        'It took longer than a limit allows: raise max_statement_time of'
        ' MariaDB, or statement_timeout of PostgreSQL, for the user of the'
        ' URL. Or somebody has ended it.',
    ),
)


def _is_one_of(error: BaseException, marks: _Marks) -> bool:
    numbers, states, words = marks
    origin = origin_of(error) or error
    state = getattr(origin, 'pgcode', None)
    # PostgreSQL's words are in the language of the server.
    said = '' if state else str(origin)
    number = (*origin.args, None)[0]
    return (
        (isinstance(number, int) and number in numbers)
        or state in states
        or any(word in said for word in words)
    )


def is_of_absence(error: BaseException) -> bool:
    """Tell that a statement named a table or a column that is not there."""
    return _is_one_of(error, _ABSENT)


def remedy(error: BaseException) -> str | None:
    """Return what is to be done about an error; None if that is not known."""
    for marks, text in _REMEDIES:
        if _is_one_of(error, marks):
            return text
    return None


def refused(url: sa.URL, error: BaseException) -> exception.StatementRefused:
    """Return what to raise for the answer to a statement.

    The server often leaves out which table the statement was about.
    """
    reason, table = said(url, error, parts=False), _table_of(error)
    if table and table not in reason:
        reason = f"table '{table}': {reason}"
    advice = remedy(error)
    return exception.StatementRefused(
        reason=reason, advice=f' {advice}' if advice else ''
    )


def _table_of(error: BaseException) -> str | None:
    inner = getattr(error, 'inner_exception', error)
    words = re.findall(r'\w+', getattr(inner, 'statement', None) or '')
    names = {*(table.name for table in models.TABLES), models.VERSION_TABLE}
    return next((word for word in words if word in names), None)


def is_our_check(error: Exception) -> bool:
    """Tell contract's check; MariaDB names it after the column it is on."""
    text = first_line(error)
    return any(
        name in text
        for table in models.TABLES
        for name in (*models.constraint_names(table), f'{table.name}.state`')
    )


def is_our_fence(error: Exception) -> bool:
    """Tell what keeps states out while the columns are removed."""
    return models.FENCE in first_line(error)


#: What MariaDB and PostgreSQL say when a schema is not as it was a moment ago:
#: something is there, or is gone, or is being changed.
_MARIADB_CHANGED = (1050, 1060, 1061, 1062, 1091, 1684)
_POSTGRESQL_CHANGED = ('23505', '42701', '42704', '42710', '42P07')


def is_beside_ddl(error: BaseException) -> bool:
    """Tell that somebody else changed the schema in the same moment.

    Our own DDL looks before it speaks, so only who came in between can make
    a server say this.
    """
    origin = origin_of(error)
    sqlstate = getattr(origin, 'pgcode', None)
    return (
        code_of(error) in _MARIADB_CHANGED
        or sqlstate in _POSTGRESQL_CHANGED
        or 'concurrently updated' in str(origin)
    )


def first_line(error: BaseException) -> str:
    """Return what an error says, without the SQL and the links below it."""
    origin = origin_of(error)
    text = str(origin if origin is not None else error)
    return text.strip().partition('\n')[0].rstrip('.')
