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

"""What the servers behind the one that we write to say of their load.

Galera's nodes ask the others to wait when they can't keep up, and
PostgreSQL's primary knows how far its standbys are behind. MariaDB's primary
knows nothing of the lag of its replicas. What can't be read, for want of
privileges or because there is nothing of the kind, is not waited for.
"""

from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
import logging
import math
import time
from typing import Protocol

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration.db import errors
from nova_migration.db import galera

LOG = logging.getLogger(__name__)

#: Write sets that a node may have waiting to be applied; from 16 on, by
#: default, it asks the cluster to stop.
QUEUE = 8

_FLOW = (
    'wsrep_flow_control_paused_ns',
    'wsrep_flow_control_recv',
    'wsrep_local_recv_queue',
)

#: Statements of MariaDB's that lock rows, as it counts them.
_WRITES = tuple(
    f'Com_{name}'
    for name in (
        'delete',
        'delete_multi',
        'insert',
        'insert_select',
        'load',
        'replace',
        'replace_select',
        'update',
        'update_multi',
    )
)

#: Autovacuum is no writer, and comes because of ours. Of sessions that may not
#: be looked at the type is not known either.
_SESSIONS = """
SELECT max(state_change), count(*), count(*) FILTER (WHERE state = 'idle')
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND coalesce(backend_type, 'client backend') = 'client backend'
"""

_STANDBYS = """
SELECT application_name, state, EXTRACT(EPOCH FROM replay_lag) AS seconds
FROM pg_stat_replication
WHERE replay_lag IS NOT NULL OR state IS NULL
"""


class Gauge(Protocol):
    """Something that may ask us to hold back."""

    def read(self, connection: sa.Connection) -> str | None:
        """Return who asks us to hold back and why, or None.

        :raises PermissionError: there is something to read, for others
        """
        ...


def congestion(
    before: Mapping[str, int], now: Mapping[str, int]
) -> str | None:
    """Return in words why a Galera cluster wants less of us, or None.

    :param before: the counters of an earlier reading; empty for the first
    :param now: the counters of this one
    """
    queue = now.get('wsrep_local_recv_queue', 0)
    if queue > QUEUE:
        return f'{queue} write sets wait on this Galera node'
    for name in _FLOW[:2]:
        if name in before and now.get(name, 0) > before[name]:
            return 'a Galera node asked for a pause (flow control)'
    return None


class FlowGauge:
    """Flow control of a Galera cluster, as its node sees it."""

    def __init__(self) -> None:
        self._before: Mapping[str, int] = {}

    def read(self, connection: sa.Connection) -> str | None:
        """Return what has changed since the last reading, in words."""
        now = galera.counters(connection, _FLOW)
        before, self._before = self._before, now
        return congestion(before, now)


class StandbyGauge:
    """How far PostgreSQL's standbys are behind.

    :param max_lag: seconds
    """

    def __init__(self, max_lag: float) -> None:
        self._max_lag = max_lag

    def read(self, connection: sa.Connection) -> str | None:
        """Return which standby is furthest behind, if that is too far.

        :raises PermissionError: there are standbys, and no right to see more
        """
        standbys = connection.execute(sa.text(_STANDBYS)).all()
        # The server does not refuse who lacks the role: it leaves out all
        # that it knows of a standby, whose state is never unknown to it.
        if any(row.state is None for row in standbys):
            raise PermissionError('the lag of standbys is for pg_monitor')
        seconds, name = max(
            ((float(row.seconds), row.application_name) for row in standbys),
            default=(0.0, ''),
        )
        if seconds <= self._max_lag:
            return None
        return f'{name or "a standby"} is {seconds:.1f} s behind'


def gauges(connection: sa.Connection, max_lag: float) -> list[Gauge]:
    """Return what there is to read of a server.

    :param max_lag: seconds that a standby may be behind; 0 not to look
    """
    if galera.is_node(connection):
        return [FlowGauge()]
    if connection.dialect.name == 'postgresql' and max_lag > 0:
        return [StandbyGauge(max_lag)]
    return []


#: What changes with whatever somebody else writes; None while somebody does.
Mark = Callable[[sa.Connection], Hashable | None]


def written_mariadb(connection: sa.Connection) -> Hashable | None:
    """Return how many statements that write the others have sent."""
    total = galera.counters(connection, _WRITES)
    own = galera.counters(connection, _WRITES, 'SESSION')
    return sum(total.values()) - sum(own.values())


def written_postgresql(connection: sa.Connection) -> Hashable | None:
    """Return when another session of the database began or ended something.

    Of sessions of other users that is for ``pg_monitor``; without, they are
    taken for busy.
    """
    latest, sessions, idle = connection.execute(sa.text(_SESSIONS)).one()
    return (latest, sessions) if sessions == idle else None


def written_sqlite(connection: sa.Connection) -> Hashable | None:
    """Return what is another number when another connection has committed."""
    version: int = connection.exec_driver_sql(
        'PRAGMA data_version'
    ).scalar_one()
    return version


MARKS: Mapping[str, Mark] = {
    'mariadb': written_mariadb,
    'mysql': written_mariadb,
    'postgresql': written_postgresql,
    'sqlite': written_sqlite,
}


class Traffic:
    """Whether anybody else writes to a server.

    :param mark: how to tell
    :param interval: seconds between two readings
    """

    def __init__(self, mark: Mark, interval: float = 0.5) -> None:
        self._mark = mark
        self._interval = interval
        self._due = -math.inf
        self._before: Hashable | None = None
        self._alone = False

    def is_alone(self, connection: sa.Connection) -> bool:
        """Return whether nobody else wrote between the last two readings.

        At the first one that is not known.
        """
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._interval
            self._alone = False
            with connection.begin():
                now = self._mark(connection)
            self._alone = now is not None and now == self._before
            self._before = now
        return self._alone


class Watch:
    """Reads the gauges, but not more often than is any use.

    :param interval: seconds between two readings
    """

    def __init__(self, found: list[Gauge], interval: float = 0.5) -> None:
        self._gauges = found
        self._interval = interval
        self._due = 0.0

    def pressure(
        self, connection: sa.Connection, at_once: bool = False
    ) -> str | None:
        """Return why to hold back, or None, or what was not asked yet.

        :param at_once: ask whatever the time
        """
        if time.monotonic() < self._due and not at_once:
            return None
        self._due = time.monotonic() + self._interval
        for gauge in self._gauges:
            reason = self._read(gauge, connection)
            if reason:
                return reason
        return None

    def _read(self, gauge: Gauge, connection: sa.Connection) -> str | None:
        try:
            with connection.begin():
                return gauge.read(connection)
        except (
            PermissionError,
            db_exc.DBError,
            sa_exc.DBAPIError,
        ) as error:
            if connection.invalidated:
                raise
            self._gauges = [each for each in self._gauges if each is not gauge]
            LOG.info(
                'What the servers behind this one say cannot be read (%s):'
                ' going on without.',
                errors.first_line(error),
            )
        return None
