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

"""The word in a database URL that puts the machines under Nova.

SQLAlchemy loads it when it makes an engine: ``?plugin=nova_migration`` in
``[database] connection`` or in the URL of a cell mapping. Nothing of Nova is
imported here, because our own commands open the same URLs.
"""

import importlib
import sys

import sqlalchemy as sa
from sqlalchemy.engine import interfaces

#: The module of Nova's that makes the engines of cell databases.
_NOVA = 'nova.db.main.api'
_DROPIN = 'nova_migration.integration.dropin'


class Plugin(interfaces.CreateEnginePlugin):
    """Registers the drop-in in a process of Nova's, and nowhere else.

    An engine of the API database does no harm: it has no migrations.
    """

    def update_url(self, url: sa.URL) -> sa.URL:
        """Return the URL, which has no words of ours but the name.

        SQLAlchemy has taken that out already.
        """
        return url

    def engine_created(self, engine: sa.Engine) -> None:
        """Register, as often as an engine is made."""
        if _NOVA in sys.modules:
            importlib.import_module(_DROPIN).register()
