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


"""``nova-migration-manage``: configuration, errors, help and plumbing."""

import pathlib
import re
import shutil
import subprocess
import sys

import fixtures
from oslo_config import cfg
import sqlalchemy as sa

from nova_migration.cmd import exits
from nova_migration.cmd import manage
from nova_migration.cmd import status
from nova_migration.states import MIGRATION_TYPES
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test
from tests.servers import shared

USAGE = exits.WRONG_CALL

#: What a database that has not been touched makes `db check` end with.
EXPAND_NEEDED = exits.EXPAND_NEEDED

#: As a deployment has it, with options that are none of our business.
NOVA_CONF = """
[DEFAULT]
# A comment with ünïcode.
debug = true
log_dir = /var/log/nova
state_path = /var/lib/nova
my_ip = 192.0.2.10
transport_url = rabbit://openstack:s$$word@192.0.2.11:5672/
compute_driver = libvirt.LibvirtDriver
instances_path = $state_path/instances
use_cow_images = true
resume_guests_state_on_host_boot=true
multi = one
multi = two
default_ephemeral_format =

[api]
auth_strategy = keystone

[api_database]
connection = mysql+pymysql://nova:x@192.0.2.12/nova_api
max_pool_size = 7

[database]
connection = {connection}
max_pool_size = 5
max_overflow = 10
connection_recycle_time = 3600
max_retries = -1
retry_interval = 10
connection_debug = 0
use_db_reconnect = true
mysql_wsrep_sync_wait = 1
slave_connection = mysql+pymysql://nova:x@192.0.2.13/nova
an_option_of_tomorrow = 1

[libvirt]
virt_type = kvm
live_migration_permit_post_copy = true
cpu_models = Cascadelake-Server,
  Skylake-Server

[placement]
region_name = RegionOne
password = 100%%sure

[nova_migration]
status_format = canonical
stuck_after = 60

[workarounds]
"""

#: What asks for a database, and what it ends with for an error.
ON_DATABASES = (
    (('db', 'check'), 1),
    (('db', 'upgrade'), 255),
    (('db', 'upgrade', '--expand'), 255),
    (('db', 'upgrade', '--migrate'), 255),
    (('db', 'upgrade', '--contract'), 255),
    (('db', 'restore'), 255),
    (('db', 'restore', '--drop-columns'), 255),
    (('db', 'census'), 1),
    (('db', 'version'), 1),
    (('migration', 'list'), 1),
    (('migration', 'show', '1'), 1),
    (('migration', 'process-event', '1', 'fail', '--reason', 'x'), 1),
)

#: Of a database that nobody listens for.
NOBODY = (
    'mysql+pymysql://user:secret@127.0.0.1:1/nova',
    'postgresql+psycopg2://user:secret@127.0.0.1:1/nova',
)


class NovaDatabase(
    cmd_test.InTemporaryFolder,
    cmd_test.CommandTest,
    base.DatabaseTest,
    test_base.TestCase,
):
    """Begins with Nova's tables in SQLite, and an empty folder."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.path = pathlib.Path(self.db.engine.url.database)

    def run_with(self, *argv):
        """Run a command without naming a database."""
        return cmd_test.run_anywhere(*argv)

    def assert_found(self, *argv):
        """The options lead to the test's database."""
        expanded = self.run_with(*argv, 'db', 'upgrade', '--expand')
        self.assertEqual((0, ''), (expanded.code, expanded.err), expanded)
        columns = {
            c['name']
            for c in sa.inspect(self.db.engine).get_columns('migrations')
        }
        self.assertIn('state', columns)

    def nothing_made(self):
        """No database was made in the folder."""
        self.assertEqual([], list(self.folder.rglob('*.db')))


class ConfigurationTest(NovaDatabase):
    """Where the database comes from."""

    def test_nova_conf(self):
        """A real nova.conf is read, whatever else is in it."""
        text = NOVA_CONF.format(connection=self.url)
        self.assert_found('--config-file', self.write('nova.conf', text))
        self.nothing_made()

    def test_several_files(self):
        """Of several files the last one decides."""
        first = self.write('a.conf', '[database]\nconnection = garbage\n')
        last = self.write('b.conf', f'[database]\nconnection = {self.url}\n')
        self.assert_found('--config-file', first, '--config-file', last)

    def test_folder(self):
        """--config-dir reads a folder of files."""
        self.write('conf.d/10.conf', '[database]\nconnection = garbage\n')
        self.write('conf.d/20.conf', f'[database]\nconnection = {self.url}\n')
        self.assert_found('--config-dir', self.folder / 'conf.d')
        self.nothing_made()

    def test_folder_after_file(self):
        """A folder goes before a file, as in every OpenStack service."""
        first = self.write('nova.conf', '[database]\nconnection = garbage\n')
        self.write('conf.d/nova.conf', f'[database]\nconnection = {self.url}')
        self.assert_found(
            '--config-file', first, '--config-dir', self.folder / 'conf.d'
        )

    def test_option_before_file(self):
        """--database-connection goes before every file."""
        path = self.write('nova.conf', '[database]\nconnection = garbage\n')
        self.assert_found(
            '--config-file', path, '--database-connection', self.url
        )

    def test_reference(self):
        """A connection may refer to other options of [database]."""
        path = self.write(
            'nova.conf',
            f'[database]\nbackend = {self.url}\nconnection = $backend\n',
        )
        self.assert_found('--config-file', path)

    def test_dollars_and_percents(self):
        """$$ in a file is one dollar; a percent sign is itself."""
        odd = self.folder / 'a$c%%.db'
        shutil.copy(self.path, odd)
        text = f'sqlite:///{odd}'.replace('$', '$$')
        path = self.write('nova.conf', f'[database]\nconnection = {text}\n')
        result = self.run_with('--config-file', path, 'db', 'upgrade')
        self.assertEqual((0, ''), (result.code, result.err), result)
        self.assertNotEqual(self.path.read_bytes(), odd.read_bytes())
        self.assertEqual([odd], list(self.folder.glob('*.db')))

    def test_dollars_on_the_command_line(self):
        """A dollar in --database-connection is a dollar."""
        for name in ('a$HOME.db', 'a$$b.db', 'a$.db', '${x}.db'):
            odd = self.folder / name
            shutil.copy(self.path, odd)
            result = self.run_with(
                '--database-connection', f'sqlite:///{odd}', 'db', 'upgrade'
            )
            self.assertEqual((0, ''), (result.code, result.err), name)
            self.assertNotEqual(self.path.read_bytes(), odd.read_bytes())
            odd.unlink()
        self.nothing_made()

    def test_no_configuration(self):
        """Without a configuration every command stops, and makes nothing."""
        if cfg.find_config_files(project='nova'):
            self.skipTest('this machine has a nova.conf')
        for argv, code in ON_DATABASES:
            result = self.run_with(*argv)
            self.assert_one_line(
                result,
                code,
                '--database-connection',
                '--config-file',
                'OS_DATABASE__CONNECTION',
            )
        result = cmd_test.call(status.main, ['upgrade', 'check'])
        self.assert_one_line(result, 255, '--database-connection')
        self.nothing_made()

    def test_no_such_file(self):
        """A SQLite file that is not there is named, and not made."""
        for name in ('no.db', 'file:no.db?uri=true', f'{self.folder}/no.db'):
            for argv, code in ON_DATABASES:
                result = self.run_with(
                    '--database-connection', f'sqlite:///{name}', *argv
                )
                self.assert_one_line(result, code, 'no.db', '--create')
            result = cmd_test.call(
                status.main,
                [
                    '--database-connection',
                    f'sqlite:///{name}',
                    'upgrade',
                    'check',
                ],
            )
            self.assert_one_line(result, 255, 'no.db', '--create')
        self.nothing_made()

    def test_created_file(self):
        """With --create a SQLite file is made, and is whole."""
        named = ('--database-connection', f'sqlite:///{self.folder}/no.db')
        for option in ('--migrate', '--contract'):
            result = self.run_with(*named, 'db', 'upgrade', option, '--create')
            self.assertEqual((USAGE, ''), (result.code, result.out))
            self.assertIn('--create', result.err)
        self.nothing_made()
        for _time in range(2):
            result = self.run_with(*named, 'db', 'upgrade', '--create')
            self.assertEqual((0, ''), (result.code, result.err))
        self.assertEqual(0, self.run_with(*named, 'db', 'check').code)

    def test_environment(self):
        """OS_DATABASE__CONNECTION keeps a password off the command line."""
        self.useFixture(
            fixtures.EnvironmentVariable('OS_DATABASE__CONNECTION', self.url)
        )
        self.assert_found()
        other = self.write(
            'nova.conf', '[database]\nconnection = sqlite:///other.db\n'
        )
        found = self.run_with('--config-file', other, 'db', 'census')
        self.assertEqual((0, ''), (found.code, found.err))
        result = self.run_with(
            '--database-connection', 'sqlite:///given.db', 'db', 'census'
        )
        self.assert_one_line(result, 1, 'given.db')
        self.nothing_made()

    def test_may_not_be_read(self):
        """A configuration that may not be read is named, and nothing done."""
        home = self.folder / 'home'
        conf = f'[database]\nconnection = {self.url}\n'
        for place, argv, mode in (
            ('home/.nova', (), 0o444),
            ('home/.nova/nova.conf.d', (), 0),
            ('home/.nova/nova.conf', (), 0),
            ('conf.d', ('--config-dir', 'conf.d'), 0),
            ('conf.d/nova.conf', ('--config-dir', 'conf.d'), 0),
            ('conf.d/nova.conf', ('--config-file', 'conf.d/nova.conf'), 0),
        ):
            for name in (
                'home/.nova/nova.conf',
                'home/.nova/nova.conf.d/a.conf',
                'conf.d/nova.conf',
            ):
                self.write(name, conf)
            locked = self.folder / place
            before = locked.stat().st_mode
            locked.chmod(mode)
            result = cmd_test.run_process(
                *argv,
                'db',
                'upgrade',
                folder=self.folder,
                home=home,
                bound=True,
            )
            self.assert_one_line(result, 255, place)
            locked.chmod(before)
        self.nothing_made()

    def test_where_nova_looks(self):
        """Without options nova.conf is found where Nova's commands find it."""
        self.write('.nova/nova.conf', f'[database]\nconnection = {self.url}\n')
        result = cmd_test.run_process(
            'db', 'upgrade', '--expand', folder=self.folder
        )
        self.assertEqual((0, ''), (result.code, result.err))
        self.assertEqual(0, self.manage('db', 'upgrade').code)
        self.nothing_made()

    def test_no_connection(self):
        """A configuration without a connection is not guessed around."""
        empty = self.write('nova.conf', '[DEFAULT]\nhost = here\n')
        result = self.run_with('--config-file', empty, 'db', 'check')
        self.assert_one_line(result, 1, str(empty), '[database] connection')
        self.nothing_made()

    def test_no_connection_in_a_folder(self):
        """A folder of files without a connection is not guessed around."""
        self.write('conf.d/nova.conf', '[DEFAULT]\nhost = here\n')
        folder = self.folder / 'conf.d'
        result = self.run_with('--config-dir', folder, 'db', 'check')
        self.assert_one_line(result, 1, 'connection')
        self.nothing_made()

    def test_empty_connection(self):
        """An empty URL, as of an unset variable, is not the local file."""
        for argv in (
            ('--database-connection', ''),
            (
                '--config-file',
                self.write('nova.conf', '[database]\nconnection =\n'),
            ),
        ):
            result = self.run_with(*argv, 'db', 'check')
            self.nothing_made()
            self.assert_one_line(result, 1)

    def test_files_that_cannot_be_read(self):
        """What is no configuration gives one line that names it."""
        good = f'[database]\nconnection = {self.url}\n'
        files = {
            'section.conf': '[database\nconnection = x\n',
            'option.conf': '[database]\n= x\n',
            'alone.conf': 'connection = x\n',
            'word.conf': '[database]\nconnection\n',
            'format.conf': f'{good}[nova_migration]\nstatus_format = both\n',
            'reference.conf': '[database]\nconnection = sqlite:///$nope\n',
        }
        for name, text in files.items():
            path = self.write(name, text)
            result = self.run_with('--config-file', path, 'db', 'check')
            self.assert_one_line(result, 1)
        for option, name in (
            ('--config-file', 'missing.conf'),
            ('--config-dir', 'missing.d'),
        ):
            result = self.run_with(option, name, 'db', 'check')
            self.assert_one_line(result, 1, name)
        self.nothing_made()

    def test_other_values_of_status_format(self):
        """A wrong status_format is answered with the right ones."""
        path = self.write(
            'nova.conf',
            f'[database]\nconnection = {self.url}\n'
            '[nova_migration]\nstatus_format = both\n',
        )
        result = self.run_with('--config-file', path, 'db', 'check')
        self.assert_one_line(
            result, 1, 'status_format', 'legacy', 'canonical', 'both'
        )

    def test_bytes_that_are_no_text(self):
        """A file in another encoding gives one line."""
        path = self.folder / 'nova.conf'
        path.write_bytes(b'[DEFAULT]\nhost = b\xfccher\n')
        result = self.run_with('--config-file', path, 'db', 'check')
        self.assert_one_line(result, 1)

    def test_options_that_an_engine_does_not_take(self):
        """oslo.db's options for servers end well or as one line of ours."""
        path = self.write(
            'nova.conf',
            f'[database]\nconnection = {self.url}\npool_timeout = 30\n',
        )
        result = self.run_with('--config-file', path, 'db', 'check')
        if result.code != EXPAND_NEEDED:
            self.assert_one_line(result, 1, 'database URL')


class BadUrlTest(NovaDatabase):
    """URLs that lead nowhere: one line, and no password in it."""

    URLS = (
        'garbage',
        ':',
        '://',
        'sqlite:///no/such/folder/x.db',
        'sqlite:////',
        'oracle://user:secret@127.0.0.1/x',
        'nodialect://user:secret@127.0.0.1/x',
        'mysql+nodriver://user:secret@127.0.0.1/x',
        'mysql+pymysql://user:secret@127.0.0.1:port/x',
        *NOBODY,
    )

    def test_one_line(self):
        """Each ends every command with one line."""
        for url in self.URLS:
            for argv, code in (
                (('db', 'check'), 1),
                (('db', 'census', '-f', 'json'), 1),
                (('db', 'upgrade'), 255),
                (('db', 'restore'), 255),
                (('migration', 'list'), 1),
            ):
                result = self.run_with('--database-connection', url, *argv)
                self.assert_one_line(result, code)
                self.assertNotIn('secret', result.err)
                self.assertNotIn('sqlalche.me', result.err)

    def test_no_such_database(self):
        """A database that the server does not have is named."""
        for backend in ('mysql', 'postgresql'):
            admin = shared.url_of(backend)
            url = admin.set(database='no_such_database')
            result = self.run_with(
                '--database-connection',
                url.render_as_string(hide_password=False),
                'db',
                'check',
            )
            self.assert_one_line(result, 1, 'no_such_database')
            self.assertNotIn(f':{admin.password}@', result.err)

    def test_debug(self):
        """--debug shows the traceback, and the same exit code."""
        for url in ('garbage', NOBODY[0]):
            argv = ('--database-connection', url, 'db', 'check')
            result = self.run_with('--debug', *argv)
            self.assertEqual(self.run_with(*argv).code, result.code)
            self.assertIn('Traceback', result.err)
            self.assertEqual('', result.out)
            self.assertNotIn('user:secret@', result.err)

    def test_log_file(self):
        """--log-file, which --help offers, has what went wrong."""
        self.run_with(
            '--log-file',
            'log.txt',
            '--database-connection',
            'garbage',
            'db',
            'check',
        )
        self.assertIn('URL', (self.folder / 'log.txt').read_text())


class UsageTest(NovaDatabase):
    """Commands that are not there, and help."""

    def test_unknown_commands(self):
        """A mistyped command is answered with the nearest ones."""
        for argv, meant in (
            (('db', 'upgrdae'), 'db upgrade'),
            (('machnie', 'list'), 'machine list'),
            (('db',), 'db census'),
        ):
            result = self.manage(*argv)
            self.assertEqual(USAGE, result.code, result)
            self.assertIn(meant, result.out + result.err)

    def test_version(self):
        """--version says the version."""
        result = self.run_with('--version')
        self.assertEqual(0, result.code)
        self.assertRegex(result.out, r'\d+\.\d+')

    def test_help_lists_every_command(self):
        """--help has a line for each command, with what it does."""
        result = self.run_with('--help')
        self.assertEqual(0, result.code)
        for name in manage.COMMANDS:
            self.assertRegex(result.out, rf'(?m)^  {name} +[A-Z]')

    def test_help_of_each_command(self):
        """--help of each command has its first sentence and its options."""
        for name, kind in manage.COMMANDS.items():
            result = self.run_with(*name.split(), '--help')
            self.assertEqual((0, ''), (result.code, result.err), name)
            self.assertIn(f' {name} ', result.out.splitlines()[0])
            first = kind.__doc__.partition('.')[0]
            self.assertIn(first, ' '.join(result.out.split()))

    def test_examples_keep_their_lines(self):
        """Every command has examples, which --help shows line by line."""
        having = {
            name: kind.EXAMPLES for name, kind in manage.COMMANDS.items()
        }
        self.assertNotIn('', having.values())
        for name, examples in having.items():
            result = self.run_with(*name.split(), '--help')
            for line in examples.strip().splitlines():
                self.assertIn(line, result.out.splitlines(), name)

    def test_examples_can_be_read(self):
        """Every example of --help is a command line that argparse takes."""
        for name, kind in manage.COMMANDS.items():
            text = getattr(kind, 'EXAMPLES', '').replace('\\\n', ' ')
            for line in re.findall(r'nova-migration-manage .*', text):
                self.assertIn(f' {name}', line)
                done = subprocess.run(
                    ['sh', '-c', f'set -- {line}; printf "%s\\0" "$@"'],
                    capture_output=True,
                    text=True,
                    cwd=self.folder,
                    check=True,
                )
                words = done.stdout.split('\0')[1:-1]
                if '>' in words:
                    words = words[: words.index('>')]
                command = words[words.index(name.split()[0]) :]
                result = self.manage(*command)
                self.assertNotEqual(USAGE, result.code, (line, result))


class PlumbingTest(NovaDatabase):
    """As a process among others."""

    def test_broken_pipe(self):
        """A reader that has seen enough is no error worth a word."""
        self.work('db', 'upgrade')
        with self.db.engine.begin() as connection:
            connection.execute(
                sa.text(
                    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1'
                    ' FROM n WHERE i < 2000) INSERT INTO migrations'
                    ' (id, deleted, migration_type) SELECT i, 0, :kind FROM n'
                ),
                {'kind': MIGRATION_TYPES[0]},
            )
        for argv, reader in (
            ('migration list --limit 0', 'head -1'),
            ('db census', 'true'),
            ('demo', 'true'),
        ):
            line = ' '.join(
                cmd_test.command_line(
                    '--database-connection', self.url, *argv.split()
                )
            )
            done = subprocess.run(
                ['sh', '-c', f'{line} | {reader}'],
                capture_output=True,
                text=True,
                env=cmd_test.environment(self.folder),
                timeout=cmd_test.PATIENCE,
                check=False,
            )
            self.assertEqual('', done.stderr, (argv, reader))

    def test_as_a_process(self):
        """A process says and ends as the function does."""
        for argv in (('db', 'check'), ('migration', 'list')):
            named = ('--database-connection', self.url, *argv)
            here = self.run_with(*named)
            there = cmd_test.run_process(*named)
            self.assertEqual((here.code, here.err), (there.code, there.err))

    def test_installed_commands(self):
        """The installed commands are the modules' main functions."""
        folder = pathlib.Path(sys.executable).parent
        for name, argv, code in (
            ('manage', ('db', 'check'), EXPAND_NEEDED),
            ('status', ('upgrade', 'check'), 2),
        ):
            program = folder / f'nova-migration-{name}'
            if not program.exists():
                self.skipTest(f'{program} is not installed')
            done = subprocess.run(
                [program, '--database-connection', self.url, *argv],
                capture_output=True,
                text=True,
                cwd=self.folder,
                env=cmd_test.environment(self.folder),
                timeout=cmd_test.PATIENCE,
                check=False,
            )
            self.assertEqual((code, ''), (done.returncode, done.stderr))

    def test_quiet_libraries(self):
        """Nothing but the command itself speaks."""
        for argv in (
            ('db', 'upgrade'),
            ('migration', 'list'),
            ('db', 'restore'),
        ):
            result = cmd_test.run_process(
                '--database-connection', self.url, *argv
            )
            self.assertEqual((0, ''), (result.code, result.err))
