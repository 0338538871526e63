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

"""The table that a state machine is declared in, and what it is checked for.

Nothing here knows what the states are states of.
"""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
from typing import TypeVar

from nova_migration.states import words

_Value = TypeVar('_Value')


class DeclarationError(ValueError):
    """A table that must not be built: the message names the row at fault."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state, with everything that is derived from it elsewhere.

    :param name: the value stored in the ``state`` column
    :param status: the public, stable word shown for it
    :param legacy: the string that programs without the machine write for it
    :param aliases: further legacy strings, from old releases, that mean it
    :param meaning: one sentence on what is true in this state
    :param flags: the predicates that hold in this state
    :param start: whether a new record begins here
    :param terminal: whether no event can lead out of it
    """

    name: str
    status: str
    legacy: str
    meaning: str
    aliases: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    start: bool = False
    terminal: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every legacy string that means this state, the usual one first."""
        return (self.legacy, *self.aliases)


@dataclasses.dataclass(frozen=True, slots=True)
class Edge:
    """A legal move: ``event`` leads from ``source`` to ``target``.

    :param why: one sentence on the circumstance in which it is taken
    :param said: the state that programs without the machine take it to lead
        to, where they are wrong about that
    """

    source: str
    event: str
    target: str
    why: str
    said: str | None = None

    @property
    def named(self) -> str:
        """The state that a report of this move names."""
        return self.said or self.target


@dataclasses.dataclass(frozen=True, slots=True)
class Absorbed:
    """A late or repeated report: ``event`` changes nothing in ``state``.

    :param why: one sentence on how the report comes to be late
    :param contradicts: whether the report and the row cannot both be true, so
        that somebody should look; it is absorbed because an error would keep
        the program that reports from cleaning up
    """

    state: str
    event: str
    why: str
    contradicts: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How many characters the columns hold that the words are stored in."""

    state: int
    status: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """The declaration of one machine, refused when it does not hold together.

    :raises DeclarationError: for an unreachable state, a trap, an edge out
        of a terminal state, no start or two, a word longer than its column, a
        legacy string that names two states, or a row that contradicts
        another
    """

    name: str
    title: str
    states: tuple[State, ...]
    edges: tuple[Edge, ...]
    absorbed: tuple[Absorbed, ...] = ()
    lengths: Lengths

    def __post_init__(self) -> None:
        for check in CHECKS:
            for fault in check(self):
                raise DeclarationError(f'machine {self.name!r}: {fault}')

    @property
    def by_name(self) -> Mapping[str, State]:
        """The states by name."""
        return {state.name: state for state in self.states}

    @property
    def by_legacy(self) -> Mapping[str, State]:
        """The states by each legacy string that means them."""
        return {
            spelling: state
            for state in self.states
            for spelling in state.spellings
        }

    @property
    def start(self) -> State:
        """The state that a new record begins in."""
        return next(state for state in self.states if state.start)

    @property
    def events(self) -> tuple[str, ...]:
        """The events, in the order of their first edge."""
        return tuple(dict.fromkeys(edge.event for edge in self.edges))


def _doubled(values: Iterable[_Value]) -> Iterator[_Value]:
    seen = set()
    for value in values:
        if value in seen:
            yield value
        seen.add(value)


def _names(table: Table) -> Iterator[str]:
    for name in _doubled(state.name for state in table.states):
        yield f'state {name!r} is declared twice'


def _starts(table: Table) -> Iterator[str]:
    starts = [state.name for state in table.states if state.start]
    if not starts:
        yield 'no state is the start'
    if len(starts) > 1:
        yield f'two starts, {starts[0]!r} and {starts[1]!r}'


def _ends(table: Table) -> Iterator[str]:
    names = table.by_name
    mentioned = [edge.source for edge in table.edges]
    mentioned += [edge.target for edge in table.edges]
    mentioned += [edge.named for edge in table.edges]
    mentioned += [pair.state for pair in table.absorbed]
    for name in mentioned:
        if name not in names:
            yield f'state {name!r} has edges but is not declared'


def _outcomes(table: Table) -> Iterator[str]:
    asked = [(edge.source, edge.event) for edge in table.edges]
    asked += [(pair.state, pair.event) for pair in table.absorbed]
    for source, event in _doubled(asked):
        yield f'event {event!r} from {source!r} has two outcomes'
    for pair in table.absorbed:
        if pair.event not in table.events:
            yield f'absorbed event {pair.event!r} is on no edge'


def _reports(table: Table) -> Iterator[str]:
    named = [(edge.source, edge.named) for edge in table.edges]
    for edge in table.edges:
        if edge.said and named.count((edge.source, edge.said)) > 1:
            yield f'report of {edge.said!r} from {edge.source!r} is two moves'


def _terminals(table: Table) -> Iterator[str]:
    for edge in table.edges:
        if table.by_name[edge.source].terminal:
            yield f'terminal state {edge.source!r} has edge {edge.event!r}'


def _closure(
    start: Collection[str], hops: Iterable[tuple[str, str]]
) -> set[str]:
    """Return every state that hops lead to from one of the start states."""
    hops = list(hops)
    reached = set(start)
    size = -1
    while size != len(reached):
        size = len(reached)
        reached |= {target for source, target in hops if source in reached}
    return reached


def _reachability(table: Table) -> Iterator[str]:
    hops = [(edge.source, edge.target) for edge in table.edges]
    from_start = _closure([table.start.name], hops)
    terminal = [state.name for state in table.states if state.terminal]
    to_terminal = _closure(terminal, [(b, a) for a, b in hops])
    for state in table.states:
        if state.name not in from_start:
            yield f'state {state.name!r} cannot be reached'
        if state.name not in to_terminal:
            yield f'state {state.name!r} is a trap: no terminal state follows'


def _lengths(table: Table) -> Iterator[str]:
    for state in table.states:
        limits = [(state.name, table.lengths.state)]
        limits += [(state.status, table.lengths.status)]
        limits += [(word, table.lengths.status) for word in state.spellings]
        for word, limit in limits:
            if len(word) > limit:
                yield f'{word!r} is longer than its column ({limit})'


def _spellings(table: Table) -> Iterator[str]:
    spelled = [word for state in table.states for word in state.spellings]
    for word in _doubled(spelled):
        yield f'legacy string {word!r} names two states'


def _sentences(table: Table) -> Iterator[str]:
    texts = [(state.name, state.meaning) for state in table.states]
    texts += [(f'{e.source} {e.event}', e.why) for e in table.edges]
    texts += [(f'{a.state} {a.event}', a.why) for a in table.absorbed]
    for row, text in texts:
        if not text.strip():
            yield f'{row!r} does not say what it means'


CHECKS = (
    _names,
    _starts,
    _ends,
    _outcomes,
    _reports,
    _terminals,
    _reachability,
    _lengths,
    _spellings,
    _sentences,
)


def check_family(tables: Iterable[Table]) -> None:
    """Refuse tables that use the same word for different things.

    :raises DeclarationError: two machines of one name, a state with another
        public status elsewhere, or a state that ends one machine and not
        another
    """
    tables = list(tables)
    for name in _doubled(table.name for table in tables):
        raise DeclarationError(f'machine {name!r} is declared twice')
    seen: dict[str, tuple[str, State]] = {}
    for table in tables:
        for state in table.states:
            other, first = seen.setdefault(state.name, (table.name, state))
            if (first.status, first.terminal) != (
                state.status,
                state.terminal,
            ):
                raise DeclarationError(
                    f'state {state.name!r} is {first.status!r}'
                    f'{", terminal" * first.terminal} in {other!r} but '
                    f'{state.status!r}{", terminal" * state.terminal} in '
                    f'{table.name!r}'
                )


def find(what: str, word: str, rows: Mapping[str, State]) -> State:
    """Return the state a word names.

    :raises UnknownWord: naming the nearest valid words
    """
    try:
        return rows[word]
    except (KeyError, TypeError):
        # A TypeError says that what came in is no word at all.
        raise words.UnknownWord(
            what=what, word=word, valid=rows.keys()
        ) from None
