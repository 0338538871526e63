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


"""The configuration, the choice of database, and errors as one line."""

import pathlib
import tempfile

import fixtures
from oslo_config import cfg
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from nova_migration import exception
from nova_migration.cmd import base as cmd_base
from nova_migration.conf import opts
from nova_migration.db import engine
from tests import base


class LoadConfigurationTest(base.TestCase):
    """What a file says is what is used."""

    def load(self, text=None, connection=None):
        """Load a configuration with a text."""
        files = None
        if text is not None:
            path = pathlib.Path(tempfile.mkdtemp()) / 'nova.conf'
            path.write_text(text)
            files = [str(path)]
        return cmd_base.load_configuration(
            cfg.ConfigOpts(), files, (), connection
        )

    def test_connection(self):
        """The URL is that of [database], and not of [api_database]."""
        conf = self.load(
            '[api_database]\nconnection = no\n[database]\nconnection = yes\n'
        )
        self.assertEqual('yes', conf.database.connection)

    def test_passwords(self):
        """A password comes out of the file as Nova reads it."""
        for written, read in (
            ('p%40ss', 'p%40ss'),
            ('p%%ss', 'p%%ss'),
            ('p$$ss', 'p$ss'),
            ('p\\$ss', 'p$ss'),
            ('p#ss', 'p#ss'),
            ('p=ss', 'p=ss'),
        ):
            conf = self.load(
                f'[database]\nconnection = mysql+pymysql://u:{written}@h/n\n'
            )
            self.assertEqual(
                f'mysql+pymysql://u:{read}@h/n', conf.database.connection
            )

    def test_passwords_on_the_command_line(self):
        """A URL of the command line is taken as it is."""
        for url in (
            'mysql+pymysql://u:p%40ss@h/n',
            'mysql+pymysql://u:pa$word@h/n',
            'mysql+pymysql://u:pa$$word@h/n',
            'mysql+pymysql://u:$@h/n',
        ):
            conf = self.load(connection=url)
            self.assertEqual(url, conf.database.connection)

    def test_status_format(self):
        """The handle has the form that the file says, or legacy."""
        for text, expected in (
            ('', opts.StatusFormat.LEGACY),
            ('status_format = legacy', opts.StatusFormat.LEGACY),
            ('status_format = canonical', opts.StatusFormat.CANONICAL),
        ):
            conf = self.load(
                '[database]\nconnection = sqlite://\nmax_pool_size = 3\n'
                f'[nova_migration]\n{text}\n'
            )
            self.assertIs(expected, engine.from_conf(conf).status_format)

    def test_nothing(self):
        """Without a configuration the error says how to name a database."""
        if cfg.find_config_files(project='nova'):
            self.skipTest('this machine has a nova.conf')
        error = self.assertRaises(
            exception.DatabaseError,
            cmd_base.load_configuration,
            cfg.ConfigOpts(),
            [],
            (),
        )
        for way in (
            '--config-file',
            '--database-connection',
            'OS_DATABASE__CONNECTION',
        ):
            self.assertIn(way, str(error))

    def test_environment(self):
        """The environment names the database, before any file."""
        self.useFixture(
            fixtures.EnvironmentVariable(
                'OS_DATABASE__CONNECTION', 'sqlite:///of-the-environment'
            )
        )
        for text in ('', '[database]\nconnection = sqlite:///of-the-file\n'):
            conf = self.load(text)
            self.assertEqual(
                'sqlite:///of-the-environment', conf.database.connection
            )

    def test_no_waiting(self):
        """A command does not wait for a server, whatever the file says."""
        conf = self.load(
            '[database]\nconnection = sqlite://\nmax_retries = -1\n'
        )
        self.assertEqual(0, conf.database.max_retries)

    def test_no_connection(self):
        """A file without a connection is an error that names it."""
        error = self.assertRaises(
            exception.DatabaseError, self.load, '[DEFAULT]\n'
        )
        self.assertIn('nova.conf', str(error))


class GuardedTest(base.TestCase):
    """One line and a code for what a user can do something about."""

    ERRORS = (
        exception.DatabaseError(reason='several\nlines  of it'),
        ValueError('a\nb'),
        cfg.ConfigFileParseError('nova.conf', 'line 1\nline 2'),
        OSError(28, 'No space left on device'),
        db_exc.DBError(sa_exc.OperationalError('SELECT', {}, Exception('x'))),
        sa_exc.ArgumentError('no\nURL'),
    )

    @staticmethod
    def failing(error):
        """Return something that raises."""

        def run():
            raise error

        return run

    def test_success(self):
        """A command's own exit code is the exit code."""
        for code in (0, 1, 4):
            self.assertEqual(code, cmd_base.guarded(lambda c=code: c, False))
        self.assertEqual('', self.log.output)

    def test_errors(self):
        """An expected error is one line without a traceback."""
        for error in self.ERRORS:
            code = cmd_base.guarded(self.failing(error), False, 255)
            self.assertEqual(255, code)
            last = self.log.output.splitlines()[-1]
            self.assertEqual(cmd_base.one_line(error), last)
        self.assertEqual(len(self.ERRORS), len(self.log.output.splitlines()))
        self.assertNotIn('Traceback', self.log.output)

    def test_debug(self):
        """With debug the traceback is there too, and the same code."""
        error = self.ERRORS[0]
        self.assertEqual(1, cmd_base.guarded(self.failing(error), True))
        self.assertIn('Traceback', self.log.output)
        self.assertIn('several', self.log.output)

    def test_interrupted(self):
        """Ctrl-C is a line and a shell's code for it."""
        code = cmd_base.guarded(self.failing(KeyboardInterrupt()), False, 255)
        self.assertEqual(130, code)
        self.assertEqual(['Interrupted.'], self.log.output.splitlines())

    def test_broken_pipe(self):
        """A broken pipe is passed on to cliff, which ends quietly."""
        self.assertRaises(
            BrokenPipeError,
            cmd_base.guarded,
            self.failing(BrokenPipeError()),
            False,
        )
        self.assertEqual('', self.log.output)

    def test_faults_of_ours(self):
        """What no user can help is not hidden."""
        for error in (AssertionError('x'), KeyError('x'), TypeError('x')):
            self.assertRaises(
                type(error), cmd_base.guarded, self.failing(error), False
            )

    def test_one_line_of_a_database(self):
        """Of a database's error neither the SQL nor a link is shown."""
        error = sa_exc.OperationalError(
            'SELECT secret', {}, Exception('gone away\nDETAIL: more')
        )
        for shown in (error, db_exc.DBError(error)):
            text = cmd_base.one_line(shown)
            self.assertEqual('The database refused: gone away.', text)
