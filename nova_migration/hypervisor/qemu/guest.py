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


"""Where the guest runs, and what may be done about it.

Neither end's last status says it: a source that is ``cancelled`` and a
destination that has ``completed`` can both be running. So each definite
verdict asks for a proof from both ends, and two proofs that contradict each
other give ``unknown``: the world has changed since, by somebody else's hand.
"""

import enum

from nova_migration.hypervisor.qemu import ends
from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import vocabulary as vocab
from nova_migration.hypervisor.qemu.vocabulary import Verdict

#: Statuses of a source that has not even connected.
_QUIET = vocab.FAILURES | vocab.CANCELS | {'none', 'setup'}
_PAUSED = frozenset(
    {'postcopy-paused', 'postcopy-recover', 'postcopy-recover-setup'}
)


class Action(enum.StrEnum):
    """What is safe to do next.

    * ``none``: nothing, it is over
    * ``wait``: nothing yet
    * ``start_destination``: both ends have completed, or handed the guest over
      in postcopy, and the destination holds it
    * ``resume_source``: the destination is proved dead and never ran
    * ``recover``: a paused postcopy wants ``migrate-recover``
    * ``ask``: somebody has to look at both ends
    """

    NONE = 'none'
    WAIT = 'wait'
    START_DESTINATION = 'start_destination'
    RESUME_SOURCE = 'resume_source'
    RECOVER = 'recover'
    ASK = 'ask'


class Guest:
    """What both ends together prove about the guest.

    :param evidence: of one attempt
    """

    def __init__(self, evidence: ev.Evidence):
        self.source, self.destination = ends.views(evidence)
        self.no_return = self.source.no_return or self.destination.no_return

    # -- proofs -----------------------------------------------------------

    @property
    def _rested(self) -> int | None:
        """The number since when the source is at rest, if it is."""
        if self.source.ended:
            return self.source.ended.number
        refused = self.source.first(ev.Kind.REFUSED, 'migrate')
        if self.source.started:
            return None
        if refused:
            return refused.number
        return 0 if self.destination.failure else None

    @property
    def _own_cont(self) -> ev.Fact | None:
        """Our own ``cont`` of the source, when the attempt was over."""
        ended = self.source.ended
        for fact in self.source.facts:
            sent = fact.kind is ev.Kind.SENT and fact.value == 'cont'
            if sent and ended and fact.number > ended.number:
                return fact
        return None

    @property
    def source_runs(self) -> bool:
        """Whether the source runs although, or because, the attempt ended.

        A source that takes another ``migrate`` is not the one whose guest
        has left.
        """
        if self._rested is None:
            return False
        if self.source.first(ev.Kind.FOLLOWED):
            return not self.source.reported('completed')
        running = self.source.answered(ev.RUNNING, self._rested)
        if running is None:
            return self._runs_on
        cont = self._own_cont
        return cont is None or running.since < cont.number

    @property
    def _runs_on(self) -> bool:
        """Whether the source said that it runs and was not stopped since.

        STOP and RESUME come whether or not the migration's own events do, as
        long as somebody listens. After a failure it is asked all the same:
        the answer brings along why.
        """
        if not self.source.reported('cancelled') or not self.source.runs:
            return False
        last = self.source.runs[-1]
        lost = self.source.last(ev.Kind.MONITOR, ev.LOST)
        ended = self.source.ended
        return (
            last.value == ev.RUNNING
            and last.origin is ev.Origin.QUERY
            and ended is not None
            and (
                lost is None
                or ended.number < lost.number
                or (last.since > lost.number)
            )
        )

    @property
    def source_stands(self) -> bool:
        """Whether the source is stopped for good.

        ``failed`` proves nothing here: below 11 it comes before the source
        goes on.
        """
        ended = self.source.ended
        if ended is None or ended.value == 'failed':
            return False
        if self.source.answered(ev.STOPPED, ended.number):
            return True
        cont = self._own_cont
        until = cont.number if cont else self._end_of_time
        return ended.value == 'completed' and self.source.stands_before(until)

    @property
    def _end_of_time(self) -> int:
        facts = self.source.evidence.facts
        return facts[-1].number + 1 if facts else 1

    @property
    def resumed(self) -> bool:
        """Whether the source went on after our own ``cont``."""
        cont = self._own_cont
        return cont is not None and any(
            fact.value == ev.RUNNING and fact.since > cont.number
            for fact in self.source.runs
        )

    @property
    def never_connected(self) -> bool:
        """Whether the source ended without having sent a byte."""
        return (
            not self.source.was_blind
            and not self.source.stopped
            and all(f.value in _QUIET for f in self.source.statuses)
            and (self.source.saw({'setup'}) or not self.source.started)
            and all(f.value in _QUIET for f in self.destination.statuses)
        )

    @property
    def _never_switched(self) -> bool:
        """Whether the destination cannot have had all it needs to run."""
        if self.source.was_blind or self.source.saw(vocab.SWITCHED):
            return False
        return self.source.saw({'pre-switchover'}) or not self.source.stopped

    @property
    def destination_dead(self) -> bool:
        """Whether the destination has ended without ever running."""
        there = self.destination
        return (
            there.gone is not None
            and not there.ran
            and not there.reported('completed')
            and (self._never_switched or there.was_held or not there.was_blind)
        )

    @property
    def destination_failed(self) -> bool:
        """Whether the destination could not load what it was sent."""
        return self.destination.reported('failed') and (
            not self.destination.ran
        )

    @property
    def destination_held(self) -> bool:
        """Whether the destination has everything and does not run."""
        ended = self.destination.ended
        return (
            ended is not None
            and ended.value == 'completed'
            and not self.destination.ran
            and self.destination.answered(ev.STOPPED, ended.number) is not None
        )

    @property
    def _destination_clear(self) -> bool:
        return (
            self.destination_failed
            or self.destination_held
            or self.destination_dead
            or (self.never_connected and not self.destination.ran)
        )

    # -- what follows -----------------------------------------------------

    def verdict(self) -> Verdict:
        """Return where the guest runs, if both ends prove it."""
        if self.source_runs and self.source_stands:
            return Verdict.UNKNOWN
        if self.no_return:
            return self._after_no_return()
        if self.source.reported('completed'):
            return self._after_completed()
        if self._rested is not None:
            return self._after_return()
        return self._without_end()

    def _after_no_return(self) -> Verdict:
        source, there = self.source, self.destination
        if self.source_runs:
            return Verdict.UNKNOWN
        if source.reported('completed'):
            moved = self.source_stands and there.ran
            return Verdict.MOVED if moved else Verdict.UNKNOWN
        if there.reported('completed'):
            return Verdict.UNKNOWN
        return Verdict.LOST if self._torn() else Verdict.UNKNOWN

    def _torn(self) -> bool:
        """Whether pages are missing that only the lost end had."""
        source, there = self.source, self.destination
        if source.ended:
            rest = there.status_after(source.ended.number)
            return there.gone is not None or rest in _PAUSED
        if source.gone and there.gone:
            return not source.was_blind and not there.was_blind
        if there.gone:
            return source.status_after(there.gone.number) in _PAUSED
        if source.gone:
            return there.status_after(source.gone.number) in _PAUSED
        return False

    def _after_completed(self) -> Verdict:
        if self.destination_failed and not self.source_runs:
            # Unwatched, the source may have gone to another destination.
            blind = self.source.was_blind
            return Verdict.UNKNOWN if blind else Verdict.NOT_MOVED
        if not self.destination.ran:
            return Verdict.UNKNOWN
        if self.source_stands:
            return Verdict.MOVED
        return Verdict.SPLIT if self.source_runs else Verdict.UNKNOWN

    def _after_return(self) -> Verdict:
        there = self.destination
        if there.ran and there.reported('failed'):
            return Verdict.UNKNOWN
        if self.source_runs:
            if there.ran:
                return Verdict.SPLIT
            clear = self._destination_clear
            return Verdict.NOT_MOVED if clear else Verdict.UNKNOWN
        if self.source_stands and there.ran:
            return Verdict.MOVED
        return Verdict.LOST if self._crashed() else Verdict.UNKNOWN

    def _crashed(self) -> bool:
        """Whether the source died on its way back, as QEMU 7.2 may.

        An orderly end proves nothing: it may have come long after.
        """
        return (
            self.source.first(ev.Kind.PROCESS, ev.CRASHED) is not None
            and self.source.quit is None
            and (self.destination_failed or self.destination_dead)
        )

    def _without_end(self) -> Verdict:
        died = (
            self.source.gone is not None
            and not self.source.was_blind
            and bool(self.source.started)
            and (self.destination_failed or self.destination_dead)
        )
        return Verdict.LOST if died else Verdict.UNKNOWN

    def action(self, verdict: Verdict) -> Action:
        """Return what is safe to do in view of a verdict."""
        if verdict is Verdict.NOT_MOVED:
            return self._way_back()
        if verdict is not Verdict.UNKNOWN:
            ask = verdict in (Verdict.SPLIT, Verdict.LOST)
            return Action.ASK if ask else Action.NONE
        if self._may_start():
            return Action.START_DESTINATION
        statuses = (self.source.status, self.destination.status)
        if 'postcopy-paused' in statuses and not self.source.ended:
            return Action.RECOVER
        return Action.WAIT

    def _way_back(self) -> Action:
        if not self.source.reported('completed') or self.resumed:
            return Action.NONE
        dead = self.destination.gone is not None
        return Action.RESUME_SOURCE if dead else Action.ASK

    def _may_start(self) -> bool:
        """Whether the destination, started with -S, has to be let run.

        In postcopy that is not at the end but when both ends say that the
        guest was handed over.
        """
        there = self.destination
        if there.ran or there.gone or self.source_runs or self._own_cont:
            return False
        if self.source.ended is None:
            handed_over = {'postcopy-active'}
            return (
                self.source.saw(handed_over)
                and there.saw(handed_over)
                and self.source.stopped
            )
        return (
            self.source.reported('completed')
            and there.reported('completed')
            and self.source_stands
        )
