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

"""The machines under an unmodified Nova 34.

For the processes that open a cell database: the API, the metadata API, the
conductor, the scheduler, the console proxies, ``nova-manage`` and
``nova-status``. A compute service reaches the database through a conductor.
Nothing of Nova is imported before :func:`register`.
"""

from nova_migration.integration.dropin.engines import look_again
from nova_migration.integration.dropin.loading import register
from nova_migration.integration.dropin.report import Transition
from nova_migration.integration.dropin.report import subscribe
from nova_migration.integration.dropin.report import unsubscribe

__all__ = [
    'Transition',
    'look_again',
    'register',
    'subscribe',
    'unsubscribe',
]
