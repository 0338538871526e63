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

"""Choose the tests that CI runs: few, and yet all that Nova was seen to ask.

``python -m tests.nova_suite.slice FOLDER...`` reads the records of whole runs
and writes the names of tests that together ask for each transition that any
test asked for, with the same result. The tests that have to fail are among
them.
"""

import pathlib
import sys

from tests.nova_suite import results

SLICE = pathlib.Path(__file__).with_name('slice.txt')

#: Not chosen, because they need a machine that is not busy: a compute service
#: has to report within six seconds, or threads wait for each other.
HURRIED = (
    'nova.tests.functional.regressions.test_bug_1938326.',
    'nova.tests.functional.libvirt.test_numa_live_migration.',
)

#: What a transition is, whatever the form of the row.
_PARTS = ('machine', 'before', 'asked', 'result')


def _transitions(record):
    return {tuple(asked[part] for part in _PARTS) for asked in record['asked']}


def choose(runs, always=()):
    """Return names of tests that pass, by what each of them adds in a second.

    :param runs: the records of each run, by test
    :param always: the names of tests that are to be among them
    """
    asked, seconds = {}, {}
    for records in runs:
        for name, record in records.items():
            if name not in always and (
                record['outcome'] != 'success' or name.startswith(HURRIED)
            ):
                continue
            asked.setdefault(name, set()).update(_transitions(record))
            seconds[name] = max(seconds.get(name, 0.1), record['seconds'])
    chosen = [name for name in sorted(always) if name in asked]
    missing = set().union(*asked.values())
    missing -= set().union(*(asked[name] for name in chosen))
    while missing:
        best = max(
            sorted(asked),
            key=lambda name: len(asked[name] & missing) / seconds[name],
        )
        chosen.append(best)
        missing -= asked[best]
    return chosen


def main(folders):
    """Write the list."""
    runs = [results.read(pathlib.Path(name, 'records')) for name in folders]
    everything = {name for records in runs for name in records}
    always = {entry['test'] for entry in results.listed_as_prevented()}
    chosen = choose(runs, always & everything)
    SLICE.write_text('\n'.join(sorted(chosen)) + '\n', encoding='utf-8')
    print(f'{len(chosen)} of {len(everything)} tests')


if __name__ == '__main__':
    main(sys.argv[1:])
