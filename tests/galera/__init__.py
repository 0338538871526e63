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


"""Three nodes on the loopback, and everything that may go wrong with them.

The tests of a process share one cluster, which is started once.
"""

import pathlib

import testresources

from tests.base import ROOT


def load_tests(loader, _tests, pattern):
    """Have the tests find the cluster that an earlier one has used."""
    found = loader.discover(
        str(pathlib.Path(__file__).parent), pattern, str(ROOT)
    )
    return testresources.OptimisingTestSuite(found)
