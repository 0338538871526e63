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


"""A MariaDB of a test's own."""

import os

import pymysql

from tests.servers import server

#: Programs that may bear the name, MariaDB's own first.
_FOLDERS = ('/usr/sbin', '/usr/libexec')

#: Enough for some hundred thousand rows of Nova's table.
_SMALL = (
    '--innodb-buffer-pool-size=64M',
    '--innodb-log-file-size=64M',
    '--key-buffer-size=1M',
    '--performance-schema=OFF',
    '--skip-name-resolve',
    '--skip-log-bin',
)


class MariaDB(server.Server):
    """A MariaDB with durable commits; ``root`` needs no password."""

    #: The server refuses to be run by root, and so does Galera's rsync.
    RUN_AS = 'mysql' if os.geteuid() == 0 else None

    ERROR = pymysql.err.MySQLError

    def __init__(self, *options):
        super().__init__(*options)
        self.server = server.find('mariadbd', 'mariadb-server', *_FOLDERS)
        self.install = server.find('mariadb-install-db', 'mariadb-server')

    @property
    def admin_url(self):
        return f'mysql+pymysql://root@127.0.0.1:{self.port}/mysql'

    def connect(self):
        return pymysql.connect(
            host='127.0.0.1', port=self.port, user='root', autocommit=True
        )

    def initialize(self):
        self.install_in(self.data)

    def install_in(self, data):
        """Make a data directory with the system's tables."""
        self.run_to_end(
            [
                self.install,
                '--no-defaults',
                f'--datadir={data}',
                '--auth-root-authentication-method=normal',
                '--skip-test-db',
                '--skip-name-resolve',
            ]
        )

    def command(self):
        """Return the command; the server takes no file of the system's."""
        return [
            self.server,
            '--no-defaults',
            f'--datadir={self.data}',
            f'--port={self.port}',
            '--bind-address=127.0.0.1',
            f'--socket={self.folder / "socket"}',
            f'--pid-file={self.folder / "pid"}',
            *_SMALL,
        ]
