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

"""What can be measured, by the name that the command line has for it."""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses

import sqlalchemy as sa

from benchmarks import measure


class Missing(Exception):
    """What a scenario needs is not installed; the message says what."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run was asked for; None leaves it to the scenario.

    :param server: URL of the server on which databases may be made
    :param smoke: as little as shows that everything runs
    :param about: what a scenario adds to what is kept of its run
    """

    server: sa.URL
    rows: int | None = None
    rounds: int | None = None
    smoke: bool = False
    about: dict[str, str] = dataclasses.field(default_factory=dict)

    def choose(self, asked: int | None, usual: int, smoke: int) -> int:
        """Return what was asked for, or what is usual."""
        if asked is not None:
            return asked
        return smoke if self.smoke else usual


Scenario = Callable[[Plan], Iterator[measure.Result]]


def table_size(plan: Plan) -> int:
    """Return how many rows a table of an upgrade has."""
    usual = (
        300_000 if plan.server.get_backend_name() == 'sqlite' else 1_000_000
    )
    return plan.choose(plan.rows, usual, 1_000)
