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

"""Which releases of Nova the drop-in was made for."""

import importlib.metadata

#: The series that it is tested with: 2026.2.
KNOWN = ('34',)


def difference() -> str | None:
    """Return what is wrong with the installed release; None if nothing."""
    try:
        version = importlib.metadata.version('nova')
    except importlib.metadata.PackageNotFoundError:
        return 'its release is not known, because it is not installed'
    if version.partition('.')[0] in KNOWN:
        return None
    return f'its release is {version}, not {" or ".join(KNOWN)}'
