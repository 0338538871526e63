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

"""Databases that cannot be opened, and what is said of them."""

import socket

from oslo_config import cfg
import sqlalchemy as sa

from nova_migration import exception
from nova_migration.conf import opts
from nova_migration.db import api
from nova_migration.db import engine
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.states import MACHINES
from tests import base as test_base
from tests.functional import base

#: A service tries the connection when it opens a database, and a command when
#: it uses it: ours set max_retries to 0.
EARLY = {'max_retries': 1, 'retry_interval': 0}
LATE = {'max_retries': 0}

START = MACHINES['resize'].table.start


def use(url, options):
    """Open a database and read from it."""
    database = engine.from_url(url, **options)
    try:
        return api.get_all_by_filters(database, {})
    finally:
        database.engine.dispose()


class Refused(test_base.TestCase):
    """URLs that lead nowhere."""

    def refused(self, kind, url, *words):
        """Using a URL must fail in one line, without the password."""
        for options in (EARLY, LATE):
            error = self.assertRaises(kind, use, url, options)
            self.assertNotIn('\n', str(error))
            self.assertNotIn('secret', str(error))
            self.assertNotIn('sqlalche.me', str(error))
            for word in words:
                self.assertIn(word, str(error))

    def test_garbage(self):
        """What is no URL at all is said to be none."""
        for url in ('', 'nonsense', '://', 'mysql', 'sqlite:/x', 'a://b:c/d'):
            self.refused(exception.UnsupportedDatabase, url, 'URL')

    def test_unknown_dialect(self):
        """A kind of database that the project does not know is named."""
        for name in ('oracle', 'mssql', 'nonsense'):
            self.refused(
                exception.UnsupportedDatabase,
                f'{name}://user:secret@127.0.0.1/x',
                repr(name),
                *engine.DIALECTS,
            )

    def test_unknown_driver(self):
        """A driver that SQLAlchemy does not know is named."""
        for dialect in ('sqlite', 'mysql', 'postgresql'):
            self.refused(
                exception.UnsupportedDatabase,
                f'{dialect}+nonsense://user:secret@127.0.0.1/x',
                'nonsense',
            )

    def test_missing_driver(self):
        """A driver that is not installed is named."""
        for url, driver in (
            ('mysql+mysqldb://user:secret@127.0.0.1/x', 'MySQLdb'),
            ('postgresql+pg8000://user:secret@127.0.0.1/x', 'pg8000'),
        ):
            self.refused(exception.UnsupportedDatabase, url, driver)

    def test_nobody_listens(self):
        """A port that nobody listens on is reported as such."""
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
            for driver in ('mysql+pymysql', 'postgresql+psycopg2'):
                url = f'{driver}://user:secret@127.0.0.1:{port}/x'
                self.refused(
                    exception.DatabaseUnavailable, url, str(port), 'refused'
                )

    def test_no_such_folder(self):
        """A file in a folder that does not exist cannot be opened."""
        self.refused(
            exception.DatabaseUnavailable,
            'sqlite:////nonexistent/folder/x.db',
            '/nonexistent/folder/x.db',
        )

    def test_no_database(self):
        """A file that is none of SQLite's is reported as such."""
        folder = self.useFixture(base.fixtures.TempDir()).path
        path = f'{folder}/x.db'
        with open(path, 'w', encoding='utf-8') as text:
            text.write('this is a text and no database at all ' * 100)
        self.refused(
            exception.DatabaseError, f'sqlite:///{path}', 'not a database'
        )


@base.on_every_database
class Opened:
    """A server that answers."""

    def changed(self, **parts):
        """Return the test's URL with parts changed."""
        url = sa.engine.make_url(self.url).set(**parts)
        return url.render_as_string(hide_password=False)

    def refused(self, *words, **parts):
        """Opening the changed URL must fail in one line."""
        url = self.changed(**parts)
        for options in (EARLY, LATE):
            error = self.assertRaises(
                exception.DatabaseUnavailable, use, url, options
            )
            self.assertNotIn('\n', str(error))
            self.assertNotIn('not-the-password', str(error))
            for word in words:
                self.assertIn(word, str(error))

    @base.only_on('mysql', 'postgresql')
    def test_wrong_password(self):
        """A password that is wrong is not shown, and the user is.

        A PostgreSQL that trusts its own machine asks for no password, but
        knows its users.
        """
        user = {'postgresql': 'nobody_at_all'}.get(
            self.BACKEND, 'openstack_citest'
        )
        self.refused(user, username=user, password='not-the-password')

    @base.only_on('mysql', 'postgresql')
    def test_no_such_database(self):
        """A database that is not there is named."""
        self.refused('nonexistent', database='nonexistent')

    @base.only_on('mysql', 'postgresql')
    def test_values_of_options(self):
        """Whatever a server says of an option's value, it is not shown."""
        for query in {
            'mysql': ('init_command=SET secret', 'read_timeout=secret'),
            'postgresql': ('options=-c secret=1', 'sslmode=secret'),
        }[self.BACKEND]:
            name, _, value = query.partition('=')
            url = self.changed(query={name: value})
            for options in (EARLY, LATE):
                error = self.assertRaises(
                    exception.DatabaseError, use, url, options
                )
                self.assertIn('***', str(error))
                while error is not None:
                    self.assertNotIn('secret', str(error))
                    hidden = error.__suppress_context__
                    error = error.__cause__ or (
                        None if hidden else error.__context__
                    )

    def test_not_expanded(self):
        """A database without our columns is reported as that, not as SQL."""
        self.assertTrue(engine.needs_expand(self.db.engine))
        for query in (
            lambda: api.get(self.db, 1),
            lambda: api.get_all_by_filters(self.db, {}),
        ):
            self.assertRaises(exception.EmptyDatabase, query)
            self.create_nova_tables()
            self.assertRaises(exception.NotExpanded, query)
            metadata = sa.MetaData()
            tables = [t.name for t in models.TABLES]
            metadata.reflect(self.db.engine, only=tables)
            metadata.drop_all(self.db.engine)
            if self.BACKEND == 'postgresql':
                with self.db.engine.begin() as connection:
                    connection.exec_driver_sql(
                        'DROP TYPE IF EXISTS migration_type'
                    )

    def test_one_table_expanded(self):
        """Both tables have to have all of our columns."""
        schema.expand(self.db, create=True)
        self.assertFalse(engine.needs_expand(self.db.engine))
        name = models.added_columns()[-1].name
        with self.db.engine.begin() as connection:
            connection.exec_driver_sql(
                f'ALTER TABLE shadow_migrations DROP COLUMN {name}'
            )
        self.assertTrue(engine.needs_expand(self.db.engine))

    def test_contracted(self):
        """What contract's check refuses is reported as that."""
        schema.expand(self.db, create=True)
        schema.contract(self.db)
        error = self.assertRaises(
            exception.LegacyRowRefused,
            api.create,
            self.db,
            {'status': START.legacy, 'migration_type': 'resize'},
        )
        self.assertIn('canonical', str(error))
        self.assertEqual([], self.rows())

    def test_transaction(self):
        """A transaction is committed at its end, and not after an error."""
        schema.expand(self.db, create=True)
        with self.db.transaction() as connection:
            connection.execute(models.MIGRATIONS.insert().values(id=1))
        try:
            with self.db.transaction() as connection:
                connection.execute(models.MIGRATIONS.insert().values(id=2))
                raise KeyError
        except KeyError:
            pass
        self.assertEqual([1], [row.id for row in self.rows()])

    def test_formats(self):
        """New rows are legacy unless the configuration says otherwise."""
        self.assertEqual(
            opts.StatusFormat.LEGACY, engine.from_url(self.url).status_format
        )
        database = self.open(opts.StatusFormat.CANONICAL)
        self.assertEqual(opts.StatusFormat.CANONICAL, database.status_format)

    def test_configuration(self):
        """A configuration names the database and the form of new rows."""
        conf = opts.register(cfg.ConfigOpts())
        conf([])
        conf.set_override('connection', self.url, group='database')
        conf.set_override('status_format', 'canonical', group=opts.GROUP)
        database = engine.from_conf(conf)
        self.addCleanup(database.engine.dispose)
        schema.expand(database, create=True)
        self.assertTrue(schema.is_expanded(self.db))
        self.assertEqual(opts.StatusFormat.CANONICAL, database.status_format)
