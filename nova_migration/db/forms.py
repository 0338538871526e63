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

"""How far the upgrade of a database has come, as its rows show it."""

import enum

import sqlalchemy as sa

from nova_migration.db import ddl
from nova_migration.db import models

_T = models.MIGRATIONS


class Depth(enum.StrEnum):
    """What a program meets that reads and writes Nova's strings only."""

    #: There are no migrations.
    NOT_A_CELL = 'no migrations'
    #: What it knows, expanded or not.
    LEGACY = 'legacy rows only'
    #: Rows that it misreads, and writes over.
    CANONICAL = 'canonical rows'
    #: A check that refuses what it writes.
    CONTRACTED = "the check that 'db upgrade --contract' adds"


def depth_of(connection: sa.Connection) -> Depth:
    """Find out by some short statements; a transaction is left open."""
    if not sa.inspect(connection).has_table(_T.name):
        return Depth.NOT_A_CELL
    if _T.c.state.name not in ddl.column_names(connection, _T):
        return Depth.LEGACY
    if ddl.has_check(connection, _T):
        return Depth.CONTRACTED
    canonical = sa.select(_T.c.id).where(_T.c.state.is_not(None)).limit(1)
    found = connection.scalar(canonical) is not None
    return Depth.CANONICAL if found else Depth.LEGACY
