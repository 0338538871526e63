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

import importlib
import threading

from oslo_log import log as logging
from sqlalchemy import exc as sa_exc

from nova_migration.integration import release
from nova_migration.integration.dropin import unknown

LOG = logging.getLogger(__name__)

_INSTALL = 'nova_migration.integration.dropin.install'
_SHAPE = 'nova_migration.integration.dropin.shape'

#: Nova asks its cells in threads, each of which makes the engine of a cell.
_registering = threading.RLock()

#: What a Nova of another shape makes of the drop-in, and what is no bug of
#: whoever opens a database.
_DOES_NOT_FIT = (
    ImportError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    sa_exc.SQLAlchemyError,
)


def register() -> bool:
    """Put the machines under the Nova of this process.

    Doing so again does no harm, nor does doing so in several threads: each
    returns when all is done. A tree that does not name the plugin in its
    database URLs calls this at the end of ``nova.objects.register_all``.

    :returns: whether it was done; where not, a database that needs the
        machines is not opened
    """
    with _registering:
        difference = release.difference() or _difference() or _obstacle()
        if difference:
            unknown.watch(difference)
        return difference is None


def _difference() -> str | None:
    try:
        found: str | None = importlib.import_module(_SHAPE).difference()
    except _DOES_NOT_FIT as error:
        return _named(error)
    return found


def _obstacle() -> str | None:
    """Install; return what has come in the way, None if nothing has."""
    try:
        importlib.import_module(_INSTALL).install()
    except _DOES_NOT_FIT as error:
        LOG.debug('The drop-in could not be loaded', exc_info=True)
        return _named(error)
    return None


def _named(error: Exception) -> str:
    """Return an error with its kind, without which some say nothing."""
    return f'{type(error).__name__}: {error}'
