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


"""A server of a test's own: a process, a data directory, a port."""

import abc
import contextlib
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import unittest

import fixtures
import psutil
import sqlalchemy as sa
import tenacity

from tests import required

#: A variable: the only folders that programs of servers are looked for in.
FOLDERS = 'NOVA_MIGRATION_TEST_SERVER_FOLDERS'

#: Where packages put servers that an ordinary user's PATH does not have.
_MORE_PATH = ('/usr/sbin', '/usr/local/sbin', '/usr/libexec')

#: Seconds that a server may take to answer, or to be gone.
PATIENCE = 60

#: The database that is made in each server.
DATABASE = 'nova_migration'


def find(name, package, *folders):
    """Return the path of a program, or skip the test.

    It is called in the constructor of a fixture, so that the test is skipped
    before anything is set up.

    :param package: what to install
    :param folders: to look in before the PATH, the best one first
    """
    usual = (*map(str, folders), os.environ.get('PATH', ''), *_MORE_PATH)
    path = os.environ.get(FOLDERS, os.pathsep.join(usual))
    found = shutil.which(name, path=path)
    if found is None:
        missing(f'there is no {name}: install the package {package}')
    return found


def missing(reason):
    """Skip the test, or fail it where databases are required."""
    if os.environ.get(required.DATABASES):
        raise RuntimeError(reason)
    raise unittest.SkipTest(reason)


def free_port():
    """Return a port of 127.0.0.1 that nobody listens on.

    It is below the ports that the kernel gives to clients: while the server
    of such a port is down, a client that tries to reach it can be given the
    very port, and then it is connected to itself.
    """
    for port in random.sample(range(20000, 32000), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
            return port
    raise RuntimeError('no port of 127.0.0.1 is free')


def patiently(*, on=Exception, seconds=PATIENCE):
    """Return the waiting for something that comes about elsewhere."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(seconds),
        reraise=True,
    )


class NotYet(Exception):
    """What is waited for has not come about."""


class Ended(RuntimeError):
    """A server ended instead of answering; the message is its last words."""


class Server(fixtures.Fixture, abc.ABC):
    """A server in a fresh data directory, gone with it at the end.

    :attr:`url` names a database in it, :attr:`admin_url` the server's own.
    """

    #: The user of the system that the server runs as; None for our own.
    RUN_AS = None

    #: What the driver raises.
    ERROR = Exception

    def __init__(self, *options):
        """Look for the programs.

        :param options: added to the command line of the server
        """
        super().__init__()
        self.options = options
        self.process = None

    def _setUp(self):
        self.folder = self._make_folder()
        self.data = self.folder / 'data'
        self.log = self.folder / 'log'
        self.port = free_port()
        self.addCleanup(self.stop)
        self.initialize()
        self.start()
        self.create_database(DATABASE)
        self.url = self.url_of(DATABASE)

    def _make_folder(self):
        """Make a folder that the server's user can get at.

        A test's own temporary folder is nobody else's.
        """
        top = os.environ.get('TMPDIR', '/tmp')
        folder = tempfile.mkdtemp(prefix='nova-migration-', dir=top)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.give(folder)
        return pathlib.Path(folder)

    def give(self, path):
        """Make a file the server's user's."""
        if self.RUN_AS:
            shutil.chown(path, self.RUN_AS, self.RUN_AS)

    @property
    @abc.abstractmethod
    def admin_url(self):
        """The URL of the database that every such server has."""

    @abc.abstractmethod
    def initialize(self):
        """Fill the data directory."""

    @abc.abstractmethod
    def command(self):
        """Return the command line of the server, which stays in front."""

    def url_of(self, database):
        """Return the URL of a database of the server."""
        url = sa.make_url(self.admin_url).set(database=database)
        return url.render_as_string(hide_password=False)

    def create_database(self, name):
        """Make an empty database and return its URL."""
        self.ask(f'CREATE DATABASE {name}')
        return self.url_of(name)

    @abc.abstractmethod
    def connect(self):
        """Return a connection of the driver's, which commits by itself.

        :raises Exception: of the type :attr:`ERROR`
        """

    def ask(self, statement):
        """Run a statement on a connection of its own; return rows, if any."""
        connection = self.connect()
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else ()

    def popen(self, command):
        """Start a process as the server's user; its output goes to the log."""
        with self.log.open('ab') as log:
            return subprocess.Popen(
                [*map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # A MariaDB that starts removes all temporary tables that it
                # finds, those of others that run, too.
                env={**os.environ, 'TMPDIR': str(self.folder)},
                start_new_session=True,
                # Of root's groups none is kept.
                **(
                    {
                        'user': self.RUN_AS,
                        'group': self.RUN_AS,
                        'extra_groups': [],
                    }
                    if self.RUN_AS
                    else {}
                ),
            )

    def run_to_end(self, command):
        """Run a program that has to succeed."""
        if self.popen(command).wait(PATIENCE):
            raise RuntimeError(f'{command[0]} failed: {self.last_words()}')

    def last_words(self):
        """Return the end of the log."""
        return self.log.read_text(errors='replace')[-4000:]

    def start(self, *options):
        """Start the server on the data that are there; wait until it answers.

        :param options: for this start only
        """
        self.launch(*options)
        self.wait_until_ready()

    def launch(self, *options):
        """Start the server and do not wait."""
        self.process = self.popen([*self.command(), *self.options, *options])

    def wait_until_ready(self):
        """Wait until the server answers.

        :raises Ended: it has ended instead
        """
        for attempt in patiently(on=self.ERROR):
            with attempt:
                self.require_running()
                self.ask('SELECT 1')

    def require_running(self):
        """Raise Ended if the server is not there any more."""
        if self.process.poll() is not None:
            raise Ended(self.last_words())

    def kill(self):
        """SIGKILL the server and every process of it; wait until all go.

        The one in front goes first, so that it does not start new ones.
        """
        if self.process is None:
            return
        try:
            front = psutil.Process(self.process.pid)
            family = [front, *front.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(PATIENCE)
        self.process = None
        for attempt in patiently(on=NotYet):
            with attempt:
                if any(map(runs, family)):
                    raise NotYet(family)

    def stop(self):
        """End the server for good; nobody needs its data."""
        self.kill()


def runs(process):
    """Tell a process that runs from one that nobody has reaped yet."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
