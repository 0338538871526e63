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

"""How far long work is: a bar on a terminal, log lines elsewhere."""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import logging
import signal
import sys
import time
from types import FrameType

import tqdm
from tqdm.contrib import logging as tqdm_logging

from nova_migration.db import upgrade

LOG = logging.getLogger(__name__)

#: Seconds between two log lines.
INTERVAL = 10

#: Seconds until a pause takes notice of Ctrl-C, which doesn't end a sleep.
STEP = 0.1


class Stop:
    """Set by Ctrl-C; looked at between two batches."""

    requested = False

    def request(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop at the next boundary; a second Ctrl-C stops at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        LOG.warning('Stopping when this batch is done; Ctrl-C again: now.')

    def wait(self, seconds: float) -> bool:
        """Wait, but not once a stop is requested; return whether to go on."""
        until = time.monotonic() + seconds
        while not self.requested:
            left = until - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, STEP))
        return not self.requested


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM stop long work at a boundary."""
    stop = Stop()
    before = {
        number: signal.signal(number, stop.request)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Pauses:
    """For how long it has been waited on purpose, and why the last time."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._reason = ''

    def take(self, batch: upgrade.Batch) -> None:
        """Add the pause before a batch."""
        self._seconds += batch.paused
        self._reason = batch.reason or self._reason

    @property
    def shown(self) -> dict[str, str]:
        """What a bar has to say of it, if there was a pause."""
        return {'paused': str(self)} if self._seconds else {}

    def __str__(self) -> str:
        why = f' ({self._reason})' if self._reason else ''
        return f'{self._seconds:.0f} s{why}'


def followed(
    batches: Iterable[upgrade.Batch], total: int, verb: str
) -> Iterator[upgrade.Batch]:
    """Yield the batches and show how far they are.

    :param total: how many rows there are to look at, or were asked for
    :param verb: what is done to them, such as ``migrate``
    """
    show = _bar if sys.stderr.isatty() else _lines
    yield from show(batches, total, verb)


def _bar(
    batches: Iterable[upgrade.Batch], total: int, verb: str
) -> Iterator[upgrade.Batch]:
    with (
        tqdm_logging.logging_redirect_tqdm(),
        tqdm.tqdm(total=total, desc=verb, unit=' rows') as bar,
    ):
        pauses = Pauses()
        for batch in batches:
            pauses.take(batch)
            bar.set_postfix(
                {'batch': batch.seen, **pauses.shown}, refresh=False
            )
            bar.update(batch.seen)
            # Without rows the bar sees no reason to be drawn again.
            if batch.paused and not batch.seen:
                bar.refresh()
            yield batch


def _lines(
    batches: Iterable[upgrade.Batch], total: int, verb: str
) -> Iterator[upgrade.Batch]:
    started = said = time.monotonic()
    seen, pauses = 0, Pauses()
    for batch in batches:
        seen += batch.seen
        pauses.take(batch)
        now = time.monotonic()
        if now - said >= INTERVAL:
            said = now
            LOG.info(
                '%s, batches of %s rows, paused for %s',
                _line(verb, seen, total, now - started),
                f'{batch.seen:,}',
                pauses,
            )
        yield batch


def _line(verb: str, seen: int, total: int, seconds: float) -> str:
    rate = seen / seconds
    # Somebody may hold every row that there has been until now.
    left = f'{max(total - seen, 0) / rate:,.0f}' if seen else '?'
    return (
        f'{verb}: {seen:,} of {total:,} rows, {rate:,.0f} rows/s,'
        f' {left} s left'
    )
