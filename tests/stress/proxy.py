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

"""A way to a database server that ends where a test wants it to."""

import contextlib
import enum
import random
import re
import select
import socket
import threading

import fixtures
import sqlalchemy as sa

from tests.servers import server

_CHUNK = 2**16

#: What both protocols spell out; drivers also set AUTOCOMMIT.
UPDATE = re.compile(rb'UPDATE migrations')
COMMIT = re.compile(rb'(?<!AUTO)COMMIT\0?\Z')


class Cut(enum.Enum):
    """When a connection ends, as the server has it.

    * ``BEFORE``: it never hears of the statement
    * ``AFTER``: it has carried the statement out, and nobody hears of that
    * ``DURING``: it may or may not have read the statement
    """

    BEFORE = enum.auto()
    AFTER = enum.auto()
    DURING = enum.auto()


class Proxy(fixtures.Fixture):
    """Forwards connections; :attr:`url` is the database's, through it."""

    def __init__(self, url):
        super().__init__()
        self._url = sa.make_url(url)
        self._cuts = []
        self._odds = 0
        self._chance = random.Random()
        self.cuts = 0

    def _setUp(self):
        self._listener = socket.create_server(
            ('127.0.0.1', server.free_port())
        )
        self.addCleanup(self.close)
        port = self._listener.getsockname()[1]
        url = self._url.set(host='127.0.0.1', port=port)
        if url.get_backend_name() == 'postgresql':
            # What is encrypted cannot be told apart.
            url = url.update_query_dict({'sslmode': 'disable'})
        self.url = url.render_as_string(hide_password=False)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, statement, when, meanwhile=None):
        """Cut the next connection on which a statement is sent.

        :param meanwhile: called when the server has done its part, and
            before the client learns that the connection has ended
        """
        self._cuts.append((statement, when, meanwhile))

    def cut_at_random(self, odds, seed):
        """From now on, cut at an UPDATE or COMMIT as often as that."""
        self._odds = odds
        self._chance = random.Random(seed)

    def close(self):
        """Let nobody in any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                threading.Thread(
                    target=self._serve, args=(client,), daemon=True
                ).start()

    def _serve(self, client):
        default = {'mysql': 3306, 'postgresql': 5432}
        port = self._url.port or default[self._url.get_backend_name()]
        address = self._url.host, port
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(address) as upstream,
        ):
            for end in (client, upstream):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._forward(client, upstream):
                pass

    def _forward(self, client, upstream):
        """Pass on what comes; return whether the connection goes on."""
        ready, _, _ = select.select([client, upstream], [], [])
        for end in ready:
            data = end.recv(_CHUNK)
            if not data:
                return False
            if end is upstream:
                client.sendall(data)
                continue
            when, meanwhile = self._chosen(data)
            if when is not None:
                self._end(upstream, data, when, meanwhile)
                return False
            upstream.sendall(data)
        return True

    def _end(self, upstream, data, when, meanwhile):
        self.cuts += 1
        if when is not Cut.BEFORE:
            upstream.sendall(data)
        if when is Cut.AFTER:
            upstream.recv(_CHUNK)
        else:
            # What it has not read it will not carry out.
            upstream.close()
        if meanwhile is not None:
            meanwhile()

    def _chosen(self, data):
        for position, (statement, when, meanwhile) in enumerate(self._cuts):
            if statement.search(data):
                del self._cuts[position]
                return when, meanwhile
        writes = UPDATE.search(data) or COMMIT.search(data)
        if writes and self._odds > self._chance.random():
            return self._chance.choice(list(Cut)), None
        return None, None
