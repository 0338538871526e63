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


"""A Galera cluster of a test's own: three MariaDBs on the loopback."""

import glob
import re
import shutil

import fixtures

from tests.servers import mariadb
from tests.servers import server

#: Where packages put Galera's library.
_LIBRARIES = ('/usr/lib*/galera*/libgalera_smm.so',)

#: What wsrep_local_state says of a node that takes part.
SYNCED = 4

_RECOVERED = re.compile(r'Recovered position: (\S+:-?\d+)')


def _library():
    for pattern in _LIBRARIES:
        for path in sorted(glob.glob(pattern), reverse=True):
            return path
    return server.missing(
        'there is no libgalera_smm.so: install the package galera-4'
    )


class Node(mariadb.MariaDB):
    """A node; it is started by its cluster."""

    def __init__(self, name, *options):
        super().__init__(*options)
        self.library = _library()
        self.sst = server.find('rsync', 'rsync') and 'rsync'
        self.name = name
        self.addresses = ()

    def _setUp(self):
        self.folder = self._make_folder()
        self.data = self.folder / 'data'
        self.log = self.folder / 'log'
        self.port, self.group, self.ist, self.transfer = (
            server.free_port() for _ in range(4)
        )
        self.addCleanup(self.stop)

    def command(self):
        address = f'127.0.0.1:{self.group}'
        provider = {
            'gmcast.listen_addr': f'tcp://{address}',
            'ist.recv_addr': f'127.0.0.1:{self.ist}',
            'gcache.size': '64M',
            # A killed node is given up sooner than after five seconds.
            'evs.keepalive_period': 'PT0.5S',
            'evs.suspect_timeout': 'PT2S',
            'evs.inactive_timeout': 'PT10S',
        }
        options = {
            'binlog-format': 'ROW',
            'innodb-autoinc-lock-mode': 2,
            'wsrep-on': 'ON',
            'wsrep-provider': self.library,
            'wsrep-provider-options': ';'.join(
                f'{name}={value}' for name, value in provider.items()
            ),
            'wsrep-cluster-name': 'nova_migration',
            'wsrep-cluster-address': f'gcomm://{",".join(self.addresses)}',
            'wsrep-node-name': self.name,
            'wsrep-node-address': address,
            'wsrep-sst-method': self.sst,
            'wsrep-sst-receive-address': f'127.0.0.1:{self.transfer}',
        }
        return [
            *super().command(),
            *(f'--{name}={value}' for name, value in options.items()),
        ]

    def empty(self):
        """Make the data directory an empty one."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir()
        self.give(self.data)

    def status(self, name):
        """Return a status variable of Galera's."""
        rows = self.ask(f"SHOW GLOBAL STATUS LIKE 'wsrep_{name}'")
        return rows[0][1] if rows else None

    def wait_until_synced(self, size=None):
        """Wait until the node takes part, among so many if that is given.

        :raises Ended: it has ended instead
        """
        for attempt in server.patiently(on=(self.ERROR, server.NotYet)):
            with attempt:
                self.require_running()
                here = int(self.status('local_state') or 0)
                among = int(self.status('cluster_size') or 0)
                if here != SYNCED or size not in (None, among):
                    raise server.NotYet(f'{self.name}: {here} of {among}')

    def join(self, *options):
        """Start the node and wait until it takes part."""
        self.launch(*options)
        self.wait_until_synced()

    def recovered(self):
        """Return the last transaction that a killed node's data have.

        The group can then send what the node lacks; otherwise it would send
        everything.
        """
        before = self.log.stat().st_size
        self.run_to_end([*self.command(), *self.options, '--wsrep-recover'])
        with self.log.open(errors='replace') as log:
            log.seek(before)
            return _RECOVERED.findall(log.read())[-1]


class Cluster(fixtures.Fixture):
    """Three nodes, synced; :attr:`nodes` has them.

    :param options: added to the command line of each node
    """

    SIZE = 3

    def __init__(self, *options):
        super().__init__()
        self.made = [
            Node(f'node{number}', *options)
            for number in range(1, self.SIZE + 1)
        ]

    def _setUp(self):
        self.nodes = [self.useFixture(node) for node in self.made]
        addresses = [f'127.0.0.1:{node.group}' for node in self.nodes]
        first, *others = self.nodes
        first.install_in(first.data)
        for node in self.nodes:
            node.addresses = addresses
        first.join('--wsrep-new-cluster')
        for node in others:
            node.empty()
            node.join()
        self.wait_until_whole()

    def wait_until_whole(self):
        """Wait until every node sees every other."""
        for node in self.nodes:
            node.wait_until_synced(self.SIZE)

    def rejoin(self, node, transfer=False):
        """Start a killed node again; it gets what it lacks from the group.

        :param transfer: give it all data anew (SST) and not the rest (IST)
        """
        position = []
        if transfer:
            node.empty()
        else:
            # It must not look for the members that it had when it was killed.
            (node.data / 'gvwstate.dat').unlink(missing_ok=True)
            position = [f'--wsrep-start-position={node.recovered()}']
        node.join(*position)

    def make_whole(self):
        """Start again the nodes that a test has left dead."""
        for node in self.nodes:
            if node.process is None:
                self.rejoin(node)
        self.wait_until_whole()
