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

"""Which of Nova's tests there are, and how to load some of them."""

import contextlib
import importlib
import pkgutil
import re
import sys
import unittest

import testscenarios

#: The functional tests that have to do with moving a server. Rebuild and
#: shelve are among them because they share code, and sometimes rows, with
#: evacuation and resize.
MOVES = re.compile(
    'migrat|resize|evacuat|cross_cell|live_migration|revert|confirm|rebuild'
    '|shelve|regressions',
    re.IGNORECASE,
)

#: Where Nova's functional tests are.
FUNCTIONAL = 'nova.tests.functional'

#: The unit tests of the object and of the database's functions.
UNIT = {
    'nova.tests.unit.objects.test_migration': re.compile(''),
    'nova.tests.unit.db.main.test_api': re.compile('Migration'),
}


def tests_in(module):
    """Return the tests in a module, one for each of their scenarios."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    return list(testscenarios.generate_scenarios(suite))


def names_in(module):
    """Return the identifiers of the tests in a module."""
    return [test.id() for test in tests_in(module)]


def functional():
    """Return the functional tests of moves."""
    package = importlib.import_module(FUNCTIONAL)
    found = []
    for entry in pkgutil.walk_packages(package.__path__, f'{FUNCTIONAL}.'):
        if entry.name.rpartition('.')[2].startswith('test_'):
            found += names_in(importlib.import_module(entry.name))
    return sorted({name for name in found if MOVES.search(name)})


def unit():
    """Return the unit tests of the migration's object and functions."""
    return sorted(
        name
        for module, words in UNIT.items()
        for name in names_in(importlib.import_module(module))
        if words.search(name.rsplit('.', 2)[1])
    )


def hazards():
    """Return our own tests on Nova's code, which need its fixtures."""
    package = importlib.import_module('tests.nova_hazards')
    return [
        name
        for entry in pkgutil.iter_modules(package.__path__)
        if entry.name.startswith('test_')
        for name in names_in(
            importlib.import_module(f'{package.__name__}.{entry.name}')
        )
    ]


WORDS = {'whole': functional, 'unit': unit, 'hazards': hazards}


def load(names):
    """Return a suite of the tests named, with only their modules imported."""
    wanted = set(names)
    # What a scenario is called follows in parentheses.
    modules = {name.partition('(')[0].rsplit('.', 2)[0] for name in names}
    suite = unittest.TestSuite()
    for module in sorted(modules):
        tests = tests_in(importlib.import_module(module))
        suite.addTests(test for test in tests if test.id() in wanted)
    return suite


def main(argv):
    """Print the identifiers of the tests that a word stands for."""
    # Nova logs to standard output while its tests are imported.
    with contextlib.redirect_stdout(sys.stderr):
        found = WORDS[argv[0]]()
    print(*found, sep='\n')


if __name__ == '__main__':
    main(sys.argv[1:])
