#!/usr/bin/env python3
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

"""Print what the tox environments of older libraries are constrained to.

``lowest`` prints ``constraints/lowest.txt``: each lower bound of
``requirements.txt`` and ``test-requirements.txt``, and for what those need in
turn the versions of the oldest series.

``series NAME FILE`` prints ``constraints/NAME.txt``, from a copy of the
series' ``upper-constraints.txt``. Run it in an environment that was installed
with that file as constraints: only the packages that are there are kept.
"""

from collections.abc import Iterator
import importlib.metadata
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

#: The series whose versions the lower bounds must not exceed.
OLDEST = '2025.1'

#: What makes no constraint: the package itself, what installs it, and what
#: only the building of it needs.
LEFT_OUT = {'nova-migration', 'pip', 'setuptools', 'wheel'}

_LOWEST = """\
# The lower bounds of requirements.txt and test-requirements.txt, each exactly.
# A unit test compares this file with what prints it:
#
#   tools/constraints.py lowest > constraints/lowest.txt
"""
_INDIRECT = """
# What these need in turn, as in constraints/{series}.txt.
"""
_SERIES = """\
# What of this project's requirements OpenStack {series} pins; the lines are
# those of openstack/requirements, branch stable/{series},
# upper-constraints.txt. tools/constraints.py makes this file.
"""
_UNPINNED = """
# What OpenStack does not pin, as in upper-constraints.txt.
"""


def canonical(name: str) -> str:
    """Return the name of a package as the index compares names."""
    return re.sub(r'[-_.]+', '-', name).lower()


def pinned(path: pathlib.Path) -> dict[str, str]:
    """Return the lines of a file of constraints or requirements, by name.

    Of several lines for one package, which differ by the version of Python,
    the last is for the newest.
    """
    lines = path.read_text().splitlines()
    return {
        canonical(re.split(r'[^\w.-]', line)[0]): line
        for line in lines
        if line and not line.startswith('#')
    }


def _floors() -> dict[str, str]:
    bounds = {
        **pinned(ROOT / 'requirements.txt'),
        **pinned(ROOT / 'test-requirements.txt'),
    }
    # A constraint takes no extras.
    return {
        name: re.sub(r'(\[\w+\])?>=', '==', line.partition(' ')[0])
        for name, line in bounds.items()
    }


def lowest() -> Iterator[str]:
    """Yield what constraints/lowest.txt has to be."""
    floors = _floors()
    oldest = pinned(ROOT / 'constraints' / f'{OLDEST}.txt')
    yield _LOWEST
    yield from _sorted(floors)
    yield _INDIRECT.format(series=OLDEST)
    yield from _sorted(
        {name: line for name, line in oldest.items() if name not in floors}
    )


def series(name: str, file: str) -> Iterator[str]:
    """Yield what the file of a series has to be."""
    there = {
        canonical(found.name) for found in importlib.metadata.distributions()
    } - LEFT_OUT
    theirs = pinned(pathlib.Path(file))
    ours = pinned(ROOT / 'upper-constraints.txt')
    yield _SERIES.format(series=name)
    yield from _sorted({key: theirs[key] for key in there & theirs.keys()})
    yield _UNPINNED
    yield from _sorted({key: ours[key] for key in there - theirs.keys()})


def _sorted(lines: dict[str, str]) -> Iterator[str]:
    for _name, line in sorted(lines.items()):
        yield f'{line}\n'


def main(kind: str, *arguments: str) -> None:
    """Print the file of a kind."""
    kinds = {'lowest': lowest, 'series': series}
    sys.stdout.writelines(kinds[kind](*arguments))


if __name__ == '__main__':
    main(*sys.argv[1:])
