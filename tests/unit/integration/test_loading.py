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

"""A Nova that is not known stays as it is."""

from concurrent import futures
import importlib.metadata
import sys
import threading
from unittest import mock

import fixtures

from nova_migration.integration import release
from nova_migration.integration.dropin import loading
from nova_migration.integration.dropin import unknown
from tests import base


class Nova:
    """Counts who is at work on it at the same time."""

    def __init__(self):
        self.inside = self.most = 0
        self.second = threading.Event()

    def difference(self):
        """Be as it is known."""

    def install(self):
        """Take a while, unless a second one comes in."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside > 1:
            self.second.set()
        self.second.wait(0.1)
        self.inside -= 1


class LoadingTest(base.TestCase):
    """The release is looked at before anything of Nova's is imported."""

    def setUp(self):
        super().setUp()
        self.watched = self.useFixture(
            fixtures.MockPatchObject(unknown, 'watch')
        ).mock

    def install(self, version):
        """Make it look as if a release of Nova was installed."""

        def find(name):
            if version is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return version

        self.useFixture(
            fixtures.MonkeyPatch('importlib.metadata.version', find)
        )

    def test_known_releases(self):
        """Every release of a known series is known."""
        for version in ('34.0.0', '34.1.2', '34.0.1.dev7'):
            self.install(version)
            self.assertIsNone(release.difference())

    def test_releases(self):
        """A release says of itself whether it is known."""
        for version, known in (('34.0.1', True), ('35.0.0', False)):
            self.install(version)
            self.assertEqual(release.Release(version), release.beside())
            self.assertEqual(known, release.beside().known)
            self.assertIn(version, release.beside().described)
        self.install(None)
        self.assertFalse(release.beside().known)
        self.assertIn('No Nova', release.beside().described)

    def refused(self):
        """Return why nothing is done, which the databases are told."""
        self.assertFalse(loading.register())
        (said,) = self.watched.call_args.args
        return said

    def test_unknown_release(self):
        """Another release is named, and nothing is done."""
        self.install('35.0.0')
        self.assertEqual('its release is 35.0.0, not 34', self.refused())

    def test_no_release(self):
        """A Nova of which no release is known is left alone."""
        self.install(None)
        self.assertIn('its release is not known', self.refused())

    def test_threads(self):
        """Of several threads one registers, and the others wait for it."""
        self.install('34.0.0')
        nova = Nova()
        self.useFixture(fixtures.MockPatchObject(loading, '_SHAPE', 'nova_x'))
        self.useFixture(
            fixtures.MockPatchObject(loading, '_INSTALL', 'nova_x')
        )
        with (
            mock.patch.dict(sys.modules, nova_x=nova),
            futures.ThreadPoolExecutor(4) as pool,
        ):
            done = list(pool.map(lambda _n: loading.register(), range(4)))
        self.assertEqual([True] * 4, done)
        self.assertEqual(1, nova.most)

    def test_unknown_shape(self):
        """A known release without what is replaced is left alone, too."""
        self.install('34.0.0')
        self.useFixture(
            fixtures.MonkeyPatch(
                'nova_migration.integration.dropin.loading._SHAPE',
                'nova_migration.integration.dropin.no_such_module',
            )
        )
        self.assertIn('no_such_module', self.refused())

    def test_error_without_words(self):
        """An error that says nothing is a difference nevertheless."""
        self.install('34.0.0')
        self.useFixture(fixtures.MockPatchObject(loading, '_SHAPE', 'nova_x'))
        nova = mock.Mock()
        nova.difference.side_effect = TypeError
        with mock.patch.dict(sys.modules, nova_x=nova):
            self.assertIn('TypeError', self.refused())

    def test_does_not_fit(self):
        """What fails while it is being loaded is what is wrong with Nova."""
        self.install('34.0.0')
        self.useFixture(fixtures.MockPatchObject(loading, '_SHAPE', 'nova_x'))
        self.useFixture(
            fixtures.MockPatchObject(loading, '_INSTALL', 'nova_x')
        )
        for error in (AttributeError('gone'), KeyError('gone')):
            nova = mock.Mock()
            nova.difference.return_value = None
            nova.install.side_effect = error
            with mock.patch.dict(sys.modules, nova_x=nova):
                self.assertIn('gone', self.refused())
