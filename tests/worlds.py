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


"""Run functional tests on machines that nobody, or somebody, has prepared.

``python -m tests.worlds`` makes each of these worlds, runs a few tests in it
and says what came of that; ``python -m tests.worlds strangers -- COMMAND``
runs another command in one of them. The servers are its own; those of the
machine are left alone.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from tests import base
from tests import required
from tests import run_with_servers
from tests.servers import mariadb
from tests.servers import postgresql
from tests.servers import server
from tests.servers import shared

#: What is run if no command is given: a few tests on every database.
FEW = 'functional.integration'

_LABEL = re.compile(
    rf'(?:{"|".join(kind.label for kind in shared.KINDS.values())}): '
)

_FIXTURES = {'mysql': mariadb.MariaDB, 'postgresql': postgresql.PostgreSQL}

#: Both servers admit its administrators without a password.
_PREPARE = base.ROOT / 'tools' / 'test-setup.sh'


@dataclasses.dataclass(frozen=True)
class Visit:
    """What came of a command.

    :ivar told: what was said of each server
    """

    code: int
    lines: list[str]

    @property
    def told(self):
        return [line for line in self.lines if _LABEL.match(line)]

    def count(self, outcome):
        """Return how many tests stestr's summary has of an outcome."""
        (found,) = (
            line.rpartition(' ')[2]
            for line in self.lines
            if line.startswith(f' - {outcome}: ')
        )
        return int(found)


def environ(**more):
    """Return our variables without what says which programs there are.

    Nor is what runs in a world measured with what has made it.
    """
    ours = [kind.variable for kind in shared.KINDS.values()]
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((*ours, required.PREFIX, server.FOLDERS))
        and name != 'PYTHON'
    } | more


def with_servers(*command):
    """Return the command that runs another one with servers."""
    return [sys.executable, '-m', 'tests.run_with_servers', '--', *command]


def if_possible(need, *command):
    """Return the command that runs another one where that makes sense."""
    return [sys.executable, '-m', 'tests.if_possible', need, '--', *command]


@contextlib.contextmanager
def _listening(*backends):
    """Have servers that know nobody of ours; all other ports are closed."""
    with contextlib.ExitStack() as stack:
        yield {
            f'{kind.variable}_PORT': str(
                stack.enter_context(_FIXTURES[backend]()).port
                if backend in backends
                else server.free_port()
            )
            for backend, kind in shared.KINDS.items()
        }


@contextlib.contextmanager
def closed():
    """No server listens, and one of each kind is started."""
    with _listening() as ports:
        yield ports


@contextlib.contextmanager
def nothing():
    """No server listens, and none can be started."""
    with closed() as ports, tempfile.TemporaryDirectory() as empty:
        yield {**ports, server.FOLDERS: empty}


@contextlib.contextmanager
def strangers():
    """Both servers listen and do not know the user; none can be started."""
    with (
        _listening(*shared.KINDS) as ports,
        tempfile.TemporaryDirectory() as empty,
    ):
        yield {**ports, server.FOLDERS: empty}


@contextlib.contextmanager
def programs():
    """Both servers listen and do not know the user; others are started."""
    with _listening(*shared.KINDS) as ports:
        yield ports


@contextlib.contextmanager
def prepared():
    """Both servers listen, and tools/test-setup.sh has been run."""
    with strangers() as variables:
        subprocess.run(
            [_PREPARE],
            check=True,
            # As the servers' own clients have them.
            env=environ(
                MYSQL_TCP_PORT=variables[_port('mysql')],
                PGPORT=variables[_port('postgresql')],
            ),
            capture_output=True,
        )
        yield variables


@contextlib.contextmanager
def one():
    """Only PostgreSQL listens and is prepared."""
    with prepared() as variables:
        yield {**variables, _port('mysql'): str(server.free_port())}


def _port(backend):
    return f'{shared.KINDS[backend].variable}_PORT'


WORLDS = {
    made.__name__: made
    for made in (nothing, strangers, programs, prepared, one)
}


def few(repository):
    """Return the command that runs a few tests, as tox would."""
    stestr = [sys.executable, '-m', 'stestr', '--repo-url', repository]
    stestr += ['--test-path', './tests/functional', 'run', FEW]
    return with_servers(*stestr)


def visit(variables, command=None, **more):
    """Run a command, or a few tests, in a world; return the :class:`Visit`.

    :param more: variables beside those of the world
    """
    with tempfile.TemporaryDirectory() as repository:
        done = subprocess.run(
            command or few(repository),
            check=False,
            cwd=base.ROOT,
            env=environ(**variables, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Visit(done.returncode, done.stdout.splitlines())


def main(argv):
    """Visit the worlds that are named; return an exit status."""
    parser = argparse.ArgumentParser(
        prog=f'python -m {__spec__.name}', description=__doc__
    )
    parser.add_argument('world', nargs='*', help=f'of {", ".join(WORLDS)}')
    parser.add_argument('--keep', type=pathlib.Path, help='the output: here')
    own, command = run_with_servers.parted(argv)
    asked = parser.parse_args(own)
    failed = False
    for name in asked.world or WORLDS:
        with WORLDS[name]() as variables:
            seen = visit(variables, command)
        print(f'{name}: exit {seen.code}, {len(seen.lines)} lines')
        print(*seen.told, sep='\n', flush=True)
        if asked.keep:
            asked.keep.write_text('\n'.join(seen.lines), encoding='utf-8')
        if seen.code:
            print(*seen.lines[-30:], sep='\n')
            failed = True
    return int(failed)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
