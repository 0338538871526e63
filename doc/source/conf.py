# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Configuration of the documentation."""

import importlib.metadata
import os
import pathlib
import re
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / '_ext'))

# The pages run the commands of this environment, activated or not, and show
# the same on every terminal.
os.environ['PATH'] = os.pathsep.join(
    [str(pathlib.Path(sys.executable).parent), os.environ['PATH']]
)
os.environ['COLUMNS'] = '79'
os.environ['PYTHONWARNINGS'] = 'ignore'

# oslo.service, which oslo.versionedobjects brings, says it on import.
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

extensions = [
    # First, because the others take seconds.
    'needs',
    'openstackdocstheme',
    'oslo_config.sphinxext',
    'sphinx.ext.autodoc',
    'sphinx.ext.doctest',
    'sphinx.ext.graphviz',
    'sphinxcontrib.programoutput',
    'commands',
    'machines',
    'measured',
    'nova_suite',
    'qemu_streams',
    'session',
]

project = 'nova-migration'
copyright = 'the nova-migration developers'
version = release = importlib.metadata.version('nova-migration')

root_doc = 'index'
nitpicky = False

# The manual of each command, with its exit status: page, name, what it is for.
man_pages = [
    (
        'cli/nova-migration-manage',
        'nova-migration-manage',
        "bring a Nova cell's migrations to states, and help them on",
        [],
        1,
    ),
    (
        'cli/nova-migration-status',
        'nova-migration-status',
        'say whether the upgrade of a Nova cell can go on',
        [],
        1,
    ),
]

html_theme = 'openstackdocs'
htmlhelp_basename = 'nova-migration'
openstackdocs_auto_name = False
openstackdocs_auto_version = False

autodoc_default_options = {
    'members': True,
    'show-inheritance': True,
}
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'

# Only blocks that say so are run, not every ">>>" of a docstring.
doctest_test_doctest_blocks = ''

graphviz_output_format = 'svg'


def _plurals(app, what, name, obj, options, lines):
    """Let docstrings write the plural of a literal as people do."""
    lines[:] = [re.sub(r'(?<=\w``)s\b', r'\\ s', line) for line in lines]


def setup(app):
    """Connect what has no extension of its own."""
    app.connect('autodoc-process-docstring', _plurals)
