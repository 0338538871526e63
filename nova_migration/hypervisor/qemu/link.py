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


"""From what follows from QEMU's reports to the Migration object.

The events of the live-migration machine are fired in its order; one whose
moment was missed is made up for before the next. Where the row is decides
which are left, so that nothing is fired twice, after a restart either.
"""

import asyncio
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import logging
import time
import types
from typing import Self

from oslo_db import exception as db_exc

from nova_migration import exception
from nova_migration import objects
from nova_migration.hypervisor.qemu import driver
from nova_migration.hypervisor.qemu.guest import Action
from nova_migration.hypervisor.qemu.progress import Progress
from nova_migration.hypervisor.qemu.verdict import Cause
from nova_migration.hypervisor.qemu.verdict import Conclusion
from nova_migration.hypervisor.qemu.vocabulary import State
from nova_migration.hypervisor.qemu.vocabulary import Verdict
from nova_migration.states import MigrationState

LOG = logging.getLogger(__name__)

#: Seconds between two writes of the counters, as in Nova's libvirt driver.
INTERVAL = 5.0

_CANCELS = frozenset({Cause.USER_CANCEL, Cause.OTHER_CANCEL})
#: The guest is somewhere in between, or twice.
_FAILED = frozenset({Verdict.SPLIT, Verdict.LOST})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One public change: the row has moved along an edge.

    :param migration_uuid: which row
    :param event: of the live-migration machine
    :param state: where the row is now
    :param status: the public word for it
    :param reason: what was written to the row, if there is one
    :param conclusion: what it follows from
    """

    migration_uuid: str
    event: str
    state: str
    status: str
    reason: str | None
    conclusion: Conclusion


Subscriber = Callable[[Change], None]


def events_for(now: Conclusion) -> Iterator[str]:
    """Yield the machine's events up to now, in its order."""
    if now.state is State.IDLE:
        return
    yield 'run'
    if now.no_return:
        yield 'switch_to_postcopy'
    end = end_event(now)
    if end is not None:
        yield end


def end_event(now: Conclusion) -> str | None:
    """Return the event that ends the move, if it has ended.

    A source that is stopped and could be resumed is not rolled back yet.
    """
    if now.verdict is Verdict.MOVED:
        return 'complete'
    if now.verdict in _FAILED:
        return 'fail'
    if now.verdict is Verdict.NOT_MOVED and now.action is Action.NONE:
        first = now.reasons[0].cause if now.reasons else None
        return 'cancel' if first in _CANCELS else 'roll_back'
    return None


def reason_for(now: Conclusion, progress: Progress) -> str:
    """Return the reasons as the row keeps them, with QEMU's own words."""
    parts = [str(reason) for reason in now.reasons]
    said = ', '.join(
        f'{end} {status}'
        for end, status in (
            ('source', now.source_status),
            ('destination', now.destination_status),
        )
        if status
    )
    parts += [f'QEMU says {said}'] if said else []
    if progress.summary:
        parts.append(progress.summary)
    return '; '.join(parts)


class MigrationLink:
    """Fires on one Migration what follows from one attempt.

    It waits for the database, so that under asyncio :class:`Feed` calls it.

    :param migration: a live migration, as it is in the database; replaced by
        a new reading when somebody else has moved the row
    :param subscribers: called with each change, once and in order
    :param attempt: which one the migration is the record of; without it,
        the one under way, or the first to come
    :param interval: seconds between two writes of the counters
    """

    def __init__(
        self,
        migration: objects.Migration,
        subscribers: Iterable[Subscriber] = (),
        *,
        attempt: int | None = None,
        interval: float = INTERVAL,
    ):
        self.migration = migration
        self.progress = Progress()
        self._subscribers = tuple(subscribers)
        self.attempt = attempt
        self._interval = interval
        self._written: tuple[float, Progress] = (float('-inf'), Progress())

    def take(self, now: Conclusion) -> None:
        """Bring the row to where the guest is.

        :raises MigrationNotFound: the row is gone
        :raises TransitionConflict: others keep moving the row
        """
        if self.attempt is None:
            self.attempt = now.attempt
        if now.attempt != self.attempt:
            return
        if now.definite:
            self._write_progress()
        try:
            self._fire(now)
        except exception.TransitionConflict as conflict:
            LOG.warning('%s', conflict)
            self.migration = objects.Migration.get_by_id(
                self.migration._context, self.migration.id
            )
            self._fire(now)

    def _fire(self, now: Conclusion) -> None:
        events = events_for(now)
        if self.migration.state == MigrationState.ERROR:
            # The way there would be fired again; only an end is news.
            events = (event for event in (end_event(now),) if event)
        for event in events:
            if event in self.migration.allowed_events:
                self._move(event, now)

    def _move(self, event: str, now: Conclusion) -> None:
        # On the way there, what is known of the end is no reason yet.
        ends = event == end_event(now)
        reason = reason_for(now, self.progress) if ends else None
        self.migration.process_event(event, reason=reason)
        change = Change(
            migration_uuid=self.migration.uuid,
            event=event,
            state=str(self.migration.state),
            status=str(self.migration.status),
            reason=reason,
            conclusion=now,
        )
        for subscriber in self._subscribers:
            subscriber(change)

    def take_progress(self, progress: Progress) -> None:
        """Keep the counters, and write them every now and then.

        The row has fields for the bytes. The dirty rate and the downtime go
        into the reason with which the row ends.
        """
        self.progress = progress
        written, _last = self._written
        if time.monotonic() - written >= self._interval:
            self._write_progress()

    def _write_progress(self) -> None:
        if self.progress in (self._written[1], Progress()):
            return
        self.migration.memory_total = self.progress.total
        self.migration.memory_processed = self.progress.processed
        self.migration.memory_remaining = self.progress.remaining
        self.migration.save()
        self._written = (time.monotonic(), self.progress)


class Feed:
    """Hands what a pair tells to a link, in order, beside the event loop.

    Use it as an asynchronous context manager; leaving it waits until the
    link has taken everything.
    """

    def __init__(self, pair: driver.Pair, link: MigrationLink):
        self._link = link
        self._queue: asyncio.Queue[Conclusion | Progress] = asyncio.Queue()
        self._missed: Conclusion | None = None
        self._worker: asyncio.Task[None] | None = None
        if link.attempt is None:
            link.attempt = pair.attempt
        pair.subscribe(self._queue.put_nowait)
        pair.subscribe_progress(self._queue.put_nowait)
        # What followed before anybody listened, as after a restart.
        self._queue.put_nowait(pair.conclusion)

    async def __aenter__(self) -> Self:
        """Begin."""
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        """Wait for the rest, and end.

        :raises NovaMigrationError: the row could not be moved to the end
        """
        try:
            await self.drain()
        finally:
            if self._worker is not None:
                self._worker.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._worker

    async def drain(self) -> None:
        """Wait until everything has been taken.

        A change that could not be written is tried once more: each one says
        all that the earlier ones did.
        """
        await self._queue.join()
        missed, self._missed = self._missed, None
        if missed is not None:
            await asyncio.to_thread(self._link.take, missed)

    async def _work(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                await asyncio.to_thread(self._take, item)
            finally:
                self._queue.task_done()

    def _take(self, item: Conclusion | Progress) -> None:
        try:
            if isinstance(item, Progress):
                self._link.take_progress(item)
            else:
                self._link.take(item)
                self._missed = None
        except (exception.NovaMigrationError, db_exc.DBError) as error:
            LOG.error('The migration could not be written: %s', error)
            if isinstance(item, Conclusion):
                self._missed = item
