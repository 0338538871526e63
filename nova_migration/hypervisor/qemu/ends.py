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


"""What one end has told of an attempt, read out of the evidence."""

from collections.abc import Collection
from collections.abc import Iterator
import dataclasses
import functools

from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import vocabulary as vocab


@dataclasses.dataclass(frozen=True)
class EndView:
    """One end's facts; what follows its own ``quit`` is not a migration's.

    ``quit`` itself cancels a migration, so that the statuses after it say
    nothing about why the migration ended.

    :param end: which end
    :param evidence: of one attempt
    """

    evidence: ev.Evidence
    end: ev.End

    @functools.cached_property
    def facts(self) -> tuple[ev.Fact, ...]:
        """The facts of this end, in order."""
        return tuple(self.evidence.of(self.end))

    def _all(self, kind: ev.Kind, *values: str) -> Iterator[ev.Fact]:
        for fact in self.facts:
            if fact.kind is kind and (not values or fact.value in values):
                yield fact

    def first(self, kind: ev.Kind, *values: str) -> ev.Fact | None:
        """Return the first fact of a kind, of some values if given."""
        return next(self._all(kind, *values), None)

    def last(self, kind: ev.Kind, *values: str) -> ev.Fact | None:
        """Return the last fact of a kind, of some values if given."""
        return next(reversed(tuple(self._all(kind, *values))), None)

    @functools.cached_property
    def quit(self) -> ev.Fact | None:
        """Our own command to end the process."""
        return self.first(ev.Kind.SENT, 'quit')

    @functools.cached_property
    def statuses(self) -> tuple[ev.Fact, ...]:
        """The migration statuses, in order."""
        return tuple(
            fact
            for fact in self._all(ev.Kind.STATUS)
            if self.quit is None or fact.number < self.quit.number
        )

    def saw(self, names: Collection[str]) -> bool:
        """Whether one of some statuses was seen."""
        return any(fact.value in names for fact in self.statuses)

    @functools.cached_property
    def started(self) -> tuple[ev.Fact, ...]:
        """The statuses of a migration; ``none`` is not one."""
        return tuple(f for f in self.statuses if f.value != 'none')

    @functools.cached_property
    def ended(self) -> ev.Fact | None:
        """The first terminal status; nothing later takes it back."""
        terminal = (f for f in self.statuses if f.value in vocab.TERMINAL)
        return next(terminal, None)

    @property
    def status(self) -> str | None:
        """QEMU's own word: the terminal one if there is, or the last."""
        if self.ended:
            return self.ended.value
        last = (self.started or self.statuses)[-1:]
        return last[0].value if last else None

    def reported(self, status: str) -> bool:
        """Whether this end ended with a status."""
        return self.ended is not None and self.ended.value == status

    @functools.cached_property
    def failure(self) -> ev.Fact | None:
        """The first failure; a later one never replaces it."""
        seen = (f for f in self.statuses if f.value in vocab.FAILURES)
        return next(seen, None)

    @property
    def error(self) -> str:
        """The first error text that came with the end, or before it."""
        details = [f.detail for f in self.statuses if f.detail]
        return details[0] if details else ''

    @functools.cached_property
    def no_return(self) -> bool:
        """Whether the guest was handed over in postcopy."""
        return self.saw(vocab.NO_RETURN)

    # -- the guest --------------------------------------------------------

    @functools.cached_property
    def runs(self) -> tuple[ev.Fact, ...]:
        """What is known of whether the guest runs here, in order."""
        return tuple(self._all(ev.Kind.RUN))

    @property
    def ran(self) -> bool:
        """Whether the guest has ever run here; nothing undoes that."""
        return any(fact.value == ev.RUNNING for fact in self.runs)

    @property
    def stopped(self) -> bool:
        """Whether it stopped and did so after the migration had begun."""
        begin = self.started[0].number if self.started else None
        return any(
            fact.value == ev.STOPPED
            for fact in self.runs
            if begin is None or fact.number > begin
        )

    @property
    def was_held(self) -> bool:
        """Whether only we could have let the guest run here, and did not."""
        return self.first(ev.Kind.HELD) is not None and (
            self.first(ev.Kind.SENT, 'cont') is None
        )

    def answered(self, value: str, after: int) -> ev.Fact | None:
        """Return a run state that we asked for after a number."""
        answers = (
            fact
            for fact in self.runs
            if fact.value == value
            and fact.origin is ev.Origin.QUERY
            and fact.since > after
        )
        return next(answers, None)

    def stands_before(self, number: int) -> bool:
        """Whether the last that was known before a number is a stop."""
        last = [fact for fact in self.runs if fact.number < number][-1:]
        return bool(last) and last[0].value == ev.STOPPED

    # -- the process ------------------------------------------------------

    @functools.cached_property
    def gone(self) -> ev.Fact | None:
        """The end of the process; also one that we have told to quit."""
        return self.first(ev.Kind.PROCESS)

    @functools.cached_property
    def was_blind(self) -> bool:
        """Whether its monitor was lost while the process went on.

        Events sent meanwhile are gone for good. A monitor that is lost after
        we killed the process, or told it to quit, has told us everything.
        """
        lost = self.first(ev.Kind.MONITOR, ev.LOST)
        if lost is None:
            return False
        killed = [f.number for f in (self.gone, self.quit) if f]
        return not killed or min(killed) > lost.number

    @property
    def blind(self) -> bool:
        """Whether its monitor is lost now."""
        last = self.evidence.last(self.end, ev.Kind.MONITOR)
        return last is not None and last.value == ev.LOST

    def status_after(self, number: int) -> str | None:
        """Return the last status that is not older than a number."""
        seen = [f.value for f in self.statuses if f.since > number]
        return seen[-1] if seen else None


def views(evidence: ev.Evidence) -> tuple[EndView, EndView]:
    """Return the source and the destination of an attempt."""
    return (
        EndView(evidence, ev.End.SOURCE),
        EndView(evidence, ev.End.DESTINATION),
    )
