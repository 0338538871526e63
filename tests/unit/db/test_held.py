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

"""What is said of rows that somebody holds."""

from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql

from nova_migration.db import held
from tests import base


class LinesTest(base.TestCase):
    """The rows, then who holds them."""

    def test_holders(self):
        """A session is told with what the server says of it."""
        for holder, text in (
            (held.Holder(7), 'session 7'),
            (held.Holder(0), 'a prepared transaction'),
            (
                held.Holder(7, 'nova', 'ctl1:5', 30, 'UPDATE a\n  SET b'),
                'session 7 of nova from ctl1:5, for 30 s: UPDATE a SET b',
            ),
        ):
            self.assertEqual(text, str(holder))
        self.assertLess(len(str(held.Holder(7, statement='x' * 999))), 100)

    def test_lines(self):
        """The first ids are named, and whether there are more."""
        self.assertEqual(
            ('held in migrations: 2 (id 1, 4)',),
            held.Held('migrations', (1, 4), 2).lines,
        )
        self.assertEqual(
            (
                'held in migrations: 3 (id 1, 4, ...)',
                '  by session 7',
                '  the user lacks PROCESS to see by whom',
            ),
            held.Held(
                'migrations', (1, 4), 3, (held.Holder(7),), 'PROCESS'
            ).lines,
        )


class SkipLockedTest(base.TestCase):
    """Which servers leave out what is locked."""

    def test_versions(self):
        """MariaDB from 10.6, MySQL from 8.0.1, and PostgreSQL."""
        for maria, version, expected in (
            (True, (10, 5, 29), False),
            (True, (10, 6, 1), True),
            (True, (11, 4), True),
            (False, (5, 7), False),
            (False, (8, 0, 1), True),
        ):
            dialect = mysql.dialect(is_mariadb=maria)
            dialect.server_version_info = version
            self.assertEqual(expected, held.skips_locked(dialect), version)
        self.assertTrue(held.skips_locked(postgresql.dialect()))
