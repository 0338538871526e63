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

"""Which releases of Nova the drop-in was made for, and which is there.

Nothing of Nova's is imported.
"""

import dataclasses
import importlib.metadata

#: The series that it is tested with: 2026.2.
KNOWN = ('34',)


@dataclasses.dataclass(frozen=True)
class Release:
    """The Nova that is installed in the environment of this process.

    :param version: None if there is none
    """

    version: str | None

    @property
    def known(self) -> bool:
        """Whether the drop-in was made for its series."""
        return (self.version or '').partition('.')[0] in KNOWN

    @property
    def described(self) -> str:
        """A sentence for people."""
        if self.version is None:
            return 'No Nova is installed beside this.'
        if self.known:
            return f'Nova {self.version} is installed beside this, and known.'
        return (
            f'Nova {self.version} is installed beside this, and not known:'
            f' this release of nova_migration knows {" or ".join(KNOWN)}.'
        )


def beside() -> Release:
    """Return the release of Nova that is installed beside this."""
    try:
        return Release(importlib.metadata.version('nova'))
    except importlib.metadata.PackageNotFoundError:
        return Release(None)


def difference() -> str | None:
    """Return what is wrong with the installed release; None if nothing."""
    found = beside()
    if found.version is None:
        return 'its release is not known, because it is not installed'
    if found.known:
        return None
    return f'its release is {found.version}, not {" or ".join(KNOWN)}'
