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

"""What the commands share: the configuration, the database, the errors."""

import argparse
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import datetime
import functools
import logging
import os
import sys
import textwrap
import types
from typing import Any
from typing import NoReturn

from cliff import columns
from cliff import command
from oslo_config import cfg
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from nova_migration import context
from nova_migration import exception
from nova_migration.cmd import exits
from nova_migration.conf import opts
from nova_migration.db import engine
from nova_migration.db import errors

LOG = logging.getLogger(__name__)

#: Where oslo.config looks, and goes on without a word where it may not.
_FOLDERS = ('~/.nova', '/etc/nova')

#: What oslo.config raises for a value that refers to another one.
_REFERENCES = (
    cfg.NoSuchOptError,
    cfg.NoSuchGroupError,
    cfg.TemplateSubstitutionError,
    RecursionError,
)

#: What a user can do something about; all else is a fault of ours.
EXPECTED = (exception.NovaMigrationError, ValueError, cfg.Error, OSError)


def load_configuration(
    conf: cfg.ConfigOpts,
    config_files: list[str] | None,
    config_dirs: Sequence[str] | None = None,
    connection: str | None = None,
) -> cfg.ConfigOpts:
    """Read Nova's configuration, from where nova-manage finds it or as told.

    :raises DatabaseError: a configuration names no database
    """
    opts.register(conf)
    arguments = [f'--config-dir={folder}' for folder in config_dirs or ()]
    conf(arguments, project='nova', default_config_files=config_files or None)
    use_connection(conf, connection)
    return conf


def use_connection(conf: cfg.ConfigOpts, connection: str | None) -> None:
    """Choose the database: as told, or as configured.

    :raises DatabaseError: nobody names one
    """
    # oslo.config takes a folder that it may not list for an empty one.
    _require_readable(conf.config_dir or ())
    if connection is not None:
        # oslo.config would take a dollar for one of its references.
        text = connection.replace('$', '$$')
        conf.set_override('connection', text, group='database')
    elif not _configured(conf):
        raise exception.DatabaseError(reason=_nothing_named(conf))
    # A command says at once that nobody answers; a service waits.
    conf.set_override('max_retries', 0, group='database')


def _nothing_named(conf: cfg.ConfigOpts) -> str:
    read = [*(conf.config_file or ()), *(conf.config_dir or ())]
    if read:
        found = f'{", ".join(map(str, read))} has no [database] connection'
    else:
        _require_readable(_FOLDERS)
        found = 'No database is named, and no nova.conf was found'
    return (
        f'{found}: give --config-file or --database-connection, or set'
        ' OS_DATABASE__CONNECTION in the environment.'
    )


def _require_readable(folders: Iterable[str]) -> None:
    """Refuse folders that are there and that nobody may look into.

    :raises DatabaseError: naming the folder
    """
    for folder in map(os.path.expanduser, folders):
        try:
            os.listdir(folder)
            os.stat(f'{folder}/.')
        except FileNotFoundError:
            continue
        except OSError as error:
            raise exception.DatabaseError(
                reason=f'The configuration in {folder} cannot be read:'
                f' {error.strerror}. Run the command as a user who may read'
                ' it, or give --config-file.'
            ) from error


def _configured(conf: cfg.ConfigOpts) -> str | None:
    """Return the connection of the configuration.

    :raises DatabaseError: it refers to an option that is not there; what the
        library says of it is a part of the password, and is not kept
    """
    try:
        connection: str | None = conf.database.connection
    except _REFERENCES:
        raise exception.DatabaseError(
            reason='[database] connection has a $, which stands for another'
            ' option: write $$ for one that is part of the password.'
        ) from None
    return connection


def opened(conf: cfg.ConfigOpts, creates: bool = False) -> engine.Database:
    """Open the database of a configuration, as commands use one.

    :param creates: a SQLite file that is not there may be made
    :raises EmptyDatabase: there is none
    """
    database = engine.from_conf(conf)
    if not creates:
        engine.require_file(database.engine)
    return database


def printable(text: str) -> str:
    """Return text on one line that does nothing to a terminal.

    What rows, streams and arguments hold may be anything, escape sequences
    and line ends included; those are shown as Python writes them.
    """
    if text.isprintable():
        return text
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Text(columns.FormattableColumn[str]):
    """Text that a table shows with escapes, and other formats as it is."""

    def human_readable(self) -> str:
        """Return it for a terminal."""
        return printable(self._value)

    def __lt__(self, other: object) -> bool:
        """Sort it among strings."""
        return self._value < _text_of(other)

    def __gt__(self, other: object) -> bool:
        """Sort strings around it."""
        return self._value > _text_of(other)


def _text_of(value: object) -> str:
    return value._value if isinstance(value, Text) else str(value)


def plain(value: Any) -> Any:
    """Return a value as every output format can show it."""
    if isinstance(value, str):
        # The words are members of enumerations, a table's name is
        # SQLAlchemy's own kind of string; YAML knows neither.
        return str(value) if value.isprintable() else Text(str(value))
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value


def one_line(error: BaseException) -> str:
    """Return an error as the one line that a user is shown."""
    if isinstance(error, (db_exc.DBError, sa_exc.SQLAlchemyError)):
        line = printable(errors.first_line(error))
        return f'The database refused: {line}.'
    if isinstance(error, cfg.ConfigFileParseError):
        return printable(_without_the_line(error))
    return printable(' '.join(str(error).split()))


def _without_the_line(error: cfg.ConfigFileParseError) -> str:
    """Return what is wrong with a file, and where.

    The line itself may be half of a password, and of any length.
    """
    line = getattr(error.__context__, 'line', '')
    return str(error).removesuffix(f': {line!r}')


def utf8(text: str) -> str:
    """Read text from the command line that a database is asked for."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not UTF-8') from error
    return text


def _wrong_call(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    parser.print_usage(sys.stderr)
    text = f'{parser.prog}: error: {printable(message)}\n'
    parser.exit(exits.WRONG_CALL, text)


def on_one_line(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a parser say what is wrong in one line, whatever was typed."""
    complain = functools.partial(_wrong_call, parser)
    parser.error = complain  # type: ignore[method-assign]
    return parser


#: The exit codes of errors that have one of their own.
Codes = Mapping[type[Exception], int]


def guarded(
    run: Callable[[], int],
    debug: bool,
    failed: int = exits.ERROR,
    codes: Codes = types.MappingProxyType({}),
) -> int:
    """Run a command; an error is one line, a traceback only for --debug.

    :param failed: the exit code for an error
    :param codes: those of some
    """
    try:
        return run()
    except BrokenPipeError:
        # The reader of a pipe has seen enough; cliff ends quietly.
        raise
    except KeyboardInterrupt:
        LOG.error('Interrupted.')
        return exits.INTERRUPTED
    except (*EXPECTED, db_exc.DBError, sa_exc.SQLAlchemyError) as error:
        if debug and not isinstance(error, cfg.ConfigFileParseError):
            LOG.exception('The command failed.')
        else:
            LOG.error(one_line(error))
        own = (code for kind, code in codes.items() if isinstance(error, kind))
        return next(own, failed)


def _exit_codes(name: str) -> str:
    """Return what --help says of a command's exit codes."""
    lines = ['exit codes:']
    for code, meaning in sorted(exits.of(name).items()):
        text = meaning.translate({ord('`'): None, ord('*'): None})
        lines += textwrap.wrap(
            text,
            79,
            initial_indent=f'  {code:<5}',
            subsequent_indent=' ' * 7,
        )
    return '\n'.join(lines)


class GuardedCommand(command.Command):
    """A command whose errors are one line, and whose examples stay lines."""

    #: The exit code for an error.
    FAILED = exits.ERROR

    #: Those of errors that have one of their own.
    CODES: Codes = types.MappingProxyType({})

    #: Shown below the options of --help, as it is.
    EXAMPLES = ''

    app: Any

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser; cliff would make one paragraph of examples."""
        parser = on_one_line(super().get_parser(prog_name))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        examples = self.EXAMPLES.strip('\n')
        codes = _exit_codes(' '.join(prog_name.split()[1:]))
        parser.epilog = '\n\n'.join(filter(None, (examples, codes)))
        return parser

    def run(self, parsed_args: Any) -> int:
        """Run it, and say in one line what went wrong."""
        return guarded(
            lambda: super(GuardedCommand, self).run(parsed_args) or 0,
            self.app.options.debug,
            self.FAILED,
            self.CODES,
        )


class DatabaseCommand(GuardedCommand):
    """A command on the database of the configuration."""

    @property
    def database(self) -> engine.Database:
        """The database, opened when first asked for."""
        opened: engine.Database = self.app.database
        return opened

    @property
    def context(self) -> context.RequestContext:
        """A context that sees soft-deleted rows too."""
        return context.get_admin_context(self.database, read_deleted='yes')
