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

"""The plots of the documentation, as SVG."""

from collections.abc import Callable
from collections.abc import Iterator
import pathlib
from typing import Any

import matplotlib

matplotlib.use('svg')

from matplotlib import pyplot

from benchmarks import measure
from benchmarks import report

#: The same results give the same file.
matplotlib.rcParams['svg.hashsalt'] = 'nova-migration'
matplotlib.rcParams['svg.fonttype'] = 'none'

Line = Callable[[measure.Result], float]


def draw(
    results: report.Results, folder: pathlib.Path
) -> Iterator[pathlib.Path]:
    """Write the plots into a folder; yield their files."""
    of_upgrade = [r for r in results.results if r.scenario == 'upgrade']
    for name, group, panel in (
        ('performance-batch-size', 'migrate, a writer beside', _by_size),
        (
            'performance-progress',
            'a batch, by percent of rows done',
            _by_progress,
        ),
    ):
        found = [r for r in of_upgrade if r.group == group]
        path = folder / f'{name}.svg'
        if found:
            _draw(found, panel, path)
            yield path


def _draw(
    results: list[measure.Result],
    panel: Callable[[Any, list[measure.Result]], None],
    path: pathlib.Path,
) -> None:
    """Draw a panel for each database."""
    databases = list(dict.fromkeys(r.database for r in results))
    figure, axes = pyplot.subplots(
        1, len(databases), figsize=(4.2 * len(databases), 3.4), squeeze=False
    )
    for axis, database in zip(axes[0], databases, strict=True):
        own = [r for r in results if r.database == database]
        axis.set_title(f'{database}, {own[0].rows:,} rows')
        panel(axis, own)
    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None})
    pyplot.close(figure)


def _by_size(axis: Any, results: list[measure.Result]) -> None:
    """Draw the rate, and what a writer waits, by batch size."""
    sized = [r for r in results if r.x is not None]
    (whole,) = (r for r in results if r.contender == 'one UPDATE')
    sizes = [r.x for r in sized]
    axis.plot(sizes, [r.median for r in sized], 'o-', color='C0')
    axis.axhline(whole.median, color='C0', linestyle=':')
    axis.set_xscale('log')
    axis.set_ylim(bottom=0)
    axis.set_xlabel('rows in a batch')
    axis.set_ylabel('rows/s (dotted: one UPDATE)', color='C0')
    waits = axis.twinx()
    for style, name, wait in _WAITS:
        waits.plot(
            sizes, [wait(r) for r in sized], style, color='C1', label=name
        )
    waits.set_yscale('log')
    waits.set_ylabel('wait of a writer, ms', color='C1')
    waits.legend(loc='upper left', fontsize='small')


def _latency(name: str) -> Line:
    return lambda result: float(getattr(result.writer, name))


_WAITS = (
    ('s--', 'p50', _latency('p50')),
    ('^--', 'p99', _latency('p99')),
    ('v:', 'max', _latency('max')),
)


def _by_progress(axis: Any, results: list[measure.Result]) -> None:
    """Draw the cost of a batch by what is done already."""
    for name in dict.fromkeys(r.contender for r in results):
        own = [r for r in results if r.contender == name]
        axis.plot(
            [r.x for r in own], [r.median for r in own], 'o-', label=name
        )
    axis.set_yscale('log')
    axis.set_xlabel('rows done, %')
    axis.set_ylabel('ms')
    axis.legend(fontsize='small')
