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

# Configuration of the release notes.

extensions = [
    'openstackdocstheme',
    'reno.sphinxext',
]

project = 'nova-migration release notes'
copyright = 'the nova-migration developers'

# Release notes have no version of their own: they cover all of them.
version = ''
release = ''

root_doc = 'index'
html_theme = 'openstackdocs'
htmlhelp_basename = 'nova-migration-release-notes'
openstackdocs_auto_name = False
