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

"""The options of the drop-in, which have a value in any case.

Nova reads an option when it needs it, and an error would come out of each
write of a migration. A Nova that is left alone would be worse: it takes
canonical rows for something else. So a value that is none counts as the
default, which is the safe one, and one line of the log says so.
"""

import functools

import nova.conf
from oslo_config import cfg
from oslo_log import log as logging

from nova_migration.conf import opts

LOG = logging.getLogger(__name__)


def register() -> None:
    """Add the options to Nova's, and tell of values that are none."""
    nova.conf.CONF.register_opts(opts.OPTIONS, group=opts.GROUP)
    mode()
    status_format()


def mode() -> opts.Mode:
    """Return what becomes of a status that the machine does not lead to."""
    return opts.Mode(_value('mode'))


def status_format() -> opts.StatusFormat:
    """Return the form that new rows are created in."""
    return opts.StatusFormat(_value('status_format'))


def on_unknown() -> opts.OnUnknown:
    """Return what a process does that the drop-in does not fit.

    Nothing else has registered the options there.
    """
    nova.conf.CONF.register_opts(opts.OPTIONS, group=opts.GROUP)
    return opts.OnUnknown(_value('on_unknown'))


def _value(name: str) -> str:
    try:
        return str(nova.conf.CONF[opts.GROUP][name])
    except (cfg.ConfigSourceValueError, cfg.TemplateSubstitutionError) as why:
        (option,) = (found for found in opts.OPTIONS if found.name == name)
        _say(name, option.default, str(why))
        return str(option.default)


@functools.cache
def _say(name: str, default: str, why: str) -> None:
    LOG.error(
        '[%(group)s] %(name)s counts as %(default)s: %(why)s',
        {
            'group': opts.GROUP,
            'name': name,
            'default': default,
            'why': why,
        },
    )
