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

"""The options, and a ConfigOpts that has them; never a module-level CONF."""

from collections.abc import Sequence
import enum

from oslo_config import cfg
from oslo_db import options as db_options

GROUP = 'nova_migration'


class StatusFormat(enum.StrEnum):
    """The form that new rows are created in."""

    LEGACY = 'legacy'
    CANONICAL = 'canonical'


class Mode(enum.StrEnum):
    """What becomes of a status that the machine does not lead to."""

    ENFORCE = 'enforce'
    WARN = 'warn'
    OFF = 'off'


class OnUnknown(enum.StrEnum):
    """What a Nova that is not known does with a database of machines."""

    REFUSE = 'refuse'
    WARN = 'warn'


OPTIONS = [
    cfg.StrOpt(
        'mode',
        default=Mode.ENFORCE.value,
        choices=[
            (
                Mode.ENFORCE.value,
                'Refuse it: the row stays as it is, and whoever wanted to'
                ' write gets an error.',
            ),
            (
                Mode.WARN.value,
                'Log what would be refused, and write it.',
            ),
            (
                Mode.OFF.value,
                'Write every status, as Nova does by itself; late reports'
                ' are written too.',
            ),
        ],
        help='What the drop-in for Nova does with a status that a migration'
        ' cannot have next. Queries understand both forms of rows in each'
        ' mode. Read by the services that open a cell database; commands'
        ' of nova_migration always refuse.',
    ),
    cfg.StrOpt(
        'status_format',
        default=StatusFormat.LEGACY.value,
        choices=[
            (
                StatusFormat.LEGACY.value,
                'Write the strings of Nova 34 and older, with state empty.',
            ),
            (
                StatusFormat.CANONICAL.value,
                'Write the canonical status, and state.',
            ),
        ],
        help='The form of rows that are created. Existing rows keep theirs'
        ' until ``nova-migration-manage db upgrade --migrate``. Choose'
        ' ``canonical`` when every service that reads or writes migrations'
        ' has been upgraded, and before ``db upgrade --contract``.',
    ),
    cfg.StrOpt(
        'on_unknown',
        default=OnUnknown.REFUSE.value,
        choices=[
            (
                OnUnknown.REFUSE.value,
                'Do not open the database: whoever wanted to gets an error'
                ' that says what to do.',
            ),
            (
                OnUnknown.WARN.value,
                'Open it, and log what breaks as an error.',
            ),
        ],
        help='What a service of Nova does with a database that has canonical'
        ' rows, or is contracted, when the drop-in does not know this release'
        ' of Nova or could not be loaded. Such a service does not find'
        ' resizes that wait for their confirmation, nor evacuations whose'
        ' source has to be cleaned up, and writes statuses that nobody'
        ' checks. A database with legacy rows only is opened in any case.',
    ),
    cfg.IntOpt(
        'stuck_after',
        default=3600,
        min=1,
        max=2**31 - 1,
        help='Seconds after which a move that is in progress and has not'
        ' changed state is reported as stuck by ``nova-migration-status'
        ' upgrade check``. Resizes that wait for the user are not.',
    ),
]


def list_opts() -> Sequence[tuple[str, Sequence[cfg.Opt]]]:
    """Return the options for oslo-config-generator and for Sphinx."""
    return [(GROUP, OPTIONS)]


def register(conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """Register our options and oslo.db's with a service's ConfigOpts."""
    conf.register_opts(OPTIONS, group=GROUP)
    conf.register_opts(db_options.database_opts, group='database')
    return conf
