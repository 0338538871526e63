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

"""``nova-migration-status upgrade check``: is the database ready?"""

import functools
import logging
import sys
from typing import Any

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from nova_migration.cmd import base
from nova_migration.cmd import db
from nova_migration.cmd import exits
from nova_migration.cmd import migration as migration_cmd
from nova_migration.conf import opts
from nova_migration.db import api
from nova_migration.db import census
from nova_migration.db import engine
from nova_migration.db import errors
from nova_migration.db import forms
from nova_migration.db import schema
from nova_migration.integration import release

_OK = upgradecheck.Code.SUCCESS
_WARN = upgradecheck.Code.WARNING
_FAIL = upgradecheck.Code.FAILURE

#: How many examples a result names.
_EXAMPLES = 5


_OPTIONS = [
    cfg.StrOpt(
        'database-connection',
        metavar='URL',
        help='The cell database (default: [database] connection).',
    ),
    # Read off the arguments: nova.conf has an option of this name, too.
    cfg.BoolOpt('debug', default=False, help='Show tracebacks.'),
]


class Checks(upgradecheck.UpgradeCommands):
    """What has to hold before the next phase, and what needs a look."""

    def __init__(self, conf: cfg.ConfigOpts, debug: bool):
        super().__init__()
        self._conf = conf
        self._debug = debug

    def check(self) -> Any:
        """Run the checks; returns what the program exits with.

        oslo.upgradecheck would print a traceback, and takes any word for
        ``check``.
        """
        if self._conf.command.check != 'check':
            self._conf.print_usage(sys.stderr)
            return exits.WRONG_CALL
        return base.guarded(
            lambda: int(super(Checks, self).check()),
            self._debug,
            exits.CHECK_ERROR,
        )

    @functools.cached_property
    def _counts(self) -> list[census.Count]:
        return census.take(self._database)

    @functools.cached_property
    def _database(self) -> engine.Database:
        base.use_connection(self._conf, self._conf.database_connection)
        return base.opened(self._conf)

    def _nova(self) -> Any:
        found = release.beside()
        if found.version is None or found.known:
            return upgradecheck.Result(_OK, found.described)
        with self._database.transaction() as connection:
            depth = forms.depth_of(connection)
        needed = depth in (forms.Depth.CANONICAL, forms.Depth.CONTRACTED)
        return upgradecheck.Result(
            _FAIL if needed else _WARN,
            f'{found.described} The database has {depth}. Install a release'
            ' of nova_migration that knows this Nova before services are'
            " restarted; 'nova-migration-manage db restore' goes back to"
            ' legacy rows.',
        )

    def _named_database(self) -> Any:
        url = self._database.engine.url
        return upgradecheck.Result(_OK, errors.shown(url))

    def _columns(self) -> Any:
        engine.require_cell(self._database.engine)
        if schema.is_expanded(self._database):
            return upgradecheck.Result(_OK)
        return upgradecheck.Result(
            _FAIL,
            "Columns are missing: run 'nova-migration-manage db upgrade"
            " --expand'.",
        )

    def _fence(self) -> Any:
        if schema.is_fenced(self._database):
            return upgradecheck.Result(_WARN, f'{db.FENCED}.')
        return upgradecheck.Result(_OK)

    def _strings(self) -> Any:
        odd = census.of_form(self._counts, census.Form.UNKNOWN)
        return self._named(odd, "--map '[TYPE:]OLD=STATE'")

    def _contradictions(self) -> Any:
        odd = census.of_form(self._counts, census.Form.INCONSISTENT)
        return self._named(odd, '--inconsistent')

    @staticmethod
    def _named(odd: list[census.Count], option: str) -> Any:
        if not odd:
            return upgradecheck.Result(_OK)
        named = '; '.join(count.described for count in odd[:_EXAMPLES])
        return upgradecheck.Result(
            _FAIL,
            f'{named}. Say what holds with nova-migration-manage db upgrade'
            f' --migrate {option}; see the admin guide.',
        )

    def _legacy_rows(self) -> Any:
        legacy = census.total(census.of_form(self._counts, census.Form.LEGACY))
        if not legacy:
            return upgradecheck.Result(_OK)
        return upgradecheck.Result(
            _WARN,
            f"Legacy rows left: {legacy}. Run 'nova-migration-manage db"
            " upgrade --migrate' before --contract.",
        )

    def _stuck_rows(self) -> Any:
        if engine.needs_expand(self._database.engine):
            return upgradecheck.Result(_OK, 'Not known before expand.')
        seconds = self._conf[opts.GROUP].stuck_after
        stuck = api.get_all_by_filters(
            self._database, migration_cmd.stuck_filters(seconds)
        )
        if not stuck:
            return upgradecheck.Result(_OK)
        named = ', '.join(
            base.printable(str(row.uuid or row.id))
            for row in stuck[:_EXAMPLES]
        )
        return upgradecheck.Result(
            _WARN,
            f'{len(stuck)} migrations are in progress and have not moved for'
            f" {seconds} seconds ({named}): see 'nova-migration-manage"
            f" migration list --stuck {seconds}'.",
        )

    def _evacuations(self) -> Any:
        if engine.needs_expand(self._database.engine):
            return upgradecheck.Result(_OK, 'Not known before expand.')
        twice = api.get_evacuated_twice(self._database)
        if not twice:
            return upgradecheck.Result(_OK)
        named = ' '.join(map(migration_cmd.evacuated_twice, twice[:_EXAMPLES]))
        return upgradecheck.Result(
            _WARN,
            f'{named} In all: {len(twice)}. Only one of them is the last; see'
            ' the admin guide.',
        )

    _upgrade_checks = (
        ('Database', _named_database),
        ('Release of Nova', _nova),
        ('Columns present', _columns),
        ('Removal of columns', _fence),
        ('Unknown strings', _strings),
        ('Inconsistent rows', _contradictions),
        ('Legacy rows left', _legacy_rows),
        ('Stuck migrations', _stuck_rows),
        ('Evacuations per server', _evacuations),
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns what :mod:`~nova_migration.cmd.exits` has.

    oslo.config ends a wrong call with argparse's 2, which is a result here.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except SystemExit as ended:
        return exits.WRONG_CALL if ended.code else exits.DONE


def _run(arguments: list[str]) -> int:
    logging.basicConfig(format='%(message)s')
    logging.getLogger('oslo_db').setLevel(logging.CRITICAL)
    debug = '--debug' in arguments
    conf = opts.register(cfg.ConfigOpts())
    conf.register_cli_opts(_OPTIONS)
    return base.guarded(
        lambda: int(
            upgradecheck.main(
                conf,
                project='nova',
                upgrade_command=Checks(conf, debug),
                argv=arguments,
                default_config_files=None,
            )
        ),
        debug,
        failed=exits.CHECK_ERROR,
    )


if __name__ == '__main__':
    sys.exit(main())
