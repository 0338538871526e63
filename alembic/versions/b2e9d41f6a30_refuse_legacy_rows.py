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

"""Refuse rows that are not in canonical form

Revision ID: b2e9d41f6a30
Revises: 3c1f5a0d9e21
"""

from alembic import op

from nova_migration import exception
from nova_migration.db import ddl
from nova_migration.db import models
from nova_migration.db import script

revision = 'b2e9d41f6a30'
down_revision = '3c1f5a0d9e21'
branch_labels = ('contract',)
depends_on = '7a64be02c8d5'


def upgrade() -> None:
    if op.get_context().as_sql:
        script.contract(op)
        return
    ddl.require_canonical(op.get_bind())
    for table in models.TABLES:
        ddl.add_check(op, table)
    # A writer may have come in between the look and the check.
    try:
        ddl.require_canonical(op.get_bind())
    except exception.LegacyRowsRemain:
        downgrade()
        raise
    for table in models.TABLES:
        ddl.validate_check(op, table)


def downgrade() -> None:
    if op.get_context().as_sql:
        script.revert_contract(op)
        return
    for table in models.TABLES:
        ddl.drop_check(op, table)
