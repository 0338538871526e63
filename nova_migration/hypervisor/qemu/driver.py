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


"""Both ends of one live migration, driven so that the guest is safe.

The destination has to be started with ``-S`` and ``-incoming defer``: it is
let run here, when both ends say ``completed``, so that no race between a
cancel and the end can make the guest run twice.
"""

import asyncio
from collections.abc import Callable
from collections.abc import Coroutine
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import dataclasses
import logging
import types
from typing import Any
from typing import Self

from nova_migration import exception
from nova_migration.hypervisor.qemu import ends
from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import guest as guest_mod
from nova_migration.hypervisor.qemu import journal as journal_mod
from nova_migration.hypervisor.qemu import monitor as monitor_mod
from nova_migration.hypervisor.qemu import progress as progress_mod
from nova_migration.hypervisor.qemu import recorder as recorder_mod
from nova_migration.hypervisor.qemu import verdict as verdict_mod
from nova_migration.hypervisor.qemu import vocabulary as vocab

LOG = logging.getLogger(__name__)

#: Without them, there are no events to follow, and ``completed`` means no
#: more than "all written". Neither can be turned on under way.
CAPABILITIES = ('events', 'return-path')

Subscriber = Callable[[verdict_mod.Conclusion], None]
ProgressSubscriber = Callable[[progress_mod.Progress], None]

#: Seconds before an end that went away is looked at again.
_BREATH = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take, in seconds.

    :param deadline: for each command
    :param interval: between two queries, as a net under the events
    :param settle: for a QEMU to clean up behind an attempt
    :param stalled: without a byte sent, until that is said
    """

    deadline: float = 10.0
    interval: float = 1.0
    settle: float = 30.0
    stalled: float = 10.0


class Endpoint:
    """One end: its monitor, its part of the journal, its vocabulary.

    :param side: :data:`journal.SOURCE`, or the name of a destination
    :param oob: the address of a second monitor, for what has to be said out
        of band; without one, the first does both
    """

    def __init__(
        self,
        side: str,
        address: monitor_mod.Address,
        recorder: recorder_mod.Recorder,
        timing: Timing,
        oob: monitor_mod.Address | None = None,
    ):
        self.side = side
        self.recorder = recorder
        self.vocabulary = vocab.Vocabulary()
        #: Set when the next query should not wait for the timer.
        self.hurry = asyncio.Event()
        self._looking = asyncio.Lock()
        #: Whether its process is known to have ended.
        self.ended = False
        #: The last answer to ``query-migrate``.
        self.counters: Mapping[str, Any] = {}
        self.monitor = monitor_mod.Monitor(
            side, address, recorder, timing.deadline
        )
        self.out_of_band = self.monitor
        if oob is not None:
            self.out_of_band = monitor_mod.Monitor(
                side, oob, None, timing.deadline
            )
        self.execute = self.monitor.execute

    async def connect(self) -> None:
        """Connect, and learn which statuses this binary has.

        :raises MonitorUnavailable: nobody answers
        """
        await self.monitor.connect()
        if not self.out_of_band.connected:
            await self.out_of_band.connect()
        schema = await self.execute('query-qmp-schema')
        self.vocabulary = vocab.Vocabulary.from_schema(schema)
        if self.vocabulary.unknown:
            LOG.warning(
                'The %(side)s has statuses that are not known here:'
                ' %(statuses)s',
                {
                    'side': self.side,
                    'statuses': ', '.join(sorted(self.vocabulary.unknown)),
                },
            )
        if self.monitor.pid is not None:
            known = self.recorder.journal.processes
            known.setdefault(self.side, self.monitor.pid)

    async def go_on(self, pid: int | None) -> None:
        """Connect to an end that was watched before; it may have ended.

        What it said meanwhile is lost, so the gap is recorded.

        :param pid: its process, as it was then, if that was known
        """
        if pid is not None:
            self.monitor.expect(pid)
        self.recorder.lost()
        try:
            await self._find_again()
        except exception.HypervisorError as error:
            LOG.warning('%s', error)

    async def refresh(self) -> None:
        """Ask for the status and the run state; both become facts."""
        self.counters = await self.execute('query-migrate')
        await self.execute('query-status')

    async def look(self) -> None:
        """Refresh, or try to find a monitor that was lost.

        What cannot be asked is known less about; it is not an error.
        """
        async with self._looking:
            try:
                if not self.monitor.connected:
                    await self._find_again()
                await self.refresh()
            except exception.HypervisorError as error:
                LOG.debug('%s', error)

    async def _find_again(self) -> None:
        """Connect again, if it still is the process that it was."""
        if self.ended:
            return
        before = self.monitor.pid
        if self.monitor.process_ended:
            self.recorder.gone('the process has ended')
            self.ended = True
            return
        await self.connect()
        if before not in (None, self.monitor.pid):
            await self.monitor.close()
            self.recorder.gone('another process has its place')
            self.ended = True
            return
        self.recorder.back()

    async def settled(self) -> bool:
        """Whether nothing of a migration is left to be cleaned up."""
        listed = await self.execute('query-yank')
        return not recorder_mod.lists_migration(listed)

    async def enable(self, capabilities: Iterable[str]) -> None:
        """Turn capabilities on."""
        await self.execute(
            'migrate-set-capabilities',
            {
                'capabilities': [
                    {'capability': name, 'state': True}
                    for name in capabilities
                ]
            },
        )

    async def close(self) -> None:
        """Let go of the monitors."""
        await self.monitor.close()
        if self.out_of_band is not self.monitor:
            await self.out_of_band.close()


class _Telling(journal_mod.Journal):
    """A journal that says when something was written into it."""

    told: Callable[[], None] | None = None

    def record(self, side: str, kind: ev.Kind, value: str, **more: Any) -> int:
        number = super().record(side, kind, value, **more)
        if self.told:
            self.told()
        return number


class Pair:
    """Two running QEMUs and what is known of the migration between them.

    Use it as an asynchronous context manager; leaving it lets go of both
    QEMUs and changes nothing in them.

    :param source: the address of the source's monitor
    :param destination: the same of the destination
    :param evidence: what :meth:`to_json` returned to a service that was
        restarted; the attempt goes on where it was
    :param name: of the destination; each new process wants another one
    """

    def __init__(
        self,
        source: monitor_mod.Address,
        destination: monitor_mod.Address,
        *,
        evidence: str | None = None,
        timing: Timing | None = None,
        name: str = journal_mod.DESTINATION,
        source_oob: monitor_mod.Address | None = None,
    ):
        self.timing = timing or Timing()
        self._restored = evidence is not None
        self.journal = _Telling.from_json(evidence) if evidence else _Telling()
        self.source = self._endpoint(
            journal_mod.SOURCE, source, oob=source_oob
        )
        self.destination = self._endpoint(name, destination)
        self.journal.aim(name)
        self.journal.told = self._tell
        self.progress = progress_mod.Progress()
        self._subscribers: list[Subscriber] = []
        self._progress_subscribers: list[ProgressSubscriber] = []
        self._told: verdict_mod.Conclusion | None = None
        self._news = asyncio.Event()
        self._still: tuple[float, int | None] = (0.0, None)
        self._pollers: list[asyncio.Task[None]] = []

    def _endpoint(
        self,
        side: str,
        address: monitor_mod.Address,
        oob: monitor_mod.Address | None = None,
    ) -> Endpoint:
        recorder = recorder_mod.Recorder(self.journal, side)
        return Endpoint(side, address, recorder, self.timing, oob)

    async def __aenter__(self) -> Self:
        """Connect to both, ask both, and go on asking on a slow timer.

        :raises MonitorUnavailable: one of them does not answer
        """
        try:
            await self._connect(self.source)
            await self._connect(self.destination)
            await self.refresh()
        except BaseException:
            await self._let_go()
            raise
        self._pollers = [
            asyncio.create_task(self._poll(end)) for end in self._ends
        ]
        return self

    async def _connect(self, end: Endpoint) -> None:
        known = end is self.source or self.journal.watches(end.side)
        if self._restored and known:
            await end.go_on(self.journal.processes.get(end.side))
        else:
            await end.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Let go of both."""
        for poller in self._pollers:
            poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await poller
        await self._let_go()

    async def _let_go(self) -> None:
        self.journal.told = None
        await self.source.close()
        await self.destination.close()

    # -- what is known ----------------------------------------------------

    @property
    def conclusion(self) -> verdict_mod.Conclusion:
        """What follows from the evidence so far."""
        return verdict_mod.advance(self.journal.current)

    @property
    def conclusions(self) -> list[verdict_mod.Conclusion]:
        """The same, of every attempt."""
        return [verdict_mod.advance(one) for one in self.journal.attempts]

    @property
    def attempt(self) -> int:
        """The number of the attempt under way, or of the one to come.

        A source tells of its last migration until there is another one; what
        is there when we come, and nobody gave evidence of, is not ours.
        """
        view = self._view()
        sent = view.first(ev.Kind.SENT, 'migrate')
        ours = self.journal.watches(self.destination.side) and (
            sent is not None or self._restored
        )
        return self.journal.current.attempt + bool(view.ended and not ours)

    @property
    def both_ended(self) -> bool:
        """Whether both processes are gone, and nothing more can be learnt."""
        return all(end.monitor.process_ended for end in self._ends)

    def to_json(self) -> str:
        """Return all evidence, to be kept for the case of a restart."""
        return self.journal.to_json()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call with every change of what follows: once each, in order.

        It is called while a message of QEMU's is read, so it must not block.
        """
        self._subscribers.append(subscriber)

    def subscribe_progress(self, subscriber: ProgressSubscriber) -> None:
        """Call with the counters, each time they were asked for."""
        self._progress_subscribers.append(subscriber)

    def _tell(self) -> None:
        self._news.set()
        now = self.conclusion
        if now == self._told:
            return
        self._told = now
        if not now.definite and now.state is vocab.State.ENDING:
            for end in self._ends:
                end.hurry.set()
        for subscriber in self._subscribers:
            subscriber(now)

    async def refresh(self) -> None:
        """Ask both ends, and wait for both or their deadlines."""
        await asyncio.gather(*(self._look(end) for end in self._ends))

    @property
    def _ends(self) -> tuple[Endpoint, Endpoint]:
        return self.source, self.destination

    async def _look(self, end: Endpoint) -> None:
        await end.look()
        if end is not self.source:
            return
        now = progress_mod.Progress.from_query(end.counters)
        if now.counts:
            self.progress = now
            self._watch_progress(now)
            for subscriber in self._progress_subscribers:
                subscriber(now)

    def _watch_progress(self, now: progress_mod.Progress) -> None:
        clock = asyncio.get_running_loop().time()
        since, before = self._still
        moving = now.processed != before
        if moving:
            self._still = (clock, now.processed)
        under_way = self.conclusion.state is vocab.State.TRANSFERRING
        patient = clock - since < self.timing.stalled
        if not under_way or (not moving and patient):
            return
        said = self.journal.current.last(ev.End.SOURCE, ev.Kind.PROGRESS)
        if moving == (said is not None and said.value == 'none'):
            self.source.recorder.progress(moving)

    async def _poll(self, end: Endpoint) -> None:
        """Ask one end again and again; the other one may hang meanwhile."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timing.interval):
                    await end.hurry.wait()
            end.hurry.clear()
            await self._look(end)

    async def wait(
        self,
        until: Callable[[verdict_mod.Conclusion], bool],
        timeout: float | None = None,
    ) -> verdict_mod.Conclusion:
        """Wait until something follows, and return what does.

        :param timeout: seconds; when they have passed, what follows by then
            is returned all the same
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not until(self.conclusion):
                    self._news.clear()
                    await self._news.wait()
        return self.conclusion

    # -- what is done -----------------------------------------------------

    async def prepare(
        self,
        capabilities: Iterable[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Set both ends up, before the destination listens.

        :param capabilities: besides :data:`CAPABILITIES`, which are always on
        :param parameters: of ``migrate-set-parameters``, for the source
        :raises CommandRefused: a QEMU does not have one, or is migrating
        :raises NotSettled: an earlier attempt is still being cleaned up
        """
        await self.settle()
        wanted = (*CAPABILITIES, *capabilities)
        for end in self._ends:
            await end.enable(wanted)
        if parameters:
            await self.source.execute('migrate-set-parameters', parameters)

    async def start(self, uri: str, *, listen: bool = True) -> None:
        """Begin an attempt.

        :param uri: where the destination listens, such as ``unix:/path``
        :param listen: whether it has to be told to
        :raises CommandRefused: an end says no
        :raises UnsafeCommand: the guest is paused
        """
        told = await self.source.execute('query-status')
        if not told['running']:
            raise exception.UnsafeCommand(
                command='migrate',
                reason='the guest does not run, so that nothing could prove'
                ' where it does afterwards',
            )
        if listen:
            await self.destination.execute('migrate-incoming', {'uri': uri})
        try:
            await self.source.execute('migrate', {'uri': uri})
        finally:
            # By now the attempt is the current one.
            self.destination.recorder.held()

    async def cancel(self, *, force: bool = False) -> None:
        """Ask for the attempt to be cancelled.

        :param force: even though the switchover has begun; whether the guest
            then is here or there is known only when both ends have answered
        :raises UnsafeCommand: the switchover has begun; or the guest was
            handed over, and then force does not help: QEMU 7.2 would obey
            and lose it
        """
        now = self.conclusion
        if now.no_return:
            raise exception.UnsafeCommand(
                command='migrate_cancel',
                reason='the guest runs on the destination already',
            )
        if self._view().saw(vocab.SWITCHED):
            if not force:
                raise exception.UnsafeCommand(
                    command='migrate_cancel',
                    reason='the switchover has begun, and the guest could'
                    ' come to run on both ends',
                )
            LOG.warning('Cancelling although the switchover has begun.')
        await self.source.execute('migrate_cancel')

    def _view(self) -> ends.EndView:
        return ends.EndView(self.journal.current, ev.End.SOURCE)

    async def proceed(self) -> None:
        """Let an attempt go on that waits before its switchover."""
        await self.source.execute(
            'migrate-continue', {'state': 'pre-switchover'}
        )

    async def switch_to_postcopy(self) -> None:
        """Let the guest run on the destination, and its pages follow."""
        await self.source.execute('migrate-start-postcopy')

    async def recover(self, uri: str) -> None:
        """Take up a postcopy whose channel broke.

        :param uri: where the destination is to listen; not the old place
        """
        await self.destination.execute('migrate-recover', {'uri': uri})
        await self.source.execute('migrate', {'uri': uri, 'resume': True})

    async def interrupt(self) -> None:
        """Break the channel, out of band: also of a source that hangs."""
        await self.source.out_of_band.execute(
            'yank', {'instances': [{'type': 'migration'}]}, oob=True
        )

    async def settle(self) -> None:
        """Wait until the source may be touched after an attempt.

        QEMU below 11 calls an attempt failed before it has cleaned up; a
        capability that is set meanwhile can end the process.

        :raises NotSettled: it takes too long
        """
        if self._view().ended is None:
            return
        try:
            async with asyncio.timeout(self.timing.settle):
                while not await self.source.settled():
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise exception.NotSettled(
                side=self.source.side, seconds=self.timing.settle
            ) from error

    async def start_destination(self) -> None:
        """Let the guest run on the destination.

        :raises UnsafeCommand: not both ends have completed
        """
        self._require(guest_mod.Action.START_DESTINATION, 'cont')
        await self.destination.execute('cont')

    async def resume_source(self) -> None:
        """Let the guest go on where it was.

        :raises UnsafeCommand: the destination is not proved dead, or the
            guest was handed over
        """
        self._require(guest_mod.Action.RESUME_SOURCE, 'cont')
        await self.settle()
        await self.source.execute('cont')

    def _require(self, action: guest_mod.Action, command: str) -> None:
        now = self.conclusion
        if now.action is not action:
            raise exception.UnsafeCommand(
                command=command,
                reason=f'it is not proved safe to {action.replace("_", " ")}'
                f' (state {now.state}, verdict {now.verdict})',
            )

    async def finish(
        self, timeout: float | None = None
    ) -> verdict_mod.Conclusion:
        """Wait for the end, and do what is safe then.

        :param timeout: seconds
        :returns: what follows; its verdict is ``unknown`` if that is not
            proved within the time
        """
        acts: dict[guest_mod.Action, Callable[[], Coroutine[Any, Any, None]]]
        acts = {
            guest_mod.Action.START_DESTINATION: self.start_destination,
            guest_mod.Action.RESUME_SOURCE: self.resume_source,
        }
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    now = await self.wait(is_over_or_wants(acts))
                    act = acts.get(now.action)
                    if act is None:
                        break
                    # The counters are complete now, the downtime among them.
                    await self.refresh()
                    if self.conclusion.action is now.action:
                        await self._attempt_to(act)
                    await self.refresh()
                # Once more, as libvirt does: the end may not be the end.
                await self.refresh()
        return self.conclusion

    async def _attempt_to(
        self, act: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Do what is safe, to an end that may have gone away meanwhile.

        That it has is evidence, or will be when its process is looked at or
        its monitor found again.
        """
        try:
            await act()
        except exception.MonitorUnavailable:
            await asyncio.sleep(_BREATH)


def is_over_or_wants(
    actions: Iterable[guest_mod.Action],
) -> Callable[[verdict_mod.Conclusion], bool]:
    """Return a question: is it over, or is one of some actions safe?"""
    wanted = frozenset(actions)
    return lambda now: now.definite or now.action in wanted
