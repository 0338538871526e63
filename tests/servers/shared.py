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


"""Which server the tests use: one of each kind, for a whole run.

It is the one that a variable names, or the one of this machine that knows the
tests' user. Where there is neither, ``python -m tests.run_with_servers`` has
one started, or says why not; the processes of the run are told by variables.
"""

import contextlib
import dataclasses
import functools
import os
import sys

import sqlalchemy as sa

from nova_migration.db import errors
from tests import required
from tests.servers import guardian
from tests.servers import server

#: Seconds in which a server has to accept a connection.
_PATIENCE = 10


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of server.

    :ivar label: what people call it
    :ivar variable: may name a server in place of this machine's
    :ivar default: where tools/test-setup.sh prepares one
    """

    label: str
    variable: str
    default: str

    @property
    def configured(self):
        """The URL that the variable has, if any."""
        return os.environ.get(self.variable)

    @property
    def url(self):
        """The URL of the server that is used, if it can be."""
        if self.configured:
            return sa.make_url(self.configured)
        url = sa.make_url(self.default)
        port = os.environ.get(f'{self.variable}_PORT', url.port)
        return url.set(port=int(port))

    @property
    def why_missing(self):
        """The variable that says why there is no server in this run."""
        return f'{self.variable}_MISSING'

    def refusal(self):
        """Return why the server cannot be used, or None."""
        if self.why_missing in os.environ:
            return os.environ[self.why_missing]
        try:
            engine = sa.create_engine(
                self.url,
                connect_args={'connect_timeout': _PATIENCE},
                poolclass=sa.NullPool,
            )
            engine.connect().close()
        # Of a driver, too, that is not installed or lacks something.
        except (sa.exc.SQLAlchemyError, ImportError, RuntimeError) as error:
            return f'{self.place}: {errors.first_line(error)}'
        return None

    @property
    def place(self):
        """Where the server is looked for."""
        return f'{self.url.host}:{self.url.port or "default port"}'


KINDS = {
    'mysql': Kind(
        'MariaDB',
        'NOVA_MIGRATION_TEST_MYSQL',
        'mysql+pymysql://openstack_citest:openstack_citest@127.0.0.1:3306/',
    ),
    'postgresql': Kind(
        'PostgreSQL',
        'NOVA_MIGRATION_TEST_POSTGRESQL',
        'postgresql+psycopg2://openstack_citest:openstack_citest'
        '@127.0.0.1:5432/postgres',
    ),
}


# Not asked again for each test: the answer is that of the run.
@functools.cache
def _refusal(backend):
    return KINDS[backend].refusal()


#: Forget what was found, as a new process would.
forget = _refusal.cache_clear


def url_of(backend):
    """Return the URL of the server for a kind of database, or skip the test.

    It is called in the constructor of a fixture, as :func:`server.find` is.
    """
    reason = _refusal(backend)
    if reason is not None:
        server.missing(f'no {KINDS[backend].label}: {reason}')
    return KINDS[backend].url


def _say(line):
    # What the command prints may be read by a program.
    print(line, file=sys.stderr, flush=True)


@dataclasses.dataclass
class Servers:
    """What a run has.

    :ivar variables: tell its processes
    :ivar missing: why a server is missing, by the label of its kind
    """

    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    missing: dict[str, str] = dataclasses.field(default_factory=dict)

    def use(self, kind, url, what):
        """Let the run use a server."""
        self.variables[kind.variable] = sa.make_url(url).render_as_string(
            hide_password=False
        )
        _say(f'{kind.label}: {what}.')

    def lack(self, kind, reason):
        """Let the run do without one."""
        self.variables[kind.why_missing] = reason
        self.missing[kind.label] = reason
        _say(f'{kind.label}: missing. {reason}.')


def required_in_run():
    """Return whether a server that is missing is a failure."""
    return bool(os.environ.get(required.DATABASES))


@contextlib.contextmanager
def provided():
    """Find or start a server of each kind; say which, a line each.

    :returns: a context manager with the :class:`Servers`, which ends those
        that were started
    """
    found = Servers()
    lacking = {}
    for backend, kind in KINDS.items():
        reason = kind.refusal()
        if reason is None:
            found.use(kind, kind.url, f'the server at {kind.place}')
        elif kind.configured or kind.why_missing in os.environ:
            found.lack(kind, reason)
        else:
            lacking[backend] = reason
    with guardian.started(lacking) as answers:
        for backend, reason in lacking.items():
            _take(found, backend, reason, answers[backend])
        yield found


def _take(found, backend, reason, answer):
    """Take a server that was started, or say why there is none."""
    kind = KINDS[backend]
    if 'port' in answer:
        url = sa.make_url(kind.default).set(port=answer['port'])
        what = f'a server of this run alone, on port {url.port}'
        found.use(kind, url, f'{what}. Not used: {reason}')
    else:
        found.lack(kind, f'{reason}; {answer["reason"]}')
