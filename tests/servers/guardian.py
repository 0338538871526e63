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


"""Servers that are there as long as somebody holds a pipe.

A process of its own starts them, in a session of its own, and ends them when
the pipe is closed. That is so however the one at its other end has ended:
tox kills what it runs half a second after Ctrl-C.
"""

from concurrent import futures
import contextlib
import json
import signal
import subprocess
import sys
import unittest

import fixtures

from tests import base
from tests.servers import mariadb
from tests.servers import postgresql

#: The user whom the tests come as.
USER = 'openstack_citest'

# Nobody needs the data when the server has gone.
_CARELESS = (
    '--innodb-flush-log-at-trx-commit=0',
    '--innodb-flush-method=nosync',
    '--skip-innodb-doublewrite',
)


class MariaDB(mariadb.MariaDB):
    """A MariaDB that knows the tests' user."""

    def __init__(self):
        super().__init__(*_CARELESS)

    def create_database(self, name):
        """Create the user beside it, for the address that it comes from."""
        self.ask(
            f'GRANT ALL PRIVILEGES ON *.* TO {USER}@127.0.0.1'
            f" IDENTIFIED BY '{USER}' WITH GRANT OPTION"
        )
        return super().create_database(name)


class PostgreSQL(postgresql.PostgreSQL):
    """A PostgreSQL that knows the tests' user."""

    def __init__(self):
        super().__init__('-csynchronous_commit=off', '-cfull_page_writes=off')

    def create_database(self, name):
        """Create the user beside it."""
        self.ask(f"CREATE ROLE {USER} SUPERUSER LOGIN PASSWORD '{USER}'")
        return super().create_database(name)


SERVERS = {'mysql': MariaDB, 'postgresql': PostgreSQL}


@contextlib.contextmanager
def started(backends):
    """Start a server for each of some kinds of database, at once.

    :returns: a context manager with an answer by kind: the ``port`` of the
        server, or the ``reason`` why there is none
    """
    if not backends:
        yield {}
        return
    process = subprocess.Popen(
        [sys.executable, '-m', __name__, *backends],
        cwd=base.ROOT,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError('the process that starts servers has ended')
        yield json.loads(line)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def _start(backend, stack):
    """Start a server that the stack ends; return the answer."""
    try:
        server = SERVERS[backend]()
        server.setUp()
    except (
        # The second one where servers are required.
        unittest.SkipTest,
        RuntimeError,
        # The system has no such user.
        LookupError,
        fixtures.MultipleExceptions,
    ) as error:
        return {'reason': _in_a_line(error)}
    stack.callback(server.cleanUp)
    return {'port': server.port}


def _in_a_line(error):
    """Return what has happened first, without the log of the server."""
    first = next(base.causes(error))
    return (str(first).strip() or repr(first)).splitlines()[-1]


def main(backends):
    """Start servers, say where they are, and end them when nobody listens."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        with futures.ThreadPoolExecutor() as pool:
            starts = [pool.submit(_start, b, stack) for b in backends]
            answers = [start.result() for start in starts]
        print(
            json.dumps(dict(zip(backends, answers, strict=True))), flush=True
        )
        sys.stdin.read()


if __name__ == '__main__':
    main(sys.argv[1:])
