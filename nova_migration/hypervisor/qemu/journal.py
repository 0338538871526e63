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


"""Which attempt a fact belongs to: QEMU's events carry no number of one.

An attempt begins when the source reports ``setup``, not with the command and
not with its reply: between the command and ``setup``, the end of the attempt
before may still be reported.
"""

from collections.abc import Iterable
import json
from typing import Any
from typing import Self

from nova_migration.hypervisor.qemu import evidence as ev
from nova_migration.hypervisor.qemu import vocabulary as vocab

#: The one source. Destinations have names of their own: a second attempt
#: goes to another process.
SOURCE = 'source'
DESTINATION = 'destination'

#: The ``migrate`` that takes up a paused postcopy begins no attempt; it has a
#: word of its own in the evidence.
RESUME = 'migrate-resume'

_UNDER_WAY = frozenset({vocab.StatusClass.RUNNING, vocab.StatusClass.WAITING})


class Journal:
    """The evidence of every attempt, and the counter that numbers facts.

    :param attempts: evidence to go on with, after a restart
    """

    def __init__(self, attempts: Iterable[ev.Evidence] = ()):
        self.attempts = list(attempts) or [ev.Evidence()]
        known = [f.number for a in self.attempts for f in a.facts]
        self._number = max(known, default=0)
        #: The process of each end, for as long as it is watched.
        self.processes: dict[str, int] = {}
        #: Which attempt a destination belongs to.
        self._owners: dict[str, int] = {}
        #: Facts of a destination, or about a start, of an attempt to come.
        self._held: dict[str, list[ev.Fact]] = {}
        self._pending = False
        self._target: str | None = None

    @property
    def current(self) -> ev.Evidence:
        """The evidence of the newest attempt."""
        return self.attempts[-1]

    def number(self) -> int:
        """Return the next number; a question is dated with one, too."""
        self._number += 1
        return self._number

    def aim(self, side: str | None) -> None:
        """Name the destination of the next attempt, or of one not begun.

        :param side: its name; None when it is not known, see :meth:`adopt`
        """
        self._target = side
        if side is not None and not self._begun():
            self._own(side)

    def watches(self, side: str) -> bool:
        """Whether a destination is the current attempt's."""
        return self._owners.get(side) == len(self.attempts) - 1

    def record(
        self,
        side: str,
        kind: ev.Kind,
        value: str,
        *,
        origin: ev.Origin = ev.Origin.EVENT,
        asked: int | None = None,
        detail: str = '',
    ) -> int:
        """Add a fact to the attempt that it belongs to.

        :param side: :data:`SOURCE`, or the name of a destination
        :param asked: for an answer, the number of the question
        :returns: the fact's number
        """
        end = ev.End.SOURCE if side == SOURCE else ev.End.DESTINATION
        fact = ev.Fact(
            number=self.number(),
            end=end,
            kind=kind,
            value=value,
            origin=origin,
            asked=asked,
            detail=detail,
        )
        if end is ev.End.SOURCE:
            self._of_source(fact)
        else:
            self._of_destination(side, fact)
        return fact.number

    def adopt(self) -> None:
        """Give the only destination, if nobody aimed at it, to the attempt.

        With two of them, which one an attempt went to is not known.
        """
        sides = self._held.keys() - {SOURCE}
        if len(sides) == len(self.attempts) == 1 and not self._owners:
            self._own(sides.pop())

    def to_json(self) -> str:
        """Return every attempt as text, for a service that may restart."""
        values: dict[str, Any] = {
            'format': ev.FORMAT,
            'attempts': [attempt.to_dict() for attempt in self.attempts],
            'number': self._number,
            'pending': self._pending,
            'target': self._target,
            'held': {
                side: [fact.to_dict() for fact in facts]
                for side, facts in self._held.items()
            },
            'owners': self._owners,
            'processes': self.processes,
        }
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: it is not that, or of a newer format
        """
        values = ev.decode(text)
        journal = cls(ev.Evidence.from_dict(a) for a in values['attempts'])
        journal._number = values['number']
        journal._pending = values['pending']
        journal._target = values['target']
        journal._owners = values['owners']
        journal.processes = values['processes']
        journal._held = {
            side: [ev.Fact.from_dict(fact) for fact in facts]
            for side, facts in values['held'].items()
        }
        return journal

    # -- the source -------------------------------------------------------

    def _of_source(self, fact: ev.Fact) -> None:
        earlier = self._earlier(fact)
        if earlier is not None:
            self._add(earlier, fact)
        elif fact.value == 'migrate':
            self._start(fact)
        elif fact.kind is ev.Kind.STATUS and self._opens(fact):
            self._open(fact)
        else:
            self._add(len(self.attempts) - 1, fact)

    def _earlier(self, fact: ev.Fact) -> int | None:
        """Return the attempt that an answer is about, if it is over."""
        if fact.origin is not ev.Origin.QUERY:
            return None
        for index, attempt in enumerate(self.attempts[:-1]):
            opened = attempt.last(ev.End.SOURCE, ev.Kind.FOLLOWED)
            if opened and fact.since < opened.number:
                return index
        return None

    def _start(self, fact: ev.Fact) -> None:
        """Keep a start for the attempt that it may begin."""
        index = len(self.attempts) - 1
        if not self._begun():
            self._add(index, fact)
        elif fact.kind is ev.Kind.REFUSED:
            self._held.setdefault(SOURCE, []).append(fact)
            self._release(SOURCE, index)
        else:
            self._held.setdefault(SOURCE, []).append(fact)
        if fact.kind is ev.Kind.SENT:
            self._pending = True
        elif fact.kind is ev.Kind.REFUSED:
            self._pending = False

    def _begun(self) -> bool:
        return bool(self._statuses())

    def _statuses(self) -> list[ev.Fact]:
        statuses = self.current.of(ev.End.SOURCE, ev.Kind.STATUS)
        return [fact for fact in statuses if fact.value != 'none']

    def _opens(self, fact: ev.Fact) -> bool:
        seen = self._statuses()
        if not seen:
            # What was sent before the first attempt was for it.
            self._pending = self._pending and fact.value == 'none'
            return False
        kinds = {vocab.classify(f.value).kind for f in seen}
        if fact.value == 'setup':
            return self._begins(fact, seen, kinds)
        ended = [f for f in seen if f.value in vocab.TERMINAL]
        if not ended or vocab.classify(fact.value).kind not in _UNDER_WAY:
            return False
        # Its setup was missed: sent by us, or seen under way although we
        # asked after the end.
        asked_after = fact.origin is ev.Origin.QUERY and (
            fact.since > ended[-1].number
        )
        return self._pending or asked_after

    def _begins(
        self,
        fact: ev.Fact,
        seen: list[ev.Fact],
        kinds: set[vocab.StatusClass],
    ) -> bool:
        """Say whether a ``setup`` is a new attempt's, and not a late one."""
        ending = {vocab.StatusClass.ENDING, vocab.StatusClass.TERMINAL}
        if seen[-1].value == 'setup' or fact.since < seen[-1].number:
            return False
        first_seen = any(f.value == 'setup' for f in seen)
        if self._pending:
            return first_seen or bool(kinds & ending)
        return first_seen and bool(kinds & ending)

    def _open(self, fact: ev.Fact) -> None:
        last = len(self.attempts) - 1
        followed = ev.Fact(
            number=fact.number,
            end=ev.End.SOURCE,
            kind=ev.Kind.FOLLOWED,
            value=str(last + 2),
            origin=ev.Origin.SELF,
        )
        self._add(last, followed)
        self.attempts.append(ev.Evidence(attempt=last + 2))
        self._pending = False
        self._release(SOURCE, last + 1)
        self._add(last + 1, fact)
        if self._target is not None:
            self._own(self._target)

    # -- the destinations -------------------------------------------------

    def _of_destination(self, side: str, fact: ev.Fact) -> None:
        owner = self._owners.get(side)
        to_come = self._pending and self._target == side and self._begun()
        if owner is None or to_come:
            self._held.setdefault(side, []).append(fact)
        else:
            self._add(owner, fact)

    def _own(self, side: str) -> None:
        index = len(self.attempts) - 1
        self._owners[side] = index
        self._release(side, index)

    def _release(self, side: str, index: int) -> None:
        for fact in self._held.pop(side, []):
            self._add(index, fact)

    def _add(self, index: int, fact: ev.Fact) -> None:
        self.attempts[index] = self.attempts[index].add(fact)
