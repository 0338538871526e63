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


"""A live migration from one end to the other: QEMU, database, message bus."""

import asyncio
import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid

from oslo_config import cfg
import oslo_messaging

from nova_migration import objects
from nova_migration.conf import opts
from nova_migration.hypervisor.qemu import link
from nova_migration.hypervisor.qemu import notify
from nova_migration.hypervisor.qemu.vocabulary import State
from tests.functional import base as functional
from tests.qemu import base

BUS = os.environ.get(
    'NOVA_MIGRATION_TEST_RABBITMQ', 'rabbit://guest:guest@127.0.0.1:5672/'
)


class Row(functional.DatabaseTest, base.QemuTest):
    """A row that is prepared, and a reader of its own."""

    STATUS_FORMAT = opts.StatusFormat.CANONICAL

    def setUp(self):
        super().setUp()
        self.expand()
        self.changes = []
        #: What another connection reads after each change.
        self.stored = []

    def accepted(self):
        """Return a live migration that was accepted."""
        migration = objects.Migration(
            self.context,
            migration_type='live-migration',
            source_compute='compute-1',
            dest_compute='compute-2',
        )
        migration.create()
        return migration

    def prepared(self):
        """Return one that has come as far as a compute brings it."""
        migration = self.accepted()
        self.stored.append(self.read(migration).state)
        for event in ('queue', 'prepare'):
            migration.process_event(event)
            self.stored.append(self.read(migration).state)
        return migration

    def read(self, migration):
        return objects.Migration.get_by_uuid(self.context, migration.uuid)

    def changed(self, change):
        self.changes.append(change)
        row = objects.Migration.get_by_uuid(
            self.context, change.migration_uuid
        )
        self.stored.append(row.state)

    @contextlib.asynccontextmanager
    async def followed(self, migration, *subscribers, **more):
        """A pair whose migration follows it."""
        linked = link.MigrationLink(
            migration, (self.changed, *subscribers), interval=0.1
        )
        async with self.pair(**more) as pair, link.Feed(pair, linked):
            yield pair


class EndToEndTest(Row):
    """On SQLite."""

    @base.in_loop
    async def test_accepted_to_completed(self):
        """The row goes from accepted to completed while the guest moves."""
        self.launch_pair()
        migration = self.prepared()
        async with self.followed(migration) as pair:
            await pair.prepare(parameters={'max-bandwidth': 16 << 20})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await asyncio.sleep(1.0)
            under_way = self.read(migration)
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('moved', now.verdict)
        self.assertEqual('running', under_way.state)
        self.assertGreater(under_way.memory_processed, 0)
        self.assertGreater(under_way.memory_remaining, 0)
        self.assertEqual(
            ['accepted', 'queued', 'preparing', 'running', 'completed'],
            [str(state) for state in self.stored],
        )
        events = [change.event for change in self.changes]
        self.assertEqual(['run', 'complete'], events)
        row = self.read(migration)
        self.assertEqual('completed', row.status)
        self.assertIn(
            'completed; QEMU says source completed', row.state_reason
        )
        self.assertIn('downtime', row.state_reason)
        self.assertGreater(row.memory_total, 32 << 20)
        self.assertGreater(row.memory_processed, 32 << 20)
        self.assertEqual(0, row.memory_remaining)

    @base.in_loop
    async def test_cancelled(self):
        """The row says cancelled, and why, and that it was not moved."""
        self.launch_pair()
        migration = self.prepared()
        async with self.followed(migration) as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.cancel()
            await pair.finish(base.PATIENCE)
        row = self.read(migration)
        self.assertEqual('cancelled', row.state)
        self.assertIn('user-cancel', row.state_reason)

    @base.in_loop
    async def test_rolled_back_by_a_restarted_service(self):
        """A service that was restarted fires what is left, and no more."""
        self.launch_pair()
        migration = self.prepared()
        async with self.followed(migration) as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            kept = pair.to_json()
        self.destination.signal(signal.SIGKILL)
        async with self.followed(
            self.read(migration), evidence=kept, filled=False
        ) as pair:
            await pair.finish(base.PATIENCE)
        events = [change.event for change in self.changes]
        self.assertEqual(['run', 'roll_back'], events)
        row = self.read(migration)
        self.assertEqual('failed', row.state)
        self.assertIn('failure: ', row.state_reason)

    @base.in_loop
    async def test_after_an_attempt_that_nobody_kept(self):
        """What a source still tells of an older attempt is not the row's."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare(parameters={'max-bandwidth': base.SLOW})
            await pair.start(self.uri)
            await self.reach(pair, State.TRANSFERRING)
            await pair.cancel()
            await pair.finish(base.PATIENCE)
        migration = self.prepared()
        other = self.launch('other', waits=True)
        async with self.followed(
            migration, destination=other, filled=False
        ) as pair:
            self.assertEqual(2, pair.attempt)
            await pair.prepare(parameters={'max-bandwidth': base.FAST})
            await pair.start(f'unix:{self.folder}/other')
            now = await pair.finish(base.PATIENCE)
            self.assertEqual('moved', now.verdict)
        events = [change.event for change in self.changes]
        self.assertEqual(['run', 'complete'], events)
        self.assertEqual('completed', self.read(migration).state)


class EndToEndMySQLTest(EndToEndTest):
    """On MariaDB or MySQL."""

    BACKEND = 'mysql'


class NotificationTest(Row):
    @base.in_loop
    async def test_each_change_is_notified_once_and_in_order(self):
        """Whoever listens on the bus hears every change, in its order."""
        conf = cfg.ConfigOpts()
        conf([], project='nova_migration')
        topic = f'nova_migration_{uuid.uuid4().hex}'
        heard = queue.Queue()
        listener = self.listen(conf, topic, heard)
        self.launch_pair()
        migration = self.prepared()
        notifier = notify.Notifier(conf, BUS, topic)
        async with self.followed(migration, notifier) as pair:
            await pair.prepare()
            await pair.start(self.uri)
            await pair.finish(base.PATIENCE)
        first = heard.get(timeout=base.PATIENCE)
        second = heard.get(timeout=base.PATIENCE)
        listener.stop()
        listener.wait()
        self.assertTrue(heard.empty())
        self.assertEqual(
            [('run', 'running'), ('complete', 'completed')],
            [(told['event'], told['state']) for told in (first, second)],
        )
        self.assertEqual(migration.uuid, second['migration_uuid'])
        self.assertEqual('moved', second['qemu']['verdict'])

    def listen(self, conf, topic, heard):
        class Endpoint:
            def info(self, _context, publisher, kind, payload, _metadata):
                heard.put({**payload, 'publisher': publisher, 'kind': kind})

        # The library would try again for as long as nobody answers.
        address = urllib.parse.urlsplit(BUS)
        try:
            socket.create_connection(
                (address.hostname, address.port), base.PATIENCE
            ).close()
        except OSError as error:
            base.unable(f'no message bus at {address.hostname}: {error}')
        transport = oslo_messaging.get_notification_transport(conf, url=BUS)
        try:
            listener = oslo_messaging.get_notification_listener(
                transport,
                [oslo_messaging.Target(topic=topic)],
                [Endpoint()],
                executor='threading',
            )
            listener.start(override_pool_size=1)
        except (OSError, oslo_messaging.MessageDeliveryFailure) as error:
            base.unable(f'no message bus: {error}')
        return listener


#: The command, heeding Ctrl-C even if a shell had these tests started in the
#: background, where it is ignored.
_PROGRAM = """
import signal
import sys

signal.signal(signal.SIGINT, signal.default_int_handler)
from nova_migration.cmd import manage

sys.exit(manage.main())
"""


class WatchTest(base.QemuTest):
    def watch(self, *arguments):
        """Start the command on the second monitors."""
        command = [
            *(sys.executable, '-c', _PROGRAM),
            *('qemu', 'watch', self.source.oob, self.destination.oob),
            *('-f', 'json', '--interval', '0.2', *arguments),
        ]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.stop, process)
        return process

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    async def told(self, process):
        return await asyncio.to_thread(
            process.communicate, timeout=base.PATIENCE
        )

    @base.in_loop
    async def test_watched_from_outside(self):
        """The command tells what somebody else's migration comes to."""
        self.launch_pair()
        async with self.pair() as pair:
            process = self.watch()
            await self.connected(process)
            await pair.prepare(parameters={'max-bandwidth': 32 << 20})
            await pair.start(self.uri)
            await pair.finish(base.PATIENCE)
            output, errors = await self.told(process)
        self.assertEqual(0, process.returncode, errors)
        [attempt] = json.loads(output)
        self.assertEqual('moved', attempt['verdict'])
        self.assertEqual(['completed'], attempt['reasons'])
        self.assertEqual(
            {'source': 'completed', 'destination': 'completed'},
            attempt['qemu_status'],
        )
        self.assertIn('attempt 1: transferring', errors)

    async def connected(self, process):
        """Wait until the command has asked both ends."""
        line = await asyncio.to_thread(process.stderr.readline)
        self.assertIn('attempt 1: idle', line)

    @base.in_loop
    async def test_after_the_end(self):
        """The command tells what has come of it when all is over."""
        self.launch_pair()
        async with self.pair() as pair:
            await pair.prepare()
            await pair.start(self.uri)
            await pair.finish(base.PATIENCE)
        process = self.watch()
        output, errors = await self.told(process)
        self.assertEqual(0, process.returncode, errors)
        self.assertEqual('moved', json.loads(output)[0]['verdict'])

    @base.in_loop
    async def test_interrupted(self):
        """Ctrl-C ends the command and leaves both QEMUs as they are."""
        self.launch_pair()
        async with self.pair(filled=False) as pair:
            process = self.watch()
            await self.connected(process)
            process.send_signal(signal.SIGINT)
            _output, errors = await self.told(process)
            self.assertEqual(130, process.returncode)
            self.assertNotIn('Traceback', errors)
            self.assertEqual((True, False), await self.runs(pair))

    @base.in_loop
    async def test_both_ended(self):
        """When both QEMUs have ended, there is nothing to wait for."""
        self.launch_pair()
        await self.source.ready()
        await self.destination.ready()
        process = self.watch()
        await self.connected(process)
        self.source.signal(signal.SIGKILL)
        self.destination.signal(signal.SIGKILL)
        output, errors = await self.told(process)
        self.assertEqual(0, process.returncode, errors)
        self.assertEqual('unknown', json.loads(output)[0]['verdict'])

    @base.in_loop
    async def test_timeout(self):
        """After its time the command tells what is known by then."""
        self.launch_pair()
        async with self.pair(filled=False):
            started = time.monotonic()
            process = self.watch('--timeout', '0.5')
            output, errors = await self.told(process)
            self.assertEqual(0, process.returncode, errors)
            self.assertLess(time.monotonic() - started, base.PATIENCE)
        self.assertEqual('unknown', json.loads(output)[0]['verdict'])

    def test_nobody_there(self):
        """A socket that nobody listens on is one line, and exit code 1."""
        process = subprocess.run(
            [
                *(sys.executable, '-c', _PROGRAM),
                *('qemu', 'watch', '/nowhere/a', '/nowhere/b'),
            ],
            capture_output=True,
            text=True,
            timeout=base.PATIENCE,
            check=False,
        )
        self.assertEqual(1, process.returncode)
        self.assertEqual(
            "The monitor of the source, '/nowhere/a': No such file or"
            ' directory.\n',
            process.stderr,
        )
