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

"""Whether a server that is missing is a failure."""

#: Of each variable that makes a failure of what is missing.
PREFIX = 'NOVA_MIGRATION_REQUIRE_'

#: Set in CI: a server that does not answer is a failure and not a skip.
DATABASES = f'{PREFIX}DATABASES'
