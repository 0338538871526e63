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

"""What the command tells its workers, by way of the environment."""

import dataclasses
import json
import os
import pathlib

VARIABLE = 'NOVA_MIGRATION_NOVA_SUITE'

#: The word for a mode that the drop-in does not have: not being there.
WITHOUT = 'none'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One run of Nova's tests.

    :param tests: the file that names them, one a line
    :param documents: the folder ``doc`` of Nova's source distribution
    :param records: the folder that each worker writes its records into
    :param mode: of the drop-in, or :data:`WITHOUT`
    :param status_format: the form that new rows are created in
    """

    tests: pathlib.Path
    documents: pathlib.Path
    records: pathlib.Path
    mode: str
    status_format: str

    @property
    def named(self):
        """Return the identifiers of the tests."""
        return self.tests.read_text(encoding='utf-8').split()

    def environ(self):
        """Return the variable that :func:`from_environ` reads."""
        fields = dataclasses.asdict(self)
        return {VARIABLE: json.dumps(fields, default=str)}


def from_environ():
    """Return what the command said; nothing when there was no command."""
    if VARIABLE not in os.environ:
        return None
    fields = json.loads(os.environ[VARIABLE])
    for name in ('tests', 'documents', 'records'):
        fields[name] = pathlib.Path(fields[name])
    return Settings(**fields)
