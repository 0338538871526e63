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

"""What is built and configured is what is there."""

import ast
import configparser
import importlib
import pathlib
import re
import subprocess
import sys
import tomllib

from packaging import requirements
import setuptools

from tests import base

ROOT = base.ROOT
ALEMBIC = ROOT / 'alembic'

#: Folders with source of ours.
SOURCES = ('nova_migration', 'alembic', 'benchmarks', 'tests', 'tools')


#: Ours, Nova where it is installed, and what extras bring.
NOT_REQUIRED = {'nova', 'nova_migration', 'oslo_messaging', 'qemu'}


def pyproject():
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / 'pyproject.toml').read_text())


def ini(name):
    """Return an ini file of the checkout."""
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    parsed.read_string((ROOT / name).read_text(), name)
    return parsed


def _imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition('.')[0]


class PackagesTest(base.TestCase):
    """The packages that the wheel holds."""

    def setUp(self):
        super().setUp()
        self.setuptools = pyproject()['tool']['setuptools']

    def test_every_package_is_listed(self):
        """The list has every folder, and the two that are mapped."""
        found = setuptools.find_packages(
            str(ROOT), include=['nova_migration*']
        )
        mapped = ['nova_migration.alembic', 'nova_migration.alembic.versions']

        self.assertEqual(
            sorted(found + mapped), sorted(self.setuptools['packages'])
        )

    def test_scripts_are_mapped_into_the_package(self):
        """The folder alembic/ is shipped inside of the package."""
        self.assertEqual(
            {'nova_migration.alembic': 'alembic'},
            self.setuptools['package-dir'],
        )
        self.assertTrue((ALEMBIC / 'env.py').is_file())
        self.assertNotEqual([], list((ALEMBIC / 'versions').glob('*.py')))

    def test_data_files_exist(self):
        """Every pattern of package data matches a file."""
        folders = {'nova_migration.alembic': ALEMBIC}
        for package, patterns in self.setuptools['package-data'].items():
            folder = folders.get(package, ROOT / package)
            for pattern in patterns:
                self.assertNotEqual(
                    [], list(folder.glob(pattern)), f'{package}: {pattern}'
                )

    def test_commands_exist(self):
        """Every script and entry point leads to something to call."""
        project = pyproject()['project']
        points = {
            **project['scripts'],
            **project['entry-points']['oslo.config.opts'],
        }
        for point in points.values():
            module, _colon, name = point.partition(':')
            self.assertTrue(
                callable(getattr(importlib.import_module(module), name)), point
            )


class AlembicTest(base.TestCase):
    """Our folder alembic/ and the library of the same name."""

    def test_is_never_a_package(self):
        """There is no __init__.py: it would hide the library."""
        self.assertEqual([], list(ALEMBIC.rglob('__init__.py')))

    def test_library_is_imported_from_the_checkout(self):
        """From the top of the checkout, alembic is still the library."""
        found = subprocess.run(
            [
                sys.executable,
                '-c',
                'import alembic.config; print(alembic.config.__file__)',
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

        self.assertNotIn(ALEMBIC, pathlib.Path(found).parents)
        self.assertTrue(found.endswith('alembic/config.py'), found)


class RequirementsTest(base.TestCase):
    """What has to be installed."""

    #: A name, perhaps extras, lower bound, and the licence.
    LINE = re.compile(r'^([A-Za-z0-9._-]+)(\[\w+\])?>=[\w.]+ # \S.*$')

    def lines(self, name):
        """Return the lines of a file that ask for something."""
        return [
            line
            for line in (ROOT / name).read_text().splitlines()
            if line and not line.startswith('#')
        ]

    def test_every_requirement_has_bound_and_licence(self):
        """A line has a name, a lower bound and the licence."""
        for name in ('requirements.txt', 'test-requirements.txt'):
            lines = self.lines(name)
            self.assertNotEqual([], lines)
            for line in lines:
                self.assertRegex(line, self.LINE, name)

    def test_alphabetical(self):
        """The lines are sorted, so that two changes rarely conflict."""
        for name in ('requirements.txt', 'test-requirements.txt'):
            lines = [line.lower() for line in self.lines(name)]
            self.assertEqual(
                sorted(lines, key=lambda line: re.split(r'[\[>]', line)[0]),
                lines,
            )

    def test_what_is_imported_is_required(self):
        """Each library that the package imports is in requirements.txt."""
        required = {
            self.LINE.match(line)[1].lower().replace('.', '-')
            for line in self.lines('requirements.txt')
        }
        imported = set()
        for module in (ROOT / 'nova_migration').rglob('*.py'):
            imported |= set(_imported(ast.parse(module.read_text())))
        libraries = imported - sys.stdlib_module_names - NOT_REQUIRED
        names = {library.lower().replace('_', '-') for library in libraries}

        self.assertEqual(set(), names - required)


def _constraints(name):
    """Return what a file in constraints/ asks for, by package."""
    lines = (ROOT / 'constraints' / name).read_text().splitlines()
    asked = [
        requirements.Requirement(line)
        for line in lines
        if line and not line.startswith('#')
    ]
    return {_canonical(one.name): one.specifier for one in asked}


def _canonical(name):
    return re.sub(r'[-_.]+', '-', name).lower()


class BoundsTest(base.TestCase):
    """The package installs beside what OpenStack pins, and the tests too."""

    SERIES = ('2025.1', '2025.2', '2026.1')

    def required(self):
        """Return every requirement, those of the extras included."""
        lines = [
            line.partition(' #')[0]
            for name in ('requirements.txt', 'test-requirements.txt')
            for line in (ROOT / name).read_text().splitlines()
            if line and not line.startswith('#')
        ]
        extras = pyproject()['project']['optional-dependencies'].values()
        lines += [line for extra in extras for line in extra]
        return [requirements.Requirement(line) for line in lines]

    def test_no_bound_is_above_what_a_series_pins(self):
        """Each series' version of a library satisfies the requirement."""
        for series in self.SERIES:
            pins = _constraints(f'{series}.txt')
            for asked in self.required():
                (pin,) = pins[_canonical(asked.name)]
                self.assertTrue(
                    asked.specifier.contains(pin.version),
                    f'{series} has {asked.name} {pin.version}, and not'
                    f' {asked.specifier}',
                )

    def test_lowest_is_what_the_bounds_are(self):
        """What is tested as the lowest versions is what is asked for."""
        printed = subprocess.run(
            [sys.executable, ROOT / 'tools/constraints.py', 'lowest'],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        lowest = ROOT / 'constraints/lowest.txt'

        self.assertEqual(printed, lowest.read_text())
        pins = _constraints('lowest.txt')
        for asked in self.required():
            (bound,) = asked.specifier
            (pin,) = pins[_canonical(asked.name)]
            self.assertEqual(('>=', '=='), (bound.operator, pin.operator))
            self.assertEqual(bound.version, pin.version, asked.name)

    def test_each_file_of_constraints_is_tested(self):
        """Every file in constraints/ is read by an environment of tox."""
        tox = (ROOT / 'tox.ini').read_text()
        files = {path.name for path in (ROOT / 'constraints').iterdir()}

        self.assertLess({f'{series}.txt' for series in self.SERIES}, files)
        for file in files:
            self.assertIn(f'constraints/{file}', tox)


class PythonTest(base.TestCase):
    """The versions of Python that are promised."""

    def test_each_has_an_environment(self):
        """tox tests each version after the first, which py3 is run with."""
        classifier = re.compile(r'Programming Language :: Python :: 3\.(\d+)$')
        project = pyproject()['project']
        minors = [
            found[1]
            for found in map(classifier.match, project['classifiers'])
            if found
        ]

        self.assertEqual(f'>=3.{minors[0]}', project['requires-python'])
        self.assertIn(
            f'testenv:py3{{{",".join(minors[1:])}}}', ini('tox.ini').sections()
        )
        jobs = (ROOT / '.zuul.yaml').read_text()
        for minor in minors[1:]:
            self.assertIn(f'- openstack-tox-py3{minor}\n', jobs)


class ConfigurationTest(base.TestCase):
    """The configuration of the tools is something that they understand."""

    def test_stestr(self):
        """stestr finds the unit tests from the top of the checkout."""
        default = ini('.stestr.conf').defaults()

        self.assertEqual({'test_path', 'top_dir'}, set(default))
        self.assertTrue((ROOT / default['test_path']).is_dir())
        self.assertEqual(ROOT, (ROOT / default['top_dir']).resolve())

    def test_tox(self):
        """Every environment in the list of tox is there to be run."""
        tox = ini('tox.ini')
        sections = {
            name.removeprefix('testenv:').partition('{')[0]
            for name in tox.sections()
        }
        for name in tox['tox']['envlist'].split(','):
            self.assertIn(name.strip(), sections | {'py3'})

    def test_tox_environments_say_what_they_are_for(self):
        """Every environment has a description."""
        tox = ini('tox.ini')
        for name in tox.sections():
            if name.startswith('testenv'):
                self.assertIn('description', tox[name], name)

    def test_every_source_has_the_licence(self):
        """Every Python file that is not empty begins with the licence."""
        for folder in SOURCES:
            for module in (ROOT / folder).rglob('*.py'):
                text = module.read_text()
                if text:
                    self.assertIn(
                        'Licensed under the Apache License, Version 2.0',
                        text[:200],
                        module,
                    )
