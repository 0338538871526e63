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

"""Who wants to know of each transition that was asked for."""

from collections.abc import Callable
import dataclasses
import enum

from oslo_log import log as logging

from nova_migration.states import LOOK

LOG = logging.getLogger(__name__)


class Result(enum.StrEnum):
    """What became of a status that Nova wrote."""

    CREATED = 'created'
    MOVED = 'moved'
    UNCHANGED = 'unchanged'
    ABSORBED = 'absorbed'
    REFUSED = 'refused'
    #: What ``enforce`` would have refused, or absorbed, in another mode.
    LET_THROUGH = 'let-through'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transition:
    """One status that Nova wrote, or wanted to write.

    :param migration_id: None for a row that is being created
    :param machine: the name of the machine that was asked
    :param before: Nova's string for where the row was; None for a new one
    :param asked: Nova's string that was to be written
    :param state: the state that the row is in now; None when not known
    :param event: of the edge taken or of the absorbed pair
    :param canonical: whether the row is in canonical form
    :param why: for people
    :param contradicts: whether an absorbed report cannot be true of the row,
        so that somebody should look where the guest is
    :param replaced: whether the row moves to another state than the one that
        was asked for
    """

    migration_id: int | None
    machine: str
    before: str | None
    asked: str | None
    result: Result
    state: str | None
    event: str | None
    canonical: bool
    why: str
    contradicts: bool = False
    replaced: bool = False


_LEVELS = {
    Result.CREATED: logging.DEBUG,
    Result.MOVED: logging.DEBUG,
    Result.UNCHANGED: logging.DEBUG,
    Result.ABSORBED: logging.INFO,
    Result.REFUSED: logging.WARNING,
    Result.LET_THROUGH: logging.WARNING,
}

Subscriber = Callable[[Transition], None]
_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> None:
    """Call somebody for each transition, before its transaction ends.

    The row has been changed by then. Where the database refuses to commit
    that, as a cluster may, everything is done and told again.
    """
    if subscriber not in _subscribers:
        _subscribers.append(subscriber)


def unsubscribe(subscriber: Subscriber) -> None:
    """Call somebody no more."""
    if subscriber in _subscribers:
        _subscribers.remove(subscriber)


def tell(transition: Transition) -> None:
    """Log a transition and tell everybody who subscribed."""
    level, why = _LEVELS[transition.result], transition.why
    if transition.replaced:
        level, why = logging.INFO, f"It is '{transition.state}' now. {why}"
    if transition.contradicts:
        level, why = logging.WARNING, f'{why} {LOOK}'
    LOG.log(
        level,
        "Migration %(id)s (%(machine)s) at '%(before)s': '%(asked)s' is"
        ' %(result)s. %(why)s',
        {
            'id': transition.migration_id or 'new',
            'machine': transition.machine,
            'before': transition.before,
            'asked': transition.asked,
            'result': transition.result,
            'why': why,
        },
    )
    for subscriber in tuple(_subscribers):
        subscriber(transition)
