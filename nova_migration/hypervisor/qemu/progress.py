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


"""How far a migration is: counters, which are nobody's evidence."""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What ``query-migrate`` counts on the source; None where it is silent.

    QEMU leaves out the counters before the first byte and, for ``failed``
    and ``cancelled``, at the end.

    :param total: bytes of guest memory
    :param processed: bytes sent; more than the total when pages got dirty
    :param remaining: bytes left to send in this round
    :param dirty_rate: bytes a second that the guest writes to
    :param downtime: milliseconds that the guest stood still, at the end
    :param expected_downtime: milliseconds, as QEMU expects it
    :param elapsed: milliseconds since the start
    """

    total: int | None = None
    processed: int | None = None
    remaining: int | None = None
    dirty_rate: int | None = None
    downtime: int | None = None
    expected_downtime: int | None = None
    elapsed: int | None = None

    @classmethod
    def from_query(cls, answer: Mapping[str, Any]) -> Self:
        """Read the answer to ``query-migrate``."""
        ram = answer.get('ram')
        ram = ram if isinstance(ram, Mapping) else {}
        pages, size = _count(ram, 'dirty-pages-rate'), _count(ram, 'page-size')
        return cls(
            total=_count(ram, 'total'),
            processed=_count(ram, 'transferred'),
            remaining=_count(ram, 'remaining'),
            dirty_rate=None if pages is None else pages * (size or 4096),
            downtime=_count(answer, 'downtime'),
            expected_downtime=_count(answer, 'expected-downtime'),
            elapsed=_count(answer, 'total-time'),
        )

    @property
    def counts(self) -> bool:
        """Whether QEMU told anything."""
        return self.total is not None

    @property
    def summary(self) -> str:
        """One phrase for people, or an empty one."""
        if not self.counts:
            return ''
        parts = [f'{_mebibytes(self.processed)} MiB sent']
        if self.elapsed is not None:
            parts.append(f'in {self.elapsed} ms')
        if self.dirty_rate:
            parts.append(f'dirty {_mebibytes(self.dirty_rate)} MiB/s')
        if self.downtime is not None:
            parts.append(f'downtime {self.downtime} ms')
        return ', '.join(parts)


def _count(answer: Mapping[str, Any], key: str) -> int | None:
    """Return a number; what is none in a recording counts as silence."""
    value = answer.get(key)
    return value if isinstance(value, int) else None


def _mebibytes(value: int | None) -> str:
    return f'{(value or 0) / 2**20:.1f}'
