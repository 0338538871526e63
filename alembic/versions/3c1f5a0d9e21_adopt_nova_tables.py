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

"""Adopt Nova 34's tables, or create them in an empty database

Revision ID: 3c1f5a0d9e21
Revises:
"""

from alembic import op

from nova_migration.db import adopt

revision = '3c1f5a0d9e21'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    if not op.get_context().as_sql:
        adopt.create_or_check(op.get_bind())


def downgrade() -> None:
    # The tables are Nova's and hold its data: they stay.
    pass
