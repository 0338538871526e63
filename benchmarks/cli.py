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

"""The command line: what to measure, on which servers, and how to show it."""

import argparse
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import importlib
import os
import pathlib
import signal
import sys
import time

import sqlalchemy as sa

from benchmarks import databases
from benchmarks import files
from benchmarks import measure
from benchmarks import report
from benchmarks import scenarios
from tests import required

#: Scenarios in the order in which they are run, with what they measure.
SCENARIOS = {
    'step': 'an event in memory, beside automaton and the peers',
    'write': 'a guarded transition, beside the driver, Core, oslo.db, Nova',
    'load': 'a list of 10,000 rows, beside Nova and rows without objects',
    'upgrade': 'migrate and restore, beside one UPDATE and Nova, and a writer',
    'ddl': 'expand and contract, beside a writer',
    'galera': 'a cluster of three nodes, beside a writer on each',
}

#: What uses none of the servers: no database, or servers of its own.
SERVERLESS = ('step', 'galera')

#: What is run if nothing is named. Not every machine can start a cluster.
DEFAULT = tuple(name for name in SCENARIOS if name != 'galera')

_EPILOG = """\
scenarios:
{scenarios}

examples:
  python -m benchmarks step write
  python -m benchmarks write --database mariadb --rounds 31
  python -m benchmarks upgrade --rows 100000 --save results.json
  python -m benchmarks galera --smoke
  python -m benchmarks show results.json
  python -m benchmarks summary results.json
  python -m benchmarks plot results.json --folder doc/source/contributor

A database of a run's own is made on each server and dropped afterwards. A
server that is not there is started for the run, small and careless: measure on
one that is prepared.
galera is run only when it is named: it starts three MariaDBs of its own, which
it needs the packages mariadb-server, galera-4 and rsync for.
Ratios are medians of the rounds' ratios, with the tenth and the ninetieth
percentile; the contenders of a round take turns.
"""


def _parser() -> argparse.ArgumentParser:
    lines = (f'  {name:8} {text}' for name, text in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description='Measure this project beside Nova, the raw drivers and'
        ' other state machines.',
        epilog=_EPILOG.format(scenarios='\n'.join(lines)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'scenario',
        nargs='*',
        metavar='SCENARIO',
        help=f'default: {" ".join(DEFAULT)}',
    )
    parser.add_argument(
        '--database',
        action='append',
        metavar='URL',
        help=f'a server, or one of {", ".join(databases.SERVERS)}; may be'
        ' given more than once (default: all three)',
    )
    parser.add_argument('--rows', type=int, help='rows in the table')
    parser.add_argument('--rounds', type=int, help='how often each is timed')
    parser.add_argument(
        '--smoke', action='store_true', help='few rows, to see that all runs'
    )
    parser.add_argument(
        '-f', '--format', choices=('table', 'json'), default='table'
    )
    parser.add_argument(
        '--save',
        type=pathlib.Path,
        metavar='FILE',
        help='keep the results, in place of earlier ones of the same'
        ' scenarios and servers',
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; return its exit status."""
    if arguments and arguments[0] in files.WAYS:
        return files.main(arguments)
    parser = _parser()
    asked = parser.parse_args(arguments)
    for name in asked.scenario:
        if name not in SCENARIOS:
            parser.error(
                f'no scenario {name!r}; choose from {", ".join(SCENARIOS)}'
            )
    # The databases that were made are dropped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))
    found = report.Results(report.machine(), {}, [])
    status = 0
    try:
        _run(asked, arguments, found)
    except scenarios.Missing as error:
        measure.say(str(error))
        status = 1
    if found.results:
        print(report.show(found, asked.format))
    return status


def _run(
    asked: argparse.Namespace,
    arguments: Sequence[str],
    found: report.Results,
) -> None:
    """Run each scenario on each server; add what it finds.

    :raises scenarios.Missing: a scenario cannot be run here
    """
    with _provided(asked):
        for name in asked.scenario or DEFAULT:
            for server in _servers(asked, name):
                found.update(_measured(asked, name, server, arguments))
                if asked.save:
                    report.save(asked.save, found)


def _provided(
    asked: argparse.Namespace,
) -> contextlib.AbstractContextManager[None]:
    """Return what starts servers, if any are to be used by their names."""
    given = asked.database or databases.SERVERS
    if set(asked.scenario or DEFAULT) <= set(SERVERLESS) or not any(
        databases.SERVERS.get(server) for server in given
    ):
        return contextlib.nullcontext()
    return databases.provided()


def _servers(asked: argparse.Namespace, name: str) -> Iterator[sa.URL | None]:
    """Yield the URLs of the servers for a scenario.

    :raises scenarios.Missing: one is not there that is named, or required
    """
    if name in SERVERLESS:
        yield None
        return
    for server in asked.database or databases.SERVERS:
        try:
            yield databases.server_url(server)
        except scenarios.Missing as error:
            if asked.database or os.environ.get(required.DATABASES):
                raise
            measure.say(f'{name}: left out: {error}')


def _measured(
    asked: argparse.Namespace,
    name: str,
    server: sa.URL | None,
    arguments: Sequence[str],
) -> report.Results:
    """Run one scenario on one server."""
    scenario: scenarios.Scenario = importlib.import_module(
        f'benchmarks.scenarios.{name}'
    ).run
    plan = scenarios.Plan(
        server=server or sa.make_url('sqlite://'),
        rows=asked.rows,
        rounds=asked.rounds,
        smoke=asked.smoke,
    )
    measure.say(f'{name}: {server.get_backend_name()}' if server else name)
    began = time.monotonic()
    results = list(scenario(plan))
    run = {
        'command': _command(arguments),
        'seconds': round(time.monotonic() - began),
        **plan.about,
    }
    if server is not None:
        run['server'] = databases.version(server)
    key = (name, results[0].database)
    return report.Results(report.machine(), {key: run}, results)


def _command(arguments: Sequence[str]) -> str:
    """Return the command without what says where and not what."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    words = ['python -m benchmarks', *asked.scenario]
    for server in asked.database or ():
        known = server in databases.SERVERS
        words.append(
            f'--database {server if known else sa.make_url(server)!r}'
        )
    for name in ('rows', 'rounds'):
        if getattr(asked, name) is not None:
            words.append(f'--{name} {getattr(asked, name)}')
    return ' '.join(words + ['--smoke'] * asked.smoke)
