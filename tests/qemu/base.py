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


"""Tests with real QEMUs: two processes, no KVM, no guest operating system."""

import asyncio
import contextlib
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from nova_migration import exception
from nova_migration.hypervisor.qemu import driver
from tests import base

#: Set in CI: what is missing is a failure and not a skip.
REQUIRED = 'NOVA_MIGRATION_REQUIRE_QEMU'

#: How long any single thing may take on a machine that is busy, in seconds.
PATIENCE = 40

QEMU = os.environ.get('NOVA_MIGRATION_TEST_QEMU', 'qemu-system-x86_64')
SOURCE = pathlib.Path(__file__).with_name('guest.S')

#: Queries come often, so that a test does not wait for the timer.
TIMING = driver.Timing(interval=0.2, deadline=15.0)

#: Bytes a second at which 32 MiB take several seconds.
SLOW = 4 << 20
#: And at which they do not.
FAST = 1 << 30


@functools.cache
def assemble(pages, repeat):
    """Return the guest's ROM, made of the source beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        binary, rom = f'{folder}/guest.o', f'{folder}/guest.rom'
        _run(
            'as',
            '--32',
            f'--defsym=PAGES={pages}',
            f'--defsym=REPEAT={int(repeat)}',
            f'-o{binary}',
            str(SOURCE),
        )
        _run(
            'ld',
            '-melf_i386',
            '-Ttext=0xffff0000',
            '--entry=0xffff0000',
            '--oformat=binary',
            f'-o{rom}',
            binary,
        )
        return pathlib.Path(rom).read_bytes()


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)


def unable(reason):
    """Skip the test, unless everything is required."""
    if os.environ.get(REQUIRED):
        raise RuntimeError(reason)
    raise unittest.SkipTest(reason)


def look():
    """Skip the test if a program is missing."""
    missing = [
        tool for tool in (QEMU, 'as', 'ld') if shutil.which(tool) is None
    ]
    if missing:
        unable(f'{", ".join(missing)} not found: see bindep.txt')


class Process:
    """One QEMU and its two monitors.

    :param rom: what it runs
    :param waits: whether it waits for a guest, and then holds it
    """

    def __init__(self, folder, name, rom, waits):
        self.monitor = str(folder / f'{name}.qmp')
        self.oob = str(folder / f'{name}.oob')
        arguments = [
            QEMU,
            *('-accel', 'tcg', '-machine', 'pc', '-m', '64'),
            *('-nodefaults', '-no-user-config', '-display', 'none'),
            *('-bios', str(rom)),
            *('-qmp', f'unix:{self.monitor},server=on,wait=off'),
            *('-qmp', f'unix:{self.oob},server=on,wait=off'),
        ]
        if waits:
            arguments += ['-S', '-incoming', 'defer']
        self.errors = (folder / f'{name}.log').open('wb+')
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stderr=self.errors
        )

    async def ready(self):
        """Wait for both monitors."""
        async with asyncio.timeout(PATIENCE):
            while not (os.path.exists(self.oob)):
                assert self.process.poll() is None, self.said
                await asyncio.sleep(0.01)

    @property
    def said(self):
        """What the process wrote to its standard error."""
        self.errors.seek(0)
        return self.errors.read().decode(errors='replace')

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Kill this process, and no other."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self.errors.close()


class QemuTest(base.TestCase):
    """A test with QEMUs that end with it."""

    def setUp(self):
        super().setUp()
        look()
        # A socket's path is short, wherever the tests' own folders are.
        holder = tempfile.TemporaryDirectory(prefix='nm-', dir='/var/tmp')
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.uri = f'unix:{self.folder}/channel'

    def launch(self, name, waits=False, pages=8192, repeat=False):
        """Start a QEMU."""
        rom = self.folder / f'{name}.rom'
        rom.write_bytes(assemble(pages, repeat))
        process = Process(self.folder, name, rom, waits)
        self.addCleanup(process.end)
        return process

    def launch_pair(self, **more):
        """Start both ends."""
        self.source = self.launch('source', **more)
        self.launch_destination()

    def launch_destination(self):
        """Start a destination that waits for a guest, and then holds it."""
        self.destination = self.launch('destination', waits=True)

    @contextlib.asynccontextmanager
    async def pair(self, *, destination=None, filled=True, **more):
        """Connect to both ends; the guest has written its memory."""
        there = destination or self.destination
        await self.source.ready()
        await there.ready()
        more.setdefault('timing', TIMING)
        async with driver.Pair(
            self.source.monitor, there.monitor, **more
        ) as pair:
            if filled:
                await self.halted(pair)
            yield pair

    async def halted(self, pair):
        """Wait until the guest has written its memory and rests."""
        async with asyncio.timeout(PATIENCE):
            while 'HLT=1' not in await pair.source.execute(
                'human-monitor-command', {'command-line': 'info registers'}
            ):
                await asyncio.sleep(0.02)

    async def reach(self, pair, *states):
        """Wait until an attempt is in one of some states."""
        now = await pair.wait(lambda now: now.state in states, PATIENCE)
        self.assertIn(now.state, states, now)
        return now

    async def runs(self, pair):
        """Return whether the guest runs, here and there; None: no answer."""
        answers = []
        for end in (pair.source, pair.destination):
            try:
                answer = await end.execute('query-status')
            except exception.HypervisorError:
                answer = {}
            answers.append(answer.get('running'))
        return tuple(answers)

    def causes(self, now):
        """Return the causes of what follows, first cause first."""
        return [str(reason.cause) for reason in now.reasons]


def in_loop(test):
    """Make a test of a coroutine."""

    @functools.wraps(test)
    def wrapper(self):
        async def bounded():
            async with asyncio.timeout(2 * PATIENCE):
                await test(self)

        asyncio.run(bounded())

    return wrapper
