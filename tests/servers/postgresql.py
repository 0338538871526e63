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


"""A PostgreSQL of a test's own."""

import os
import pathlib
import signal

import psycopg2

from tests.servers import server


def folders():
    """Return where Debian keeps the programs, the newest release first."""
    return sorted(
        pathlib.Path('/usr/lib/postgresql').glob('*/bin'),
        key=lambda folder: float(folder.parent.name),
        reverse=True,
    )


class PostgreSQL(server.Server):
    """A PostgreSQL whose user ``postgres`` needs no password.

    It never waits for the disk. What it has written is the system's and
    survives its own SIGKILL; and it need not look through the whole data
    directory when it starts again, which takes seconds.
    """

    #: The server refuses to be run by root.
    RUN_AS = 'postgres' if os.geteuid() == 0 else None

    ERROR = psycopg2.Error

    def __init__(self, *options):
        super().__init__(*options)
        self.server = server.find('postgres', 'postgresql', *folders())
        # Beside each other, whatever else is called so on the PATH.
        beside = pathlib.Path(self.server).resolve().parent
        self.initdb = server.find('initdb', 'postgresql', beside)

    @property
    def admin_url(self):
        return f'postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres'

    def connect(self):
        connection = psycopg2.connect(
            host='127.0.0.1',
            port=self.port,
            user='postgres',
            dbname='postgres',
        )
        connection.autocommit = True
        return connection

    def initialize(self):
        self.run_to_end(
            [
                self.initdb,
                f'--pgdata={self.data}',
                '--username=postgres',
                '--auth=trust',
                '--encoding=UTF8',
                '--locale=C',
                '--no-sync',
            ]
        )

    def command(self):
        return [
            self.server,
            f'-D{self.data}',
            f'-p{self.port}',
            '-clisten_addresses=127.0.0.1',
            f'-cunix_socket_directories={self.folder}',
            '-cfsync=off',
        ]

    def stop(self):
        """Have it remove its shared memory, which outlives a SIGKILL."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(server.PATIENCE)
        super().stop()
