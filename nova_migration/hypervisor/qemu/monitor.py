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


"""One end's monitor: a QMP connection that may be lost and found again."""

import asyncio
from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import logging
import os
import select
import socket
import struct
from typing import Any

from qemu import qmp
from qemu.qmp import qmp_client

from nova_migration import exception
from nova_migration.hypervisor.qemu import recorder as recorder_mod

#: A path of a unix socket, or the host and port of a TCP one.
Address = str | tuple[str, int]

#: How long a process may take to end after its connection did, in seconds.
#: The kernel closes a process's sockets a moment before it reports the end.
_LAST_BREATH = 0.25

_PEER = struct.Struct('3i')

# It tells on its own account, and with tracebacks, what is raised anyway.
logging.getLogger('qemu.qmp').setLevel(logging.CRITICAL)


class _Client(qmp.QMPClient):
    """A client that shows every message in the order of the wire.

    The library's event queue and its replies are two ways to a caller: by
    the time it is awake again, a later event may have overtaken a reply.
    """

    def __init__(
        self,
        name: str,
        inbound: Callable[[Mapping[str, Any]], None],
        outbound: Callable[[Mapping[str, Any]], None],
    ):
        super().__init__(name)
        self._inbound = inbound
        self._outbound = outbound

    def _cb_inbound(self, msg: qmp.Message) -> qmp.Message:
        self._inbound(msg)
        self.events.clear()
        return super()._cb_inbound(msg)

    def _cb_outbound(self, msg: qmp.Message) -> qmp.Message:
        self._outbound(msg)
        return super()._cb_outbound(msg)


class Monitor:
    """A connection to one QEMU, which tells a recorder what goes over it.

    :param address: where QEMU's QMP socket is
    :param recorder: writes the facts; None for a second monitor, which
        would tell everything twice
    :param deadline: seconds that a command may take
    """

    def __init__(
        self,
        side: str,
        address: Address,
        recorder: recorder_mod.Recorder | None,
        deadline: float,
    ):
        self.side = side
        self.address = address
        self.deadline = deadline
        #: The process, where the kernel can tell it.
        self.pid: int | None = None
        #: Set while there is no connection.
        self.down = asyncio.Event()
        self.down.set()
        self._leave = asyncio.Event()
        self._recorder = recorder
        self._client: _Client | None = None
        self._asked: dict[str, tuple[int, str]] = {}
        self._process: int | None = None
        self._was_reaped = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a command can be sent."""
        return not self.down.is_set()

    # -- the connection ---------------------------------------------------

    async def connect(self) -> None:
        """Connect and listen; the events are heard from the first one on.

        :raises MonitorUnavailable: nobody answers; :attr:`process_ended`
            says whether that is because the process has ended
        """
        try:
            async with asyncio.timeout(self.deadline):
                client = await self._negotiated()
        except (OSError, qmp.QMPError, TimeoutError, EOFError) as error:
            raise self._unavailable(_why(error)) from error
        self._client = client
        self._asked = {}
        self.down.clear()
        self._leave.clear()
        self._keeper = asyncio.create_task(self._watch_over(client))

    async def _negotiated(self) -> _Client:
        """Return a client that is connected.

        The library takes an event for the answer to its greeting, if one is
        sent at that very moment; then it is tried again.
        """
        while True:
            client = _Client(self.side, self._inbound, self._outbound)
            try:
                await client.connect(await self._open())
            except qmp.ConnectError as error:
                if not isinstance(error.exc, qmp_client.NegotiationError):
                    raise
                await asyncio.sleep(0.01)
            else:
                return client

    async def _open(self) -> Any:
        if not isinstance(self.address, str):
            return self.address
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(opened, self.address)
            self._remember(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def _remember(self, opened: socket.socket) -> None:
        """Hold on to the process, so that nobody else gets its number."""
        peer = opened.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size
        )
        pid = _PEER.unpack(peer)[0]
        if pid == self.pid or pid <= 0:
            return
        self._forget()
        with contextlib.suppress(OSError):
            self._process = os.pidfd_open(pid)
        self.pid = pid

    def expect(self, pid: int) -> None:
        """Hold on to a process that another service was connected to."""
        self.pid = pid
        try:
            self._process = os.pidfd_open(pid)
        except ProcessLookupError:
            self._was_reaped = True
        except OSError:
            # Not allowed, or not on this kernel: its end stays unknown.
            self._process = None

    def _forget(self) -> None:
        if self._process is not None:
            os.close(self._process)
            self._process = None

    @property
    def process_ended(self) -> bool:
        """Whether the process that was connected is known to have ended."""
        if self._process is None:
            return self._was_reaped
        # A handle of a process can be read when the process has ended.
        return bool(_readable(self._process))

    async def _keep(self, client: _Client) -> None:
        """Wait for the connection's end, whoever ends it."""
        waits = {
            asyncio.create_task(_ended(client)),
            asyncio.create_task(self._leave.wait()),
        }
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self.down.set()
        # It raises again what ended the connection.
        with contextlib.suppress(OSError, EOFError, qmp.QMPError):
            await client.disconnect()
        self._client = None

    async def _watch_over(self, client: _Client) -> None:
        await self._keep(client)
        if self._recorder is not None:
            await self._report_loss(self._recorder)

    async def _report_loss(self, recorder: recorder_mod.Recorder) -> None:
        """Say that the process has ended before that its monitor has."""
        waited = 0.0
        while not self.process_ended and waited < _LAST_BREATH:
            await asyncio.sleep(0.01)
            waited += 0.01
        if self.process_ended:
            recorder.gone('the process has ended')
        recorder.lost()

    async def drop(self) -> None:
        """End the connection as a network would: the process goes on."""
        if self._keeper is not None:
            self._leave.set()
            await self._keeper

    async def close(self) -> None:
        """Let go; QEMU is left as it is, and nothing is recorded."""
        self._recorder = None
        await self.drop()
        self._forget()

    # -- commands ---------------------------------------------------------

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        oob: bool = False,
    ) -> Any:
        """Send a command and return the answer.

        :param oob: out of band: answered even when QEMU's main loop hangs
        :raises CommandRefused: QEMU says no
        :raises CommandTimeout: no answer within the deadline
        :raises MonitorUnavailable: there is no connection any more
        """
        client = self._client
        if client is None or not self.connected:
            raise self._unavailable('there is no connection')
        try:
            async with asyncio.timeout(self.deadline):
                return await client.execute(command, arguments, oob=oob)
        except TimeoutError as error:
            if self._recorder:
                word = recorder_mod.word_of(command, arguments)
                self._recorder.late(word)
            raise exception.CommandTimeout(
                side=self.side, command=command, seconds=self.deadline
            ) from error
        except qmp_client.ExecuteError as error:
            raise exception.CommandRefused(
                side=self.side, command=command, reason=str(error)
            ) from error
        except (qmp.QMPError, OSError, EOFError) as error:
            raise self._unavailable(_why(error)) from error

    def _unavailable(self, reason: str) -> exception.MonitorUnavailable:
        return exception.MonitorUnavailable(
            side=self.side, address=self.address, reason=reason
        )

    # -- the wire ---------------------------------------------------------

    def _outbound(self, message: Mapping[str, Any]) -> None:
        number = message.get('id')
        if self._recorder is None or number is None:
            return
        command = message.get('execute', message.get('exec-oob', ''))
        word = recorder_mod.word_of(command, message.get('arguments'))
        self._asked[number] = (self._recorder.sent(word), word)

    def _inbound(self, message: Mapping[str, Any]) -> None:
        if self._recorder is None:
            return
        if 'event' in message:
            self._recorder.heard(message['event'], message.get('data', {}))
        elif message.get('id') in self._asked:
            asked, word = self._asked.pop(message['id'])
            if 'error' in message:
                reason = message['error']['desc']
                self._recorder.refused(word, asked, reason)
            else:
                self._recorder.answered(word, asked, message['return'])


async def _ended(client: _Client) -> None:
    while client.runstate is qmp.Runstate.RUNNING:
        await client.runstate_changed()


def _readable(descriptor: int) -> list[Any]:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll.poll(0)


def _why(error: BaseException) -> str:
    """Return an error in the words of the system, without its wrapping."""
    cause = error.__cause__ if isinstance(error, qmp.QMPError) else None
    found = cause or error
    if isinstance(found, TimeoutError):
        return 'no answer in time; is another client connected?'
    if isinstance(found, EOFError):
        return 'the connection was closed'
    if isinstance(found, OSError) and found.strerror:
        return found.strerror
    return str(found)
