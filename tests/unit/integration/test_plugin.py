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

"""The word in the URL, in a process that is not Nova's."""

import importlib.metadata
import subprocess
import sys

import sqlalchemy as sa

from nova_migration.integration import plugin
from tests import base


class PluginTest(base.TestCase):
    """Our own commands open the URLs that Nova's services do."""

    def test_entry_point(self):
        """SQLAlchemy finds the plugin by its name."""
        (found,) = importlib.metadata.entry_points(
            group='sqlalchemy.plugins', name='nova_migration'
        )
        self.assertIs(plugin.Plugin, found.load())

    def test_engine(self):
        """An engine is made as without the word, and does not show it."""
        engine = sa.create_engine('sqlite://?plugin=nova_migration')
        self.addCleanup(engine.dispose)
        self.assertEqual('sqlite://', str(engine.url))
        with engine.connect() as connection:
            self.assertEqual(1, connection.scalar(sa.text('SELECT 1')))

    def test_nothing_of_nova(self):
        """Where Nova is not, nothing is looked for or put in its place."""
        code = (
            'import sys; import sqlalchemy as sa;'
            ' sa.create_engine("sqlite://?plugin=nova_migration").connect();'
            ' print([name for name in sys.modules if'
            ' name.partition(".")[0] == "nova" or "dropin" in name])'
        )
        done = subprocess.run(
            [sys.executable, '-c', code],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        self.assertEqual('[]', done.stdout.strip())
