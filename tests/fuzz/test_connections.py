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

"""Whatever names the database, and whatever is found there."""

import pathlib
import sqlite3

from hypothesis import strategies as st

from tests import base as test_base
from tests.functional import base
from tests.fuzz import base as fuzz
from tests.fuzz import strategies

_SCHEMES = (
    'sqlite',
    'sqlite+pysqlite',
    'sqlite+nope',
    'SQLITE',
    'mysql',
    'mysql+pymysql',
    'mysql+nope',
    'mariadb+pymysql',
    'postgresql',
    'postgresql+psycopg2',
    'postgresql+nope',
    'postgres',
    'oracle',
    'mssql+pyodbc',
    'http',
    'x',
    '',
)
_SECRET = fuzz.SECRET
_PASSWORDS = (
    _SECRET,
    f'%{ord(_SECRET[0]):x}{_SECRET[1:]}',
    *(f'a{c}{_SECRET}' for c in '@:/#?$%&=[]\\\'" \n\x1b'),
    *(f'{_SECRET}{c}b' for c in '@:/#?$%&=[]\\\'" \n\x1b'),
    f'a@b/{_SECRET}',
    f'${_SECRET}',
    f'${{{_SECRET}}}',
    f'%zz{_SECRET}',
)
_QUERIES = (
    'plugin=nope',
    'plugin=',
    'plugin=nova_migration&plugin=nope',
    'charset=utf8',
    'charset=nope',
    'charset=',
    'timeout=abc',
    'timeout=-1',
    'uri=true',
    'uri=nope',
    'mode=ro',
    'mode=ro&uri=true',
    'isolation_level=nope',
    'check_same_thread=nope',
    'ssl_ca=/nope',
    'ssl_check_hostname=nope',
    'unix_socket=/nope',
    'connect_timeout=nope',
    'connect_timeout=-1',
    'read_default_file=/nope',
    'client_flag=nope',
    'cursorclass=nope',
    'local_infile=nope',
    'sslmode=nope',
    'options=-c%20nope',
    'client_encoding=nope',
    'foo=bar',
    'foo=1&foo=2',
    '%zz',
    '=',
    '&',
    f'password={_SECRET}',
    f'passwd={_SECRET}',
    f'sslpassword={_SECRET}',
    f'ssl_key_password={_SECRET}',
    f'PASSWORD={_SECRET}',
    *(
        f'{option}={_SECRET}'
        for option in (
            'plugin',
            'read_timeout',
            'connect_timeout',
            'charset',
            'client_flag',
            'ssl_ca',
            'unix_socket',
            'init_command',
            'isolation_level',
            'timeout',
            'uri',
            'sslmode',
            'client_encoding',
            'application_name',
            'options=-c%20',
            'nope',
        )
    ),
)

#: Nobody listens there; no name has to be looked up, so nothing waits.
_HOSTS = (
    '127.0.0.1:1',
    '127.0.0.1:99999',
    '127.0.0.1:-1',
    '127.0.0.1:x',
    '127.0.0.1:1:1',
    '[::1]:1',
    '[::1',
)

#: The files of the folder, and what is none.
_FILES = (
    'noise.db',
    'text.db',
    'zeros.db',
    'other.db',
    'view.db',
    'half.db',
    'column.db',
    'folder',
    'none/such.db',
    ':memory:',
    '',
    '/',
    'file:other.db?mode=ro&uri=true',
    'file:cell.db?mode=ro&uri=true',
    'file:cell.db?immutable=1&uri=true',
    'file:none.db?mode=ro&uri=true',
    'a%20b/c',
    '\x1b[31m/c',
    'a\nb/c',
)

_COMMANDS = (
    ('db', 'check'),
    ('db', 'census'),
    ('db', 'version'),
    ('db', 'upgrade'),
    ('db', 'upgrade', '--migrate'),
    ('db', 'upgrade', '--contract'),
    ('db', 'restore'),
    ('db', 'restore', '--drop-columns'),
    ('migration', 'list'),
    ('migration', 'show', '1'),
)

_QUERY = st.just('') | st.sampled_from(_QUERIES).map('?{}'.format)


def _server_urls():
    def url(scheme, user, password, host, query):
        # Without a host, what stands behind an @ is one.
        said = password if host else password.replace('@', '')
        return f'{scheme}://{user}:{said}{host}/nova{query}'

    return st.builds(
        url,
        st.sampled_from([s for s in _SCHEMES if not s.startswith('sqlite')]),
        st.sampled_from(('u', '', 'a%40b', '\u00fc', '\x1b')),
        st.sampled_from(_PASSWORDS),
        st.sampled_from(('', *map('@{}'.format, _HOSTS))),
        _QUERY,
    )


_FILE_URLS = st.builds(
    lambda scheme, name, query: (
        f'{scheme}:///{name}{query.replace("?", "&" if "?" in name else "?")}'
    ),
    st.sampled_from(('sqlite', 'sqlite+pysqlite', 'sqlite+nope', 'SQLITE')),
    st.sampled_from(_FILES),
    _QUERY,
)

_ANY_URL = st.one_of(
    _server_urls(),
    _FILE_URLS,
    st.builds(
        '{}://{}'.format,
        st.sampled_from([s for s in _SCHEMES if 'sql' not in s]),
        strategies.argument,
    ),
    strategies.argument.filter(lambda text: '://' not in text),
)

#: Tables that have the name of Nova's and are not.
_OTHERS = {
    'other.db': 'CREATE TABLE migrations (id INTEGER, name TEXT);'
    "INSERT INTO migrations VALUES (1, 'x');",
    'view.db': 'CREATE VIEW migrations AS SELECT 1 AS id, 2 AS status;'
    'CREATE VIEW shadow_migrations AS SELECT 1 AS id;',
    'half.db': 'CREATE TABLE shadow_migrations (id INTEGER);',
    'column.db': 'CREATE TABLE migrations (id TEXT, status TEXT, state INT,'
    ' migration_type TEXT, state_reason TEXT, state_changed_at TEXT,'
    ' legacy_status TEXT);'
    "INSERT INTO migrations VALUES ('a', 'done', 5, 'x', 1, 'y', x'00ff');"
    'CREATE TABLE shadow_migrations AS SELECT * FROM migrations;',
}


class ConnectionsTest(fuzz.FuzzTest, base.DatabaseTest, test_base.TestCase):
    """One line, no waiting, no password, and no change to what is there."""

    def setUp(self):
        super().setUp()
        (self.folder / 'folder').mkdir()
        (self.folder / 'noise.db').write_bytes(bytes(range(256)) * 16)
        (self.folder / 'text.db').write_bytes(b'SQLite format 3\0 or not')
        (self.folder / 'zeros.db').write_bytes(b'\0' * 4096)
        for name, script in _OTHERS.items():
            connection = sqlite3.connect(self.folder / name)
            connection.executescript(script)
            connection.close()
        self.create_nova_tables()
        self.fill(('resize', 'finished'))
        self.db.engine.dispose()
        cell = pathlib.Path(self.db.engine.url.database)
        (self.folder / 'cell.db').write_bytes(cell.read_bytes())
        self.files = [
            fuzz.File(path) for path in sorted(self.folder.glob('*.db'))
        ]

    def give_back(self):
        """Remove what a command on a file that was not there has made."""
        for path in self.folder.iterdir():
            if path.is_file() and path not in [f.path for f in self.files]:
                path.unlink()

    def assert_harmless(self, argv):
        """What a command says of a database that it cannot use."""
        try:
            result = self.run_manage(*argv)
            self.assertNotIn(_SECRET, result.out + result.err)
            self.assert_answered(result, (0, 1, 2, 255))
            if result.code in (1, 255):
                self.assert_refused(result)
            for file in self.files:
                self.assertEqual(
                    file.original, file.path.read_bytes(), file.path
                )
        finally:
            self.give_back()

    @fuzz.fuzzed(
        _ANY_URL,
        st.sampled_from(_COMMANDS),
        share=4,
        examples=[
            (f'mysql+pymysql://u@127.0.0.1:1/n?password={_SECRET}', c)
            for c in _COMMANDS[:1]
        ]
        + [
            (f'mysql+pymysql://u:a@{_SECRET}@127.0.0.1:1/n', _COMMANDS[0]),
            (f'mysql+pymysql://u:{_SECRET}@127.0.0.1:x/n', _COMMANDS[0]),
            ('mysql+pymysql://127.0.0.1:1/n?charset=nope', _COMMANDS[0]),
            ('mysql+pymysql://127.0.0.1:99999/n', _COMMANDS[0]),
            ('sqlite://?timeout=abc', _COMMANDS[0]),
            (f'mysql+pymysql://u:{_SECRET}/n', _COMMANDS[0]),
            (f'mysql+pymysql://u:{_SECRET}', _COMMANDS[0]),
            ('sqlite:///\udcff', _COMMANDS[0]),
            ('sqlite:///cell.db?mode=ro', _COMMANDS[3]),
            *(
                (f'{scheme}{query}', _COMMANDS[0])
                for scheme in (
                    'sqlite:///cell.db?',
                    'mysql+pymysql://u@127.0.0.1:1/n?',
                    'postgresql://u@127.0.0.1:1/n?',
                )
                for query in _QUERIES
                if _SECRET in query
            ),
            ('sqlite:///file:cell.db?mode=ro&uri=true', _COMMANDS[3]),
        ],
    )
    def test_command_line(self, url, command):
        """--database-connection."""
        self.assert_harmless((f'--database-connection={url}', *command))

    @fuzz.fuzzed(
        _ANY_URL,
        st.sampled_from(_COMMANDS),
        share=2,
        examples=[
            (f'mysql+pymysql://u:${_SECRET}@127.0.0.1:1/n', _COMMANDS[0]),
            (f'mysql+pymysql://u:a${{{_SECRET}}}@127.0.0.1:1/n', _COMMANDS[0]),
            ('x://$connection', _COMMANDS[0]),
            (f'\n://u:{_SECRET}@127.0.0.1:1/n', _COMMANDS[0]),
        ],
    )
    def test_nova_conf(self, url, command):
        """[database] connection."""
        path = self.folder / 'nova.conf'
        text = f'[database]\nconnection = {url}\n'
        path.write_bytes(text.encode('utf-8', 'surrogateescape'))
        self.assert_harmless(('--config-file', path, *command))

    @fuzz.fuzzed(
        _server_urls(),
        st.sampled_from(_COMMANDS),
        share=0.5,
        examples=[
            (f'mysql://u@127.0.0.1:1/n?password={_SECRET}', _COMMANDS[0]),
            (f'mysql://u:{_SECRET}', _COMMANDS[0]),
            *(
                (f'{scheme}://u@127.0.0.1:1/n?{query}', _COMMANDS[0])
                for scheme in ('mysql', 'postgresql')
                for query in _QUERIES
                if _SECRET in query
            ),
        ],
    )
    def test_debug(self, url, command):
        """A traceback that was asked for has no password either."""
        result = self.run_manage(
            '--debug', f'--database-connection={url}', *command
        )
        self.assertNotIn(_SECRET, result.out + result.err)
