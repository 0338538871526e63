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

"""What is done to a Nova that is known; each step may be done again."""

from nova_migration.integration.dropin import archive
from nova_migration.integration.dropin import engines
from nova_migration.integration.dropin import evacuations
from nova_migration.integration.dropin import flush
from nova_migration.integration.dropin import guard
from nova_migration.integration.dropin import model
from nova_migration.integration.dropin import objects
from nova_migration.integration.dropin import options


def install() -> None:
    """Put the machines under Nova's model, functions and object."""
    options.register()
    model.extend()
    archive.keep_our_columns()
    guard.install()
    flush.install()
    evacuations.install()
    objects.register()
    # Says of each database that it is guarded.
    engines.watch()
