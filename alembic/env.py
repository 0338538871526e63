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

"""What alembic runs: the command's connection, or a developer's URL."""

import os
from typing import Any

from alembic import context
import sqlalchemy as sa

from nova_migration.db import ddl
from nova_migration.db import engine
from nova_migration.db import models
from nova_migration.db import schema


def _include_name(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != 'table' or name in models.metadata.tables


def _configure(connection: sa.Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=models.metadata,
        version_table=schema.VERSION_TABLE,
        include_name=_include_name,
        transaction_per_migration=True,
        # oslo.db's SQLite engine begins transactions itself, DDL included.
        transactional_ddl=connection.dialect.name not in ddl.MARIADB,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _script() -> None:
    """Print what would be run; no server is asked anything."""
    context.configure(
        dialect_name=context.config.attributes['dialect'],
        version_table=schema.VERSION_TABLE,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run() -> None:
    if context.is_offline_mode():
        _script()
        return
    connection = context.config.attributes.get('connection')
    if connection is not None:
        _configure(connection)
        return
    # The developer's own `alembic` has no connection: NOVA_MIGRATION_URL
    # names the database to try a revision on.
    url = os.environ.get('NOVA_MIGRATION_URL', 'sqlite:///nova_migration.db')
    database = engine.from_url(url)
    with database.engine.connect() as connection:
        _configure(connection)


_run()
