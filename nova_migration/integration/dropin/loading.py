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

"""Loading the drop-in: by one word in a URL, or by one call."""

import functools
import importlib
import threading

from oslo_log import log as logging

from nova_migration.integration.dropin import release

LOG = logging.getLogger(__name__)

_INSTALL = 'nova_migration.integration.dropin.install'
_SHAPE = 'nova_migration.integration.dropin.shape'

#: Nova asks its cells in threads, each of which makes the engine of a cell.
_registering = threading.RLock()


def register() -> bool:
    """Put the machines under the Nova of this process.

    Doing so again does no harm, nor does doing so in several threads: each
    returns when all is done. A tree that does not name the plugin in its
    database URLs calls this at the end of ``nova.objects.register_all``.

    :returns: whether it was done; a Nova that is not known stays as it is
    """
    with _registering:
        difference = release.difference() or _difference()
        if difference:
            _say(difference)
            return False
        importlib.import_module(_INSTALL).install()
        return True


def _difference() -> str | None:
    try:
        found: str | None = importlib.import_module(_SHAPE).difference()
    except (ImportError, AttributeError) as error:
        return str(error)
    return found


@functools.cache
def _say(difference: str) -> None:
    LOG.warning(
        'nova_migration does nothing: this Nova is not one that it knows'
        ' (%s). Migrations are as Nova has them; install a release of'
        ' nova_migration that knows this Nova, or take plugin=nova_migration'
        ' out of the database URLs.',
        difference,
    )
