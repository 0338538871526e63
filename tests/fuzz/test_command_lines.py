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

"""Whatever is typed behind the name of a command."""

import argparse
import contextlib
import dataclasses
import io
import pathlib

from hypothesis import strategies as st
import sqlalchemy as sa

from nova_migration.cmd import exits
from nova_migration.cmd import manage
from nova_migration.db import schema
from nova_migration.states import MIGRATION_TYPES
from tests import base as test_base
from tests.functional import base
from tests.fuzz import base as fuzz
from tests.fuzz import strategies
from tests.unit.objects import samples

#: The demonstration has a database of its own and takes a second, and a
#: traceback is what --debug is for.
_COMMANDS = sorted(set(manage.COMMANDS) - {'demo'})
_LEFT_OUT = {'--debug', '--database-connection', '-v', '--verbose'}

#: Options that take a path, which has to stay in the folder.
_PATHS = st.sampled_from(
    ('.', 'none/at/all', 'out.log', 'nova.conf', '', '\x1b[31m', 'a\nb')
)


def _app_parser():
    with contextlib.redirect_stderr(io.StringIO()):
        return manage.Manage().parser


def _parser(name):
    app = manage.Manage()
    return manage.COMMANDS[name](app, None).get_parser(name)


def _values(action):
    """Draw what to give an option: mostly what it may have, or nearly."""
    if action.type is pathlib.Path or 'PATH' in str(action.metavar):
        return _PATHS
    if action.dest in ('log_file', 'config_dir'):
        return _PATHS
    kinds = [
        strategies.argument,
        strategies.number,
        st.sampled_from(
            ('1', '2', samples.UUID, samples.INSTANCE, 'fail', 'resize')
        ),
        st.sampled_from(strategies.STATES),
        st.sampled_from(strategies.STRINGS),
    ]
    if action.choices:
        kinds.append(st.sampled_from(sorted(map(str, action.choices))))
    if action.dest == 'map':
        kinds.append(strategies.rule)
    return st.one_of(*kinds)


def _fragment(action):
    """Draw an option with what belongs to it, or nearly; or an argument."""
    if not action.option_strings:
        return _values(action).map(lambda value: (value,))
    names = st.sampled_from(action.option_strings)
    if action.nargs == 0:
        return names.map(lambda name: (name,))
    return st.tuples(names, _values(action)) | st.builds(
        lambda name, value: (f'{name}={value}',), names, _values(action)
    )


def _fragments(parser):
    """Draw what a parser knows, as often as it likes."""
    known = [
        action
        for action in parser._actions
        if not _LEFT_OUT.intersection(action.option_strings)
        and not isinstance(action, argparse._VersionAction)
    ]
    return st.one_of(*map(_fragment, known))


def _lines():
    """Draw command lines: a command's own fragments, and others' too."""
    own = {name: _fragments(_parser(name)) for name in _COMMANDS}
    anything = st.one_of(
        *own.values(), strategies.argument.map(lambda text: (text,))
    )
    general = st.lists(_fragments(_app_parser()), max_size=1)
    return st.sampled_from(_COMMANDS).flatmap(
        lambda name: st.tuples(
            general,
            st.just(name) | st.just(name) | strategies.argument,
            st.lists(own[name], max_size=4),
            st.lists(anything, max_size=1),
        )
    )


class CommandLineTest(fuzz.FuzzTest, base.DatabaseTest, test_base.TestCase):
    """A documented code, one clear line, and no change by what is refused."""

    def setUp(self):
        super().setUp()
        self.files = [self.untouched(), self.expanded()]

    def untouched(self):
        """Return a file with Nova's tables and rows of every sort."""
        self.create_nova_tables()
        for kind in MIGRATION_TYPES:
            self.fill((kind, 'finished'), (kind, 'error'), (None, 'odd'))
        self.fill(('resize', '\x1b[31m\n'), ('evacuation', '\u202edone'))
        return self.copy_to('untouched')

    def expanded(self):
        """Return a file with rows of both forms, and a contradiction."""
        schema.expand(self.db, create=True)
        with self.db.engine.begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE migrations SET state = 'failed', status ="
                    " 'failed', state_reason = :reason WHERE id < 4"
                ),
                {'reason': '\x1b[31m\na'},
            )
            connection.execute(
                sa.text("UPDATE migrations SET status = 'x' WHERE id = 3")
            )
        return self.copy_to('expanded')

    def copy_to(self, name):
        """Return a copy of the database, in a folder of its own."""
        self.db.engine.dispose()
        path = self.folder / name / 'cell.db'
        path.parent.mkdir()
        path.write_bytes(
            pathlib.Path(self.db.engine.url.database).read_bytes()
        )
        return fuzz.File(path)

    @fuzz.fuzzed(
        st.integers(0, 1),
        _lines(),
        share=4,
        examples=[
            (1, ([], 'migration list', [('--stuck', '9' * 20)], [])),
            (1, ([], 'migration list', [('--limit', '9' * 20)], [])),
            (1, ([], 'migration list', [('--status', '\udcff')], [])),
            (1, ([], 'migration list', [('--state', '\udcff')], [])),
            (0, ([], 'db upgrade', [('--batch-size', '9' * 20)], [])),
            (0, ([], 'db upgrade', [('--max-count', '9' * 20)], [])),
            (0, ([], 'db upgrade', [('--map', '\udcff=error')], [])),
            (1, ([], 'db restore', [('--batch-size', '9' * 20)], [])),
            (1, ([], 'migration show', [('9' * 20,)], [])),
            (1, ([], 'migration show', [('9' * 5000,)], [])),
            (1, ([], 'migration show', [('\udcff',)], [])),
            (1, ([], 'migration show', [('\x1b[31m\n',)], [])),
            (1, ([], 'migration list', [], [('a\nb',)])),
            (1, ([], '\x1b[31m', [], [])),
            (1, ([], '', [], [])),
            (1, ([('--log-file=--',)], 'db check', [], [])),
            (1, ([], 'migration list', [('--status=--',)], [])),
            (1, ([], 'migration list', [('-f--',)], [])),
            (1, ([('-h',)], '0', [], [])),
            (1, ([], 'db check', [('-h',)], [('--quote', '\x1f')])),
            (1, ([('--log-file', '.')], 'db check', [], [])),
            (1, ([('--log-file', '')], 'db check', [], [])),
            (1, ([('--config-dir', 'a\nb')], 'db check', [], [])),
            (1, ([], 'db upgrade', [('--contract',), ('-f', 'json')], [])),
            (0, ([], 'db upgrade', [('-c', 'bogus')], [])),
            (0, ([], 'db upgrade', [('--sql',)], [])),
        ],
    )
    def test_lines(self, number, line):
        """Words of commands, options and arguments, well and badly mixed."""
        file = self.files[number]
        general, name, own, others = line
        command = name.split(' ') if name in manage.COMMANDS else [name]
        argv = [word for part in general for word in part]
        argv += ['--database-connection', f'sqlite:///{file.path}', *command]
        argv += [word for part in (*own, *others) for word in part]
        try:
            self.assert_documented(file, name, self.run_manage(*argv))
        finally:
            file.give_back()

    def assert_documented(self, file, name, result):
        """The answer is one of those that the documentation knows."""
        self.assert_answered(result, exits.of(name))
        if result.err.startswith('usage: '):
            self.assert_usage(result)
            self.assertFalse(file.changed)
        elif result.code == fuzz.USAGE and "' is not a " in result.out:
            self.assertEqual('', result.err)
            self.assert_printable(result.out)
            self.assertFalse(file.changed)
        elif result.code and result.err:
            if name in (exits.CHECK, exits.UPGRADE, exits.RESTORE):
                # A program is told that no phase was done.
                result = dataclasses.replace(result, out='')
            self.assert_refused(result)
            self.assertFalse(file.changed)
        elif result.code == 0:
            self.assert_printable(result.err)

    @fuzz.fuzzed(
        st.lists(strategies.rule, min_size=1, max_size=3),
        share=1,
        examples=[
            (['--'],),
            (['=error'],),
            (['a\nb=nope'],),
            (['\udcff=error'],),
        ],
    )
    def test_maps(self, rules):
        """A --map is carried out as it says, or refused before all else."""
        file = self.files[0]
        url = f'sqlite:///{file.path}'
        try:
            result = self.run_manage(
                '--database-connection',
                url,
                'db',
                'upgrade',
                *(f'--map={rule}' for rule in rules),
            )
            codes = (fuzz.USAGE, exits.NOT_MIGRATED, exits.UPGRADE_ERROR)
            self.assert_answered(result, codes)
            if result.code == 255:
                self.assert_refused(result)
                self.assertFalse(file.changed)
        finally:
            file.give_back()


class StatusTest(fuzz.FuzzTest, base.DatabaseTest, test_base.TestCase):
    """nova-migration-status, which oslo.config parses."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.fill(('resize', '\x1b[31m\n'), ('evacuation', 'finished'))
        self.db.engine.dispose()
        self.file = fuzz.File(self.db.engine.url.database)

    @fuzz.fuzzed(
        st.lists(
            st.sampled_from(
                ('upgrade', 'check', '--config-file', '--config-dir', '--json')
            )
            | strategies.argument,
            max_size=4,
        ),
        examples=[
            (['upgrade', 'check'],),
            (['upgrade', '\x1b[31m'],),
            (['--config-file', 'a\nb', 'upgrade', 'check'],),
            (['--config-file', '\x1b[31m', 'upgrade', 'check'],),
            (['--config-dir', '\udcff', 'upgrade', 'check'],),
        ],
    )
    def test_lines(self, words):
        """Words of the command, well and badly mixed."""
        result = self.run_status('--database-connection', self.url, *words)
        self.assertNotIn('Traceback', result.out + result.err)
        self.assertIn(result.code, exits.of(exits.STATUS), result)
        self.assertFalse(self.file.changed)
        if result.code == 255:
            self.assert_refused(result)
