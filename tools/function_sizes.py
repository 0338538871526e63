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

"""Print how long the functions of the package are, their docstrings included.

The median, what nine in ten functions are no longer than, the longest and
their number; with --longest N, the N longest by name.
"""

import argparse
import ast
from collections.abc import Iterator
import dataclasses
import pathlib
import statistics
import sys

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / 'nova_migration'


@dataclasses.dataclass(frozen=True, order=True)
class Function:
    """One function: from its def, decorators left out, to its last line."""

    lines: int
    name: str
    path: str
    line: int


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a project says of its functions."""

    median: float
    p90: int
    max: int
    count: int


def functions(folder: pathlib.Path = PACKAGE) -> Iterator[Function]:
    """Yield every function below a folder, nested ones and methods too."""
    for path in sorted(folder.rglob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'), str(path))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                last = node.end_lineno or node.lineno
                yield Function(
                    lines=last - node.lineno + 1,
                    name=node.name,
                    path=str(path.relative_to(folder.parent)),
                    line=node.lineno,
                )


def measure(folder: pathlib.Path = PACKAGE) -> Sizes:
    """Return the sizes of the functions below a folder."""
    lines = sorted(function.lines for function in functions(folder))
    if not lines:
        return Sizes(0, 0, 0, 0)
    # Rounded up: at least nine in ten are no longer.
    rank = -(-len(lines) * 9 // 10)
    return Sizes(
        statistics.median(lines), lines[rank - 1], lines[-1], len(lines)
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the sizes."""
    parser = argparse.ArgumentParser(description='Measure functions.')
    parser.add_argument('--longest', type=int, default=0, metavar='N')
    parser.add_argument(
        'folder', nargs='?', type=pathlib.Path, default=PACKAGE
    )
    asked = parser.parse_args(arguments)
    folder = asked.folder.resolve()
    sizes = measure(folder)
    print(
        f'median {sizes.median:g}, p90 {sizes.p90}, max {sizes.max},'
        f' count {sizes.count}'
    )
    longest = sorted(functions(folder), reverse=True)[: asked.longest]
    for function in longest:
        where = f'{function.path}:{function.line}'
        print(f'{function.lines:4} {where} {function.name}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
