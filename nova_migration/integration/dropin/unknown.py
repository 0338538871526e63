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

"""A process of Nova's that has no machines, before a database that needs them.

Whatever the reason is: a release that is not known, one whose functions have
changed, or a drop-in that could not be loaded.
"""

import functools
import importlib
import threading

from oslo_log import log as logging
import sqlalchemy as sa
from sqlalchemy import event

from nova_migration import exception
from nova_migration.conf import opts
from nova_migration.db import errors
from nova_migration.db import forms
from nova_migration.integration.dropin import looks

LOG = logging.getLogger(__name__)

_OPTIONS = 'nova_migration.integration.dropin.options'

_begun: set[str] = set()
_beginning = threading.Lock()


def watch(difference: str) -> None:
    """Look at each database when it is first connected to.

    One that needs the machines is not handed out, unless the operator has
    said ``on_unknown = warn``.

    :param difference: what is wrong with this Nova
    """
    with _beginning:
        if _begun:
            return
        _begun.add(difference)
    sentry = looks.FirstLook(functools.partial(_judge, difference))
    event.listen(sa.Engine, 'engine_connect', sentry.look)


def _judge(difference: str, connection: sa.Connection) -> bool:
    """Return whether a database can do without the machines.

    :raises NovaNotKnown: it cannot; the connection is given back
    """
    if not looks.has_database(connection):
        return True
    depth = forms.depth_of(connection)
    if depth is forms.Depth.NOT_A_CELL:
        return True
    name = errors.shown(connection.engine.url)
    if depth is forms.Depth.LEGACY:
        _warn(name, difference)
        return True
    refused = exception.NovaNotKnown(
        url=name, why=str(depth), difference=difference
    )
    _say_what_breaks(str(refused))
    if _policy() == opts.OnUnknown.WARN:
        return False
    connection.close()
    raise refused


def _policy() -> opts.OnUnknown:
    try:
        policy: opts.OnUnknown
        policy = importlib.import_module(_OPTIONS).on_unknown()
    except (ImportError, AttributeError):
        # Not even the options of this Nova are where they were.
        return opts.OnUnknown.REFUSE
    return policy


@functools.cache
def _say_what_breaks(what: str) -> None:
    LOG.error(what)


@functools.cache
def _warn(name: str, difference: str) -> None:
    LOG.warning(
        'nova_migration does nothing for %(url)s: this Nova is not one that'
        ' it knows (%(difference)s). The database has legacy rows only, which'
        " this Nova reads and writes as ever; 'nova-migration-manage db"
        " upgrade --migrate' has to wait. Install a release of nova_migration"
        ' that knows this Nova, or take plugin=nova_migration out of the'
        ' database URLs.',
        {'url': name, 'difference': difference},
    )
