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

"""What an operator says of strings that the table does not know."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses

from nova_migration import exception
from nova_migration.db import clauses
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import registry
from nova_migration.states import words

Meanings = Mapping[str, Mapping[str, str]]


@dataclasses.dataclass(frozen=True)
class Rule:
    """``[TYPE:]OLD=STATE``: rows of the type that say OLD are in STATE."""

    text: str
    kinds: tuple[str, ...]
    old: str
    state: str


def parse(text: str) -> Rule:
    """Read one ``--map`` argument.

    :raises InvalidMapping: saying what is wrong with it
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise exception.InvalidMapping(
            mapping=text, reason='it is not UTF-8'
        ) from error
    old, equals, state = text.rpartition('=')
    if not equals or not state:
        raise exception.InvalidMapping(
            mapping=text, reason='write it as [TYPE:]OLD=STATE'
        )
    kind, colon, rest = old.partition(':')
    if colon and kind in MIGRATION_TYPES:
        return Rule(text, (kind,), rest, state)
    return Rule(text, MIGRATION_TYPES, old, state)


def _apply(rule: Rule, meanings: dict[str, dict[str, str]]) -> None:
    if rule.state not in registry.states_with():
        unknown = words.UnknownWord(
            what='state', word=rule.state, valid=registry.states_with().keys()
        )
        raise exception.InvalidMapping(
            mapping=rule.text, reason=str(unknown).rstrip('.')
        ) from unknown
    having = [k for k in rule.kinds if rule.state in MACHINES[k].states]
    if not having:
        raise exception.InvalidMapping(
            mapping=rule.text,
            reason=f'{rule.kinds[0]} has no state {rule.state!r}; it has'
            f' {", ".join(MACHINES[rule.kinds[0]].states)}',
        )
    free = [kind for kind in having if rule.old not in meanings[kind]]
    if not free:
        raise exception.InvalidMapping(
            mapping=rule.text,
            reason=f'{rule.old!r} already means'
            f' {meanings[having[0]][rule.old]!r} for {", ".join(having)},'
            ' which cannot be changed',
        )
    for kind in free:
        meanings[kind][rule.old] = rule.state


def meanings_with(arguments: Iterable[str] = ()) -> Meanings:
    """Return what every legacy string means, the operator's rules included.

    A rule without a type holds for each type that has the state and does not
    know the string itself.

    :raises InvalidMapping: for a rule that is malformed, names no state, or
        would change what a known string means
    """
    meanings = clauses.legacy_meanings()
    for text in arguments:
        _apply(parse(text), meanings)
    return meanings
