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

"""Rows of every kind, made from the table of states."""

import datetime

from nova_migration.db import models
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import determine_migration_type

#: A time that no clock of a test can come to.
THEN = datetime.datetime(2019, 2, 3, 4, 5, 6)

#: What rows of a real site may say; no machine knows any of these strings,
#: and two of them are what MariaDB takes for one that is known.
ODD = ('Done', 'done ', 'ERROR', 'goofballs', '', 'geschäftig')


def pairs():
    """Return every type with every string that means something there."""
    return [
        (kind, word, state)
        for kind in MIGRATION_TYPES
        for word, state in MACHINES[kind].legacy.items()
    ]


def untyped():
    """Return the strings of the rows from before there were types."""
    return MACHINES[determine_migration_type(1, 1)].legacy.items()


def strings():
    """Return every string that is written for any type."""
    return sorted({word for _kind, word, _state in pairs()})


def legacy(kind, word, **values):
    """Return the values of a legacy row."""
    return {
        'migration_type': kind,
        'status': word,
        'created_at': THEN,
        'updated_at': THEN,
        'deleted': 0,
        **values,
    }


def canonical(kind, state, **values):
    """Return the values of a canonical row."""
    return legacy(kind, state.status, state=state.name, **values)


def in_both_forms(kind, state, **values):
    """Return the values of a row of each form, which mean the same."""
    return (
        legacy(kind, state.legacy, **values),
        canonical(kind, state, **values),
    )


class Expanded:
    """Mixed into tests that need the columns, however they came to be.

    That the models are what expand makes is for test_revisions to say.
    """

    def expand(self):
        """Create both tables from the models, in a fraction of the time."""
        models.metadata.create_all(self.db.engine)
