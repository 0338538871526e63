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

"""Primitives as services of one release or another send them."""

from nova_migration import objects
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES

UUID = '7d0c1d4e-5b0a-4f37-9d6b-0f6b3a8f2c11'
INSTANCE = '0b1f6ad1-55cf-4f31-9f3b-9c1f9a2c3d44'

#: What Nova 34 sends: every field of version 1.8.
FIELDS_OF_1_8 = {
    'created_at': '2026-02-01T10:00:00Z',
    'updated_at': '2026-02-01T10:05:00Z',
    'deleted_at': None,
    'deleted': False,
    'id': 42,
    'uuid': UUID,
    'source_compute': 'host-a',
    'dest_compute': 'host-b',
    'source_node': 'node-a',
    'dest_node': 'node-b',
    'dest_compute_id': 7,
    'dest_host': '192.0.2.7',
    'old_instance_type_id': 1,
    'new_instance_type_id': 2,
    'instance_uuid': INSTANCE,
    'status': 'finished',
    'migration_type': 'resize',
    'hidden': False,
    'memory_total': 4096,
    'memory_processed': 1024,
    'memory_remaining': 3072,
    'disk_total': 10,
    'disk_processed': 5,
    'disk_remaining': 5,
    'cross_cell_move': False,
    'user_id': 'alice',
    'project_id': 'demo',
}

#: What each version added to the one before, in Nova and here.
ADDED = {
    '1.1': set(),
    '1.2': {'migration_type', 'hidden'},
    '1.3': set(),
    '1.4': {
        'memory_total',
        'memory_processed',
        'memory_remaining',
        'disk_total',
        'disk_processed',
        'disk_remaining',
    },
    '1.5': {'uuid'},
    '1.6': {'cross_cell_move'},
    '1.7': {'user_id', 'project_id'},
    '1.8': {'dest_compute_id'},
    '1.9': {'state', 'state_reason', 'state_changed_at', 'legacy_status'},
}
VERSIONS = ('1.0', *ADDED)

#: Every type with every string that it knows.
KNOWN = [
    (kind, word) for kind in MIGRATION_TYPES for word in MACHINES[kind].legacy
]


def fields_of(version):
    """Return the names of a version's fields."""
    newer = VERSIONS[VERSIONS.index(version) + 1 :]
    names = set(FIELDS_OF_1_8) | ADDED['1.9']
    return names.difference(*(ADDED[later] for later in newer))


def primitive(version='1.8', changes=(), **data):
    """Return what a service of a version sends, with other data in it."""
    values = {**FIELDS_OF_1_8, **data}
    known = fields_of(version)
    sent = {
        'nova_object.name': 'Migration',
        'nova_object.namespace': 'nova',
        'nova_object.version': version,
        'nova_object.data': {n: v for n, v in values.items() if n in known},
    }
    if changes:
        sent['nova_object.changes'] = list(changes)
    return sent


def migration(version='1.8', changes=(), context=None, **data):
    """Return the object that is made of what a service sends."""
    return objects.Migration.obj_from_primitive(
        primitive(version, changes, **data), context
    )


def canonical(kind, state, **data):
    """Return a migration of a type in a state."""
    row = MACHINES[kind].state(state)
    data = {
        'state_reason': None,
        'state_changed_at': '2026-02-01T10:04:00Z',
        'legacy_status': None,
        **data,
    }
    return migration(
        '1.9',
        migration_type=kind,
        status=str(row.status),
        state=str(row.name),
        **data,
    )


def data_of(sent):
    """Return the fields in a primitive."""
    return sent['nova_object.data']
