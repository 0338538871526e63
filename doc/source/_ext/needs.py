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


"""What the pages need besides Python, said before anything is built."""

import shutil
import sys


def setup(app):
    """End at once where a program is missing, and not at the first diagram."""
    if shutil.which('dot') is None:
        # Of an error Sphinx prints a page.
        sys.exit('There is no dot: install the package graphviz.')
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
