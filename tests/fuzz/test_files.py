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

"""Whatever a nova.conf holds, and whatever folders and files are named."""

import itertools
import os

from hypothesis import strategies as st

from nova_migration.cmd import exits
from nova_migration.conf import opts
from tests import base as test_base
from tests.functional import base
from tests.fuzz import base as fuzz
from tests.fuzz import strategies

_SECRET = fuzz.SECRET

#: Values that some option does not take, or takes to be something else.
_VALUES = st.sampled_from(
    (
        '',
        '0',
        '-1',
        '9' * 30,
        '9' * 5000,
        '1.5',
        'many',
        'canonical',
        'both',
        'true',
        '$state_path',
        '$stuck_after',
        '$$',
        '${',
        '%(x)s',
        '"quoted',
        "'",
        f'x://u:{_SECRET}@h',
        '\x1b[31m',
        'x' * 100000,
    )
) | strategies.text.map(lambda text: text.replace('\n', ' '))

_OPTIONS = (
    *(option.name for option in opts.OPTIONS),
    'connection',
    'slave_connection',
    'max_pool_size',
    'max_overflow',
    'pool_timeout',
    'max_retries',
    'retry_interval',
    'connection_recycle_time',
    'connection_debug',
    'connection_trace',
    'connection_parameters',
    'sqlite_synchronous',
    'mysql_sql_mode',
    'mysql_wsrep_sync_wait',
    'use_db_reconnect',
    'db_max_retries',
    'backend',
    'synchronous_reader',
)
_LINE = st.one_of(
    st.builds('{} = {}'.format, st.sampled_from(_OPTIONS), _VALUES),
    st.sampled_from(
        (
            '[database]',
            '[DEFAULT]',
            f'[{opts.GROUP}]',
            '[database',
            '[]',
            'database]',
            f'mysql+pymysql://u:{_SECRET}',
            f'  {_SECRET}',
            f'= {_SECRET}',
            '# comment',
            '; comment',
            'connection',
            '=',
            ':',
        )
    ),
    strategies.text,
)
_ENCODINGS = ('utf-8', 'utf-8-sig', 'utf-16', 'latin-1')


class FilesTest(fuzz.FuzzTest, base.DatabaseTest, test_base.TestCase):
    """One line, or what a good file brings; no password, and no change."""

    def setUp(self):
        super().setUp()
        self.expand()
        self.db.engine.dispose()
        self.database = fuzz.File(self.db.engine.url.database)
        self.names = map('{}.conf'.format, itertools.count())

    def assert_told(self, result, codes):
        """An answer of the documentation, and nothing changed."""
        self.assertNotIn(_SECRET, result.out + result.err)
        self.assertLess(len(result.err), 2000)
        self.assert_answered(result, codes)
        self.assertFalse(self.database.changed)

    def assert_read(self, *argv):
        """Both commands read the same, or say in one line why not."""
        check = self.run_manage(*argv, 'db', 'check')
        self.assert_told(check, (1, exits.CONTRACT_NEEDED))
        if check.code == 1:
            self.assert_refused(check)
        status = self.run_status(*argv, 'upgrade', 'check')
        self.assert_told(status, (0, 1, 2, 255))
        if status.code == 255:
            self.assert_refused(status)

    def written(self, content):
        """Write a new file and return its path."""
        path = self.folder / next(self.names)
        path.write_bytes(content)
        return path

    @fuzz.fuzzed(
        st.lists(_LINE, max_size=8),
        st.booleans(),
        st.sampled_from(_ENCODINGS),
        share=3,
        examples=[
            (['[database]', f'mysql+pymysql://u:{_SECRET}'], True, 'utf-8'),
            (['stuck_after = $stuck_after'], True, 'utf-8'),
            (['[database]', 'max_overflow = $max_overflow'], True, 'utf-8'),
            (['x' * 1000000], True, 'utf-8'),
            (['[database]', 'connection = x'], True, 'utf-8-sig'),
        ],
    )
    def test_lines(self, lines, connected, encoding):
        """Lines that belong there, nearly belong there, or do not."""
        first = [f'[{opts.GROUP}]', *lines]
        if connected:
            first = ['[database]', f'connection = {self.url}', *first]
        path = self.written('\n'.join(first).encode(encoding, 'replace'))
        self.assert_read('--config-file', str(path))

    @fuzz.fuzzed(st.binary(max_size=200), examples=[(b'\xff\xfe[',)])
    def test_bytes(self, content):
        """Bytes that are no text."""
        path = self.written(content)
        self.assert_read('--config-file', str(path))

    @fuzz.fuzzed(
        st.lists(
            st.tuples(
                st.sampled_from(('--config-file', '--config-dir')),
                st.sampled_from(
                    ('good', 'good.conf', 'bad.conf', 'bad', 'none', '', '/')
                )
                | strategies.argument.filter(lambda text: '/' not in text),
            ),
            min_size=1,
            max_size=3,
        ),
        examples=[
            ([('--config-file', 'good')],),
            ([('--config-dir', 'bad')],),
            ([('--config-file', '\x1b[31m')],),
            ([('--config-file', 'a\nb')],),
            ([('--config-dir', '\udcff')],),
        ],
    )
    def test_names(self, named):
        """Files and folders that are there, or not, or each other."""
        good = f'[database]\nconnection = {self.url}\n'
        for folder, text in (('good', good), ('bad', 'nothing here\n')):
            self.write(f'{folder}.conf', text)
            self.write(f'{folder}/nova.conf', text)
        os.chdir(self.folder)
        self.assert_read(*(f'{option}={name}' for option, name in named))
