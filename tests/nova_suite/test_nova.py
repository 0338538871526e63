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

"""Nova's own tests, as stestr finds them, with the drop-in beneath."""

import importlib

# Nova's tests put eventlet beneath everything that is imported after them.
import nova.tests.functional  # noqa: F401

from tests.nova_suite import records
from tests.nova_suite import selection
from tests.nova_suite import settings as settings_mod
from tests.nova_suite import wheel


def load_tests(loader, standard_tests, pattern):
    """Return the tests that the command chose; see __main__.py."""
    settings = settings_mod.from_environ()
    if settings is None:
        return standard_tests
    wheel.adapt(settings.documents)
    recorder = records.Recorder(settings.records)
    recorder.follow_tests()
    if settings.mode != settings_mod.WITHOUT:
        # Importing it imports the drop-in.
        importlib.import_module('tests.nova_suite.dropin').activate(
            settings, recorder
        )
    return selection.load(settings.named)
