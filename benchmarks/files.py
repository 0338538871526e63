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

"""What can be done with a file of results."""

import argparse
from collections.abc import Sequence
import importlib
import pathlib

from benchmarks import report
from benchmarks import summary


def _show(results: report.Results, _folder: pathlib.Path) -> None:
    print(report.show(results, 'table'))


def _summary(results: report.Results, _folder: pathlib.Path) -> None:
    print(summary.table(results.results), end='')


def _plot(results: report.Results, folder: pathlib.Path) -> None:
    # Only this needs matplotlib.
    plot = importlib.import_module('benchmarks.plot')
    for path in plot.draw(results, folder):
        print(path)


WAYS = {'show': _show, 'summary': _summary, 'plot': _plot}


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says with a file; return the exit status."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description='Show results as tables, as the table of README.rst, or'
        ' as the plots of the documentation.',
    )
    parser.add_argument('what', choices=WAYS)
    parser.add_argument('file', type=pathlib.Path)
    parser.add_argument(
        '--folder',
        type=pathlib.Path,
        default=pathlib.Path(),
        help='where the plots go (default: here)',
    )
    asked = parser.parse_args(arguments)
    WAYS[asked.what](report.load(asked.file), asked.folder)
    return 0
