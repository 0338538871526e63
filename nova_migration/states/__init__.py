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

"""The vocabulary and the machines of a migration; pure, without a database."""

from nova_migration.states.machine import Machine
from nova_migration.states.machine import Outcome
from nova_migration.states.migration import LOOK
from nova_migration.states.migration import MigrationFlag
from nova_migration.states.migration import MigrationState
from nova_migration.states.migration import MigrationStatus
from nova_migration.states.registry import MACHINES
from nova_migration.states.registry import MIGRATION_TYPES
from nova_migration.states.registry import determine_migration_type
from nova_migration.states.registry import machine_for
from nova_migration.states.table import Absorbed
from nova_migration.states.table import DeclarationError
from nova_migration.states.table import Edge
from nova_migration.states.table import Lengths
from nova_migration.states.table import State
from nova_migration.states.table import Table
from nova_migration.states.words import UnknownWord

__all__ = [
    'LOOK',
    'MACHINES',
    'MIGRATION_TYPES',
    'Absorbed',
    'DeclarationError',
    'Edge',
    'Lengths',
    'Machine',
    'MigrationFlag',
    'MigrationState',
    'MigrationStatus',
    'Outcome',
    'State',
    'Table',
    'UnknownWord',
    'determine_migration_type',
    'machine_for',
]
