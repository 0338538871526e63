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


"""From evidence to what is the case and why: one pure function.

What and why are apart, as the discussion of QEMU's ``failing`` status asked
for (qemu-devel, January 2026). A cancel can cause the very failure that QEMU
then reports, and which of the two words it ends with is a race; so the first
cause is decided by what we knew when we sent the cancel.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import enum
import operator
from typing import Any

from nova_migration.hypervisor.qemu import ends
from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import guest as guest_mod
from nova_migration.hypervisor.qemu import vocabulary as vocab
from nova_migration.hypervisor.qemu.guest import Action
from nova_migration.hypervisor.qemu.vocabulary import State
from nova_migration.hypervisor.qemu.vocabulary import Verdict


class Cause(enum.StrEnum):
    """Why: the causes of an end, and then what should be known about it."""

    COMPLETED = 'completed'
    USER_CANCEL = 'user-cancel'
    OTHER_CANCEL = 'other-cancel'
    FAILURE = 'failure'
    DESTINATION_FAILURE = 'destination-failure'
    START_REFUSED = 'start-refused'
    SOURCE_QUIT = 'source-quit'
    SOURCE_GONE = 'source-gone'
    DESTINATION_GONE = 'destination-gone'
    CANCEL_TOO_LATE = 'cancel-too-late'
    CANCEL_REFUSED = 'cancel-refused'
    CHANNEL_LOST = 'channel-lost'
    MONITOR_LOST = 'monitor-lost'
    NO_REPLY = 'no-reply'
    NO_PROGRESS = 'no-progress'
    UNKNOWN_STATUS = 'unknown-status'
    CONTRADICTION = 'contradiction'


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    :param number: of the fact that it comes from
    :param detail: what QEMU says, or what is to be said of it
    """

    cause: Cause
    number: int
    detail: str = ''

    def __str__(self) -> str:
        detail = f': {self.detail}' if self.detail else ''
        return f'{self.cause}{detail}'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What follows from the evidence of one attempt.

    :param attempt: 1 for the first one
    :param state: what is the case
    :param verdict: where the guest runs
    :param reasons: why, the first cause first
    :param source_status: QEMU's own word; None when it has not said one
    :param destination_status: the same of the other end
    :param action: what is safe to do next
    :param no_return: whether the guest was handed over in postcopy
    """

    attempt: int
    state: State
    verdict: Verdict
    reasons: tuple[Reason, ...]
    source_status: str | None
    destination_status: str | None
    action: Action
    no_return: bool

    @property
    def definite(self) -> bool:
        """Whether it is proved where the guest runs."""
        return self.verdict is not Verdict.UNKNOWN

    def to_dict(self) -> Mapping[str, Any]:
        """Return the public part, as ``qemu replay -f json`` prints it."""
        return {
            'attempt': self.attempt,
            'state': str(self.state),
            'reasons': [str(reason) for reason in self.reasons],
            'verdict': str(self.verdict),
            'qemu_status': {
                'source': self.source_status,
                'destination': self.destination_status,
            },
        }


def advance(evidence: ev.Evidence) -> Conclusion:
    """Return what follows from the evidence of an attempt.

    It is total and depends on nothing else. More evidence may turn a
    definite verdict into ``unknown``, and never into another definite one.
    """
    guest = guest_mod.Guest(evidence)
    proved = guest.verdict()
    before = _before(evidence, proved)
    verdict = Verdict.UNKNOWN if before else proved
    reasons = _reasons(guest)
    if before:
        detail = f'{before} was proved before, and now {proved}'
        number = evidence.facts[-1].number
        reasons += (Reason(Cause.CONTRADICTION, number, detail),)
    return Conclusion(
        attempt=evidence.attempt,
        state=_state(guest, verdict),
        verdict=verdict,
        reasons=reasons,
        source_status=guest.source.status,
        destination_status=guest.destination.status,
        action=guest.action(verdict),
        no_return=guest.no_return,
    )


def _before(evidence: ev.Evidence, proved: Verdict) -> Verdict | None:
    """Return another definite verdict that there was, if there was one.

    Then somebody has moved the guest since, or what reached us is not in
    order. Whoever acted on the first verdict must not be told another one.
    """
    if proved is Verdict.UNKNOWN:
        return None
    for earlier in evidence.earlier():
        was = guest_mod.Guest(earlier).verdict()
        if was not in (Verdict.UNKNOWN, proved):
            return was
    return None


# -- what -----------------------------------------------------------------

#: A status that comes late moves nothing back. Within postcopy, and among
#: the words that nobody knows, the last one counts.
_RANK = {
    State.IDLE: 0,
    State.STARTING: 1,
    State.TRANSFERRING: 2,
    State.UNKNOWN: 2,
    State.AWAITING_SWITCHOVER: 3,
    State.SWITCHING: 4,
    State.POSTCOPY: 5,
    State.POSTCOPY_PAUSED: 5,
    State.RECOVERING: 5,
    State.ENDING: 6,
}


def _state(guest: guest_mod.Guest, verdict: Verdict) -> State:
    if verdict is not Verdict.UNKNOWN:
        return State(verdict.value)
    if guest.source.gone and not guest.source.ended:
        return State.UNKNOWN
    reached = State.IDLE
    for fact in guest.source.statuses:
        said = vocab.classify(fact.value).state
        if _RANK[said] >= _RANK[reached]:
            reached = said
    if guest.source.quit:
        return State.UNKNOWN if reached is not State.IDLE else reached
    return _postcopy(guest, reached)


def _postcopy(guest: guest_mod.Guest, reached: State) -> State:
    """Return what the destination adds: only it may have told of postcopy."""
    late = _RANK[reached] < _RANK[State.POSTCOPY]
    if late and guest.destination.no_return:
        return State.POSTCOPY
    return reached


# -- why ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Cancel:
    """Our own cancel, if it counts.

    :param sent: the first one that was not refused
    :param refused: the answers that said no
    """

    sent: ev.Fact | None
    refused: tuple[ev.Fact, ...]


def _cancel(source: ends.EndView) -> _Cancel:
    """Find our cancel of this attempt; one before its start is none."""
    begin = _began(source)
    refused = {
        fact.asked: fact
        for fact in source.facts
        if fact.kind is ev.Kind.REFUSED and fact.value == 'migrate_cancel'
    }
    sent = [
        fact
        for fact in source.facts
        if fact.kind is ev.Kind.SENT
        and fact.value == 'migrate_cancel'
        and fact.number not in refused
        and begin is not None
        and fact.number > begin
    ]
    return _Cancel(sent[0] if sent else None, tuple(refused.values()))


def _began(source: ends.EndView) -> int | None:
    """Return the number with which the attempt began: a start, or a sign."""
    refused = {
        fact.asked
        for fact in source.facts
        if fact.kind is ev.Kind.REFUSED and fact.value == 'migrate'
    }
    signs = [
        fact.number
        for fact in source.facts
        if (fact.kind is ev.Kind.SENT and fact.value == 'migrate')
        and fact.number not in refused
    ]
    signs += [fact.number for fact in source.started[:1]]
    return min(signs, default=None)


def _reasons(guest: guest_mod.Guest) -> tuple[Reason, ...]:
    cancel = _cancel(guest.source)
    found = [*_causes(guest, cancel), *_notes(guest, cancel)]
    unique: dict[Cause, Reason] = {}
    for reason in found:
        unique.setdefault(reason.cause, reason)
    return tuple(unique.values())


def _causes(guest: guest_mod.Guest, cancel: _Cancel) -> Iterator[Reason]:
    source = guest.source
    if source.reported('completed'):
        yield from _causes_of_completed(guest, cancel)
        return
    failure = _failure(source)
    if cancel.sent is None:
        yield from _causes_of_others(guest, failure)
    elif failure and failure.number < cancel.sent.number:
        yield failure
        yield Reason(Cause.USER_CANCEL, cancel.sent.number, 'after failure')
    else:
        yield Reason(Cause.USER_CANCEL, cancel.sent.number)
        yield from _gone_before(guest, cancel.sent.number, _EITHER)
        if failure:
            yield failure


def _causes_of_completed(
    guest: guest_mod.Guest, cancel: _Cancel
) -> Iterator[Reason]:
    source, there = guest.source, guest.destination
    assert source.ended is not None
    if guest.destination_failed and there.ended:
        yield Reason(
            Cause.DESTINATION_FAILURE, there.ended.number, there.error
        )
    yield Reason(Cause.COMPLETED, source.ended.number)
    if cancel.sent:
        yield Reason(Cause.CANCEL_TOO_LATE, cancel.sent.number)


def _failure(source: ends.EndView) -> Reason | None:
    if source.failure is None:
        return None
    return Reason(Cause.FAILURE, source.failure.number, source.error)


def _causes_of_others(
    guest: guest_mod.Guest, failure: Reason | None
) -> Iterator[Reason]:
    source = guest.source
    cancelled = [f for f in source.statuses if f.value in vocab.CANCELS]
    refused = source.first(ev.Kind.REFUSED, 'migrate')
    if failure:
        yield failure
        yield from _gone_before(guest, failure.number, '')
    if cancelled:
        yield Reason(Cause.OTHER_CANCEL, cancelled[0].number)
    if refused and not source.started:
        yield Reason(Cause.START_REFUSED, refused.number, refused.detail)
    elif not source.ended:
        without = _causes_without_end(guest)
        yield from sorted(without, key=operator.attrgetter('number'))


def _causes_without_end(guest: guest_mod.Guest) -> Iterator[Reason]:
    """Say what ended an attempt that its source never ended."""
    source, there = guest.source, guest.destination
    yield from _channel_lost(source)
    yield from _channel_lost(there)
    if source.quit:
        yield Reason(Cause.SOURCE_QUIT, source.quit.number)
    if there.failure:
        yield Reason(
            Cause.DESTINATION_FAILURE, there.failure.number, there.error
        )
    yield from _gone(source, Cause.SOURCE_GONE)
    if not there.reported('completed'):
        yield from _gone(there, Cause.DESTINATION_GONE)


def _channel_lost(view: ends.EndView) -> Iterator[Reason]:
    paused = [f for f in view.statuses if f.value == 'postcopy-paused']
    if paused:
        yield Reason(Cause.CHANNEL_LOST, paused[0].number, paused[0].detail)


def _gone(view: ends.EndView, cause: Cause) -> Iterator[Reason]:
    if view.gone and not view.quit:
        yield Reason(cause, view.gone.number, view.gone.detail)


#: The source had not noticed yet, or we had not read it.
_EITHER = 'before the cancel; which of the two ended it is not known'


def _gone_before(
    guest: guest_mod.Guest, number: int, detail: str
) -> Iterator[Reason]:
    """Name a destination that was gone before something else."""
    gone = guest.destination.gone
    if gone and gone.number < number:
        detail = detail or gone.detail
        yield Reason(Cause.DESTINATION_GONE, gone.number, detail)


def _notes(guest: guest_mod.Guest, cancel: _Cancel) -> Iterator[Reason]:
    for fact in cancel.refused:
        yield Reason(Cause.CANCEL_REFUSED, fact.number, fact.detail)
    if guest.source.ended and not guest.source_runs:
        yield from _gone(guest.source, Cause.SOURCE_GONE)
    for view in (guest.source, guest.destination):
        yield from _notes_of(view)


def _notes_of(view: ends.EndView) -> Iterator[Reason]:
    yield from _channel_lost(view)
    lost = view.first(ev.Kind.MONITOR, ev.LOST)
    if lost and view.was_blind and view.gone is None:
        yield Reason(Cause.MONITOR_LOST, lost.number, str(view.end))
    late = view.first(ev.Kind.DEADLINE)
    if late:
        detail = f'{late.value} on the {view.end}'
        yield Reason(Cause.NO_REPLY, late.number, detail)
    still = view.evidence.last(view.end, ev.Kind.PROGRESS)
    if still and still.value == 'none':
        yield Reason(Cause.NO_PROGRESS, still.number)
    for fact in view.statuses:
        if vocab.classify(fact.value).kind is vocab.StatusClass.UNKNOWN:
            yield Reason(Cause.UNKNOWN_STATUS, fact.number, fact.value)
