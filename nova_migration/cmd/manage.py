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

"""``nova-migration-manage``: the operator's command."""

import argparse
import logging
import re
import sys
from typing import Any

from cliff import app
from cliff import commandmanager
from cliff import help as cliff_help
from oslo_config import cfg

from nova_migration import version
from nova_migration.cmd import base
from nova_migration.cmd import exits
import nova_migration.cmd.completion
import nova_migration.cmd.db
import nova_migration.cmd.demo
import nova_migration.cmd.machine
import nova_migration.cmd.migration
import nova_migration.cmd.qemu
from nova_migration.db import engine

COMMANDS: dict[str, Any] = {
    'db upgrade': nova_migration.cmd.db.Upgrade,
    'db restore': nova_migration.cmd.db.Restore,
    'db version': nova_migration.cmd.db.Version,
    'db census': nova_migration.cmd.db.Census,
    'db check': nova_migration.cmd.db.Check,
    'machine list': nova_migration.cmd.machine.List,
    'machine show': nova_migration.cmd.machine.Show,
    'migration list': nova_migration.cmd.migration.List,
    'migration show': nova_migration.cmd.migration.Show,
    'migration process-event': nova_migration.cmd.migration.ProcessEvent,
    'qemu replay': nova_migration.cmd.qemu.Replay,
    'qemu watch': nova_migration.cmd.qemu.Watch,
    'demo': nova_migration.cmd.demo.Demo,
}

_DESCRIPTION = """Bring the migrations of a Nova cell database to an
enumerated status and a state that a machine drives; look at them, and help
them on. Try it without anything: nova-migration-manage demo."""

#: What a user is told of besides errors: the commands speak, and the batches
#: say why they wait.
HEARD = (
    'nova_migration.cmd',
    'nova_migration.db.batches',
    'nova_migration.db.exclusive',
    'nova_migration.db.fence',
    'nova_migration.db.load',
    'nova_migration.db.schema',
)

_LEVELS = {0: logging.ERROR, 1: logging.INFO, 2: logging.INFO}


#: An option whose value is a double dash, of which the argparse of Python
#: 3.11 makes an empty list without asking the option's type.
_DOUBLE_DASH = re.compile(r'(--[^=]+=|-[^-])--')


class Help(base.GuardedCommand, cliff_help.HelpCommand):
    """Explain a command, or list them all."""

    def take_action(self, parsed_args: Any) -> int:
        """Explain it; a command that is none is a wrong call."""
        try:
            return int(super().take_action(parsed_args))
        except ValueError as error:
            self._wrong_call(str(error))

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser, which says of a call that it is wrong."""
        parser = super().get_parser(prog_name)
        self._wrong_call = parser.error
        return parser


class Manage(app.App):
    """The program: its options, its commands, its configuration."""

    def __init__(self) -> None:
        manager = commandmanager.CommandManager('nova_migration.manage')
        for name, kind in COMMANDS.items():
            manager.add_command(name, kind)
        super().__init__(
            description=_DESCRIPTION,
            version=version.version(),
            command_manager=manager,
            deferred_help=True,
        )
        # cliff's own, whose errors are one line here.
        manager.add_command('help', Help)
        manager.add_command('complete', nova_migration.cmd.completion.Complete)
        self._database: engine.Database | None = None
        self._crashed: int | None = None
        #: Whether the command may make a SQLite file.
        self.creates = False

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: Any = None,
    ) -> argparse.ArgumentParser:
        """Add the options that every command has."""
        parser = base.on_one_line(
            super().build_option_parser(description, version, argparse_kwargs)
        )
        parser.add_argument(
            '--config-file',
            action='append',
            metavar='PATH',
            help="Nova's configuration; may be repeated (default: where"
            ' nova-manage looks, such as /etc/nova/nova.conf)',
        )
        parser.add_argument(
            '--config-dir',
            action='append',
            metavar='DIR',
            help='a folder of *.conf files; may be repeated',
        )
        parser.add_argument(
            '--database-connection',
            metavar='URL',
            help='the cell database (default: OS_DATABASE__CONNECTION of the'
            ' environment, or [database] connection of the configuration)',
        )
        return parser

    def configure_logging(self) -> None:
        """Write to standard error; libraries speak only when asked to."""
        debug = self.options.debug
        level = _LEVELS.get(self.options.verbose_level, logging.DEBUG)
        pattern = '%(asctime)s %(levelname)s %(name)s %(message)s'
        terminal = logging.StreamHandler(self.stderr)
        terminal.setFormatter(
            logging.Formatter(pattern if debug else '%(message)s')
        )
        root = logging.getLogger()
        root.handlers = [terminal]
        if self.options.log_file:
            file = self._log_file(self.options.log_file)
            file.setFormatter(logging.Formatter(pattern))
            root.addHandler(file)
        root.setLevel(logging.DEBUG if debug else logging.WARNING)
        for name in HEARD:
            logging.getLogger(name).setLevel(level)
        if not debug:
            # They log a traceback before they raise, and what they raise
            # ends as one line.
            logging.getLogger('oslo_db').setLevel(logging.CRITICAL)
        # It repeats a URL with the options, one of which may be a password.
        logging.getLogger('oslo_db.sqlalchemy.engines').setLevel(logging.ERROR)

    def _log_file(self, name: str) -> logging.Handler:
        """Open the file; cliff would end with 1, which means other things."""
        try:
            return logging.FileHandler(name)
        except (OSError, ValueError) as error:
            self.parser.error(f'argument --log-file: {error}')

    def run(self, argv: list[str]) -> int:
        """Run the command line; returns the exit code."""
        for word in argv:
            if _DOUBLE_DASH.fullmatch(word):
                self.parser.error(f'{word[:-2]} needs another value than --')
        return int(super().run(argv))

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command; cliff repeats one that it does not know."""
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            super().run_subcommand([base.printable(word) for word in argv])
            return exits.WRONG_CALL
        code = int(super().run_subcommand(argv))
        return code if self._crashed is None else self._crashed

    def clean_up(
        self, cmd: Any, result: int, err: BaseException | None
    ) -> None:
        """Have a fault of ours exit as an error of the command does.

        cliff has 1 for it, which means of some that rows remain.
        """
        if isinstance(err, Exception) and result == exits.ERROR:
            self._crashed = cmd.FAILED

    def interact(self) -> None:
        """Say what there is; cliff would wait for commands."""
        self.parser.print_help(self.stderr)
        self.parser.exit(exits.WRONG_CALL)

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration of the options."""
        return base.load_configuration(
            cfg.ConfigOpts(),
            self.options.config_file,
            self.options.config_dir,
            self.options.database_connection,
        )

    @property
    def database(self) -> engine.Database:
        """The database of the configuration, opened once."""
        if self._database is None:
            self._database = base.opened(self.conf, self.creates)
        return self._database


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return int(Manage().run(sys.argv[1:] if argv is None else argv))


if __name__ == '__main__':
    sys.exit(main())
