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

"""What the model is tried out with."""

import os
import shutil
import unittest

#: Set in CI: what is missing is a failure and not a skip.
REQUIRED = 'NOVA_MIGRATION_REQUIRE_MODEL'

_PROGRAMS = ('spin', 'cc')


def look():
    """Skip the test if a program is missing."""
    missing = [name for name in _PROGRAMS if not shutil.which(name)]
    if not missing:
        return
    reason = (
        f'{", ".join(missing)} not found: spin is the package of that name,'
        ' cc comes with gcc or clang'
    )
    if os.environ.get(REQUIRED):
        raise RuntimeError(reason)
    raise unittest.SkipTest(reason)
