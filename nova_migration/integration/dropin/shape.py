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

"""Whether Nova has what the drop-in replaces, in the shape that it knows."""

from collections.abc import Iterator
import inspect
from typing import Any

from nova.db.main import api
from nova.db.main import models
from nova.objects import migration
import sqlalchemy as sa

from nova_migration.db import nova_schema

_SIGNATURES = {
    'migration_create': ['context', 'values'],
    'migration_update': ['context', 'migration_id', 'values'],
    'migration_get_by_instance_and_status': [
        'context',
        'instance_uuid',
        'status',
    ],
    'get_context_manager': ['context'],
    'pick_context_manager_writer': ['f'],
    'pick_context_manager_reader': ['f'],
}


def difference() -> str | None:
    """Return the first thing that is not as it is known; None if nothing."""
    return next(_differences(), None)


def _differences() -> Iterator[str]:
    for name, expected in _SIGNATURES.items():
        if _parameters(getattr(api, name)) != expected:
            yield f'{name}() does not take {", ".join(expected)}'
    if migration.Migration.VERSION != '1.8':
        yield f'its Migration object is {migration.Migration.VERSION}'
    known = {c.name for c in nova_schema.columns(sa.Enum(name='_'))}
    found = {c.name for c in models.Migration.__table__.c}
    if found != known:
        yield f'its model differs in {", ".join(sorted(found ^ known))}'


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)
