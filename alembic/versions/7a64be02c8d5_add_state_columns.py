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

"""Add the columns and the index of the machine

Revision ID: 7a64be02c8d5
Revises: 3c1f5a0d9e21
"""

from alembic import op

from nova_migration.db import adopt
from nova_migration.db import ddl
from nova_migration.db import fence
from nova_migration.db import models
from nova_migration.db import script

revision = '7a64be02c8d5'
down_revision = '3c1f5a0d9e21'
branch_labels = ('expand',)
depends_on = None


def upgrade() -> None:
    if op.get_context().as_sql:
        script.expand(op)
        return
    for table in models.TABLES:
        ddl.add_columns(op, table)
    adopt.check(op.get_bind())
    ddl.create_index(op, models.STATE_INDEX)


def downgrade() -> None:
    if op.get_context().as_sql:
        script.revert_expand(op)
        return
    with fence.around(op) as around:
        ddl.require_restored(op.get_bind())
        ddl.lock_tables(op)
        ddl.drop_index(op, models.STATE_INDEX)
        for table in around.tables:
            ddl.drop_columns(op, table, around.name)
