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

"""Run Nova's own tests on the drop-in: `python -m tests.nova_suite --help`.

Everything is started from the top of the checkout, in an environment that
has Nova, its test requirements and openstack-placement: `tox -e nova`.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tarfile

from tests.nova_suite import results
from tests.nova_suite import settings as settings_mod
from tests.nova_suite import slice as slice_mod
from tests.nova_suite import workers

#: For records, results and Nova's documents.
WORK = pathlib.Path('build', 'nova-suite')

#: What is run before a change is merged: tests, mode and status_format.
CI = (
    ('unit', 'enforce', 'legacy'),
    ('unit', 'enforce', 'canonical'),
    ('hazards', 'none', 'legacy'),
    ('hazards', 'enforce', 'legacy'),
    ('hazards', 'enforce', 'canonical'),
    ('slice', 'enforce', 'legacy'),
    ('slice', 'enforce', 'canonical'),
    ('slice', 'warn', 'legacy'),
    ('slice', 'warn', 'canonical'),
)


def chosen(tests):
    """Return the identifiers of the tests that a word or a file stands for."""
    if tests in ('whole', 'unit', 'hazards'):
        command = (sys.executable, '-m', f'{__package__}.selection', tests)
        listed = subprocess.run(
            command,
            check=False,
            env=workers.environ(),
            capture_output=True,
            text=True,
        )
        # Nova and eventlet always have something to say.
        if listed.returncode:
            sys.exit(f'Nova has not told its tests:\n{listed.stderr}')
        return listed.stdout.split()
    path = slice_mod.SLICE if tests == 'slice' else pathlib.Path(tests)
    return path.read_text(encoding='utf-8').split()


def documents(version):
    """Return Nova's documents, which hold the examples of its API.

    They are not in the wheel, so they come from the source distribution.
    """
    folder = WORK / f'nova-{version}' / 'doc'
    if folder.is_dir():
        return folder
    command = [sys.executable, '-m', 'pip', 'download', '--quiet']
    command += ['--no-deps', '--no-binary', 'nova', '--dest', str(WORK)]
    subprocess.run([*command, f'nova=={version}'], check=True)
    with tarfile.open(WORK / f'nova-{version}.tar.gz') as archive:
        inside = f'{folder.parent.name}/{folder.name}/'
        archive.extractall(
            WORK,
            [m for m in archive.getmembers() if m.name.startswith(inside)],
            filter='data',
        )
    return folder


class Run:
    """Tests that are run in one way, and what is kept of that."""

    def __init__(self, tests, way, arguments):
        self.tests = tests
        self.way = way
        self.arguments = arguments
        name = pathlib.Path(tests).stem
        self.folder = (arguments.folder or WORK) / f'{name}-{way}'
        if not arguments.resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.wanted = chosen(tests)

    def result(self):
        """Return what is known so far."""
        records = results.read(self.folder / 'records')
        return results.Result.of(self.way, self.wanted, records)

    def attempt(self, tests, concurrency):
        """Run the tests; return what is known then."""
        listed = self.folder / 'tests.txt'
        listed.write_text('\n'.join(tests) + '\n', encoding='utf-8')
        settings = settings_mod.Settings(
            tests=listed.resolve(),
            documents=documents(results.nova_version()).resolve(),
            records=(self.folder / 'records').resolve(),
            mode=self.way.mode,
            status_format=self.way.status_format,
        )
        workers.run(settings, self.folder, concurrency)
        return self.result()

    def complete(self):
        """Run what is still to be run; return an exit status."""
        print(f'{self.way}: {self.tests}; stestr writes to {self.folder}')
        result = self.result()
        if left := list(result.unexpected):
            result = self.attempt(left, self.arguments.concurrency)
        if again := result.perhaps_by_chance():
            result = result.then(self.attempt(again, concurrency=1))
        result.write(self.arguments.result or self.folder / 'result.json')
        return result.judge()


def main(argv):
    """Run what was asked for; return an exit status."""
    arguments = parsed(argv)
    plan = [(arguments.tests, arguments.mode, arguments.status_format)]
    if arguments.tests == 'ci':
        plan = CI
    statuses = [
        Run(tests, results.Way(mode, status_format), arguments).complete()
        for tests, mode, status_format in plan
    ]
    return max(statuses)


def parsed(argv):
    """Return the arguments of the command."""
    parser = argparse.ArgumentParser(
        prog=f'python -m {__package__}', description=__doc__
    )
    parser.add_argument(
        'tests',
        nargs='?',
        default='slice',
        help='whole, unit, hazards, slice, or a file that names tests; or ci,'
        ' which is all that is run before a change is merged',
    )
    parser.add_argument(
        '--mode',
        choices=['enforce', 'warn', 'off', 'none'],
        default='enforce',
        help='of the drop-in; none runs Nova without it',
    )
    parser.add_argument(
        '--status-format',
        choices=['legacy', 'canonical'],
        default='legacy',
        help='the form that new rows are created in',
    )
    parser.add_argument(
        '--concurrency', type=int, default=0, help='workers; one a CPU'
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='run only the tests that have not been run in this way yet, or'
        ' not with the outcome that is expected',
    )
    parser.add_argument(
        '--folder',
        type=pathlib.Path,
        help='below which records and results are kept, by tests and way',
    )
    parser.add_argument(
        '--result', type=pathlib.Path, help='write the result to this file'
    )
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
