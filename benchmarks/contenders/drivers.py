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

"""The raw drivers, as a program without any library would use them."""

import sqlite3
from typing import Any

import psycopg2
import pymysql
import sqlalchemy as sa

#: What a statement may end with when somebody else works on its row.
ERRORS = (
    sqlite3.OperationalError,
    psycopg2.OperationalError,
    pymysql.err.OperationalError,
)


def connect(url: str, autocommit: bool = True) -> Any:
    """Open the DBAPI connection that a database URL of SQLAlchemy means."""
    parsed = sa.make_url(url)
    engine = sa.create_engine(parsed)
    (arguments, options) = engine.dialect.create_connect_args(parsed)
    if parsed.get_backend_name() == 'sqlite':
        options.update(timeout=60)
        if autocommit:
            options.update(isolation_level=None)
    driver = engine.dialect.import_dbapi()
    connection = driver.connect(*arguments, **options)
    if parsed.get_backend_name() == 'mysql':
        connection.autocommit(autocommit)
    elif parsed.get_backend_name() == 'postgresql':
        connection.autocommit = autocommit
    return connection


def placed(url: str, statement: str) -> str:
    """Write a statement's ``%s`` as the driver of the URL wants them."""
    if sa.make_url(url).get_backend_name() == 'sqlite':
        return statement.replace('%s', '?')
    return statement
