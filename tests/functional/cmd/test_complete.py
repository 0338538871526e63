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

"""``complete``: what bash offers, asked of bash itself."""

import shlex
import shutil
import subprocess

from nova_migration.cmd import manage
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import registry
from tests import base
from tests.functional.cmd import base as cmd_test

PROGRAM = 'nova-migration-manage'

#: Completes the last of the words, and prints a line for each answer; the
#: function is called as bash calls it, with the words in COMP_WORDS.
_ASK = """
ask() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
  _nova_migration_manage
  printf '%s\\n' "${COMPREPLY[@]}"
}
"""

#: What the package bash-completion has, for words that are in one piece.
_PACKAGE = """
_get_comp_words_by_ref() {
  words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}
}
"""


class CompleteTest(cmd_test.InTemporaryFolder, base.TestCase):
    """Begins with what ``complete`` prints."""

    def setUp(self):
        super().setUp()
        self.bash = shutil.which('bash')
        if self.bash is None:
            self.skipTest('bash is not installed')
        result = cmd_test.run_anywhere('complete', '--name', PROGRAM)
        self.assertEqual((0, ''), (result.code, result.err))
        self.script = self.write('complete.sh', result.out)

    def offered(self, *words, package=''):
        """Return what bash offers for the last word of a command line."""
        line = ' '.join(map(shlex.quote, (PROGRAM, *words)))
        done = subprocess.run(
            [
                self.bash,
                '--norc',
                '-c',
                f'source {self.script}\n{package}{_ASK}\nask {line}',
            ],
            capture_output=True,
            text=True,
            timeout=cmd_test.PATIENCE,
            check=True,
        )
        self.assertEqual('', done.stderr)
        return {
            shlex.split(answer)[0]
            for answer in done.stdout.split('\n')
            if answer
        }

    def test_values(self):
        """The words of an argument are those of the table of states."""
        listing, event = ('migration', 'list'), ('migration', 'process-event')
        for words, wanted in (
            ((*listing, '--state'), registry.states_with()),
            ((*listing, '--status'), registry.legacy_with()),
            ((*listing, '--in-progress', '--type'), MIGRATION_TYPES),
            (('machine', 'show'), MACHINES),
            ((*event, '17'), registry.events()),
            ((*event, '--reason', 'some text', '17'), registry.events()),
            (('db', 'upgrade', '--inconsistent'), ('status', 'state')),
        ):
            self.assertEqual(set(wanted), self.offered(*words, ''), words)
            (first, *_others) = sorted(wanted)
            self.assertIn(first, self.offered(*words, first[:2]))

    def test_commands(self):
        """Each word of each command is offered, behind global options too."""
        options = ('--config-file', 'nova.conf', '--debug')
        for name in manage.COMMANDS:
            words = name.split()
            for number, word in enumerate(words):
                found = self.offered(*options, *words[:number], word[:1])
                self.assertIn(word, found)

    def test_options(self):
        """The options of the command are offered, and the global ones."""
        self.assertIn('--database-connection', self.offered('--d'))
        self.assertEqual(
            {'--in-progress', '--inconsistent'},
            self.offered('migration', 'list', '--in'),
        )

    def test_equals_sign(self):
        """A value behind an equals sign is completed, however bash splits."""
        wanted = {name for name in registry.states_with() if name[:2] == 're'}
        wanted |= {'rebuilding'}
        for words in (('--state', '=', 're'), ('--state=re',)):
            found = self.offered('migration', 'list', *words)
            self.assertEqual(wanted, found)
        everything = self.offered('migration', 'list', '--state', '=')
        self.assertEqual(set(registry.states_with()), everything)

    def test_with_the_package(self):
        """With the package bash-completion it is the same."""
        found = self.offered(
            'migration', 'list', '--state=reb', package=_PACKAGE
        )
        self.assertEqual({'rebuilding'}, found)

    def test_files(self):
        """Files are offered where one is wanted, and only there."""
        (self.folder / 'nova.conf').write_text('')
        self.assertIn('nova.conf', self.offered('--config-file', 'no'))
        for words in (
            ('migration', 'list', '--limit'),
            ('migration', 'show'),
        ):
            self.assertEqual(set(), self.offered(*words, ''), words)

    def test_nothing_is_run(self):
        """What is typed is never carried out."""
        for odd in ('$(touch gone)', '`touch gone`', 'a[$(touch gone)]'):
            for words in ((odd, ''), (f'--{odd}', ''), (odd,)):
                self.offered('migration', 'list', *words)
                self.offered(*words)
        self.assertFalse((self.folder / 'gone').exists())

    def test_another_name(self):
        """--name is for a command that is called something else."""
        result = cmd_test.run_anywhere('complete', '--name', 'nova-move')
        self.assertIn('complete -F _nova_move nova-move\n', result.out)

    def test_data_only(self):
        """--shell none gives the words, as cliff does it."""
        result = cmd_test.run_anywhere('complete', '--shell', 'none')
        self.assertIn("cmds='complete db demo", result.out)
