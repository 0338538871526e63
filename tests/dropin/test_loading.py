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

"""How the drop-in gets into a process of Nova's, and into which not.

Each way is tried in a process of its own; without the drop-in, Nova shows
the hazard that it is there for.
"""

import json
import subprocess
import sys
import uuid

from nova import objects as nova_objects
from nova.objects import migration as nova_migration_objects
from oslo_versionedobjects import fixture as ovo_fixture

from nova_migration.conf import opts
from nova_migration.db import schema
from nova_migration.integration import dropin
from tests import base as tests_base
from tests.dropin import base
from tests.dropin import load
from tests.functional import base as functional_base
from tests.nova import base as nova_base
from tests.nova import rows

#: Nova's own pin of it, in its test_objects.
FINGERPRINT = '1.8-6ed577d80e71e9b9d88b8cf358af3781'

NOVAS = 'nova.objects.migration'
OURS = 'nova_migration.integration.dropin.objects'


class LoadingTest(nova_base.NovaTest):
    """In a new process each time."""

    backends = ('sqlite', 'mysql')
    timeout = 900

    def setUp(self):
        super().setUp()
        self.create_instances(rows.INSTANCES)

    def load(self, how, url=None):
        """Load in one way; return what the process says, and its log."""
        return base.run('load', how, url or base.with_word(self.url))

    def test_ways(self):
        """A word in either URL loads it, and so does a call, twice too."""
        schema.expand(self.db, create=True)
        for how, url in (
            ('connection', None),
            ('cell', None),
            ('call', self.url),
            ('twice', None),
        ):
            seen, log = self.load(how, url)
            self.assertEqual(OURS, seen['object'], how)
            self.assertEqual('completed', seen['stale'])
            self.assertEqual(0, seen['found'])
            self.assertEqual(1, log.count('guards the migrations'), log)

    def test_outside_is_as_it_was(self):
        """Neither version, nor columns, nor fields, nor URL show it."""
        schema.expand(self.db, create=True)
        with_it, _log = self.load('cell')
        without, _log = self.load('nothing', self.url)
        for name in ('version', 'columns', 'url'):
            self.assertEqual(without[name], with_it[name])
        self.assertEqual(
            without['primitive']['nova_object.data'].keys(),
            with_it['primitive']['nova_object.data'].keys(),
        )

    def test_without_it(self):
        """Without the word Nova writes done over completed."""
        schema.expand(self.db, create=True)
        seen, log = self.load('nothing', self.url)
        self.assertEqual(NOVAS, seen['object'])
        self.assertEqual(('done', 1), (seen['stale'], seen['found']))
        self.assertNotIn('nova_migration', log)

    def test_not_expanded(self):
        """One line says what to run, and Nova goes on as it was."""
        seen, log = self.load('cell')
        self.assertEqual(('done', 1), (seen['stale'], seen['found']))
        self.assertEqual(1, log.count('the database is not expanded'))
        self.assertIn("'nova-migration-manage db upgrade --expand'", log)

    def test_misconfigured(self):
        """An option that is none has its default, and one line says so.

        Nova goes on being guarded: left alone it would take canonical rows
        for something else.
        """
        schema.expand(self.db, create=True)
        seen, log = self.load('misconfigured')
        self.assertEqual(OURS, seen['object'])
        self.assertEqual('completed', seen['stale'])
        self.assertEqual(1, log.count('mode counts as enforce'), log)
        self.assertEqual(1, log.count('status_format counts as legacy'), log)
        self.assertIn('enforced', log)
        self.assertEqual(
            [('completed', None)],
            [(row.status, row.state) for row in self.rows()],
        )

    def test_threads(self):
        """Cells that are opened at the same time are all read alike."""
        schema.expand(self.db, create=True)
        self.insert(
            migration_type='evacuation',
            status='completed',
            state='evacuated',
            instance_uuid=rows.INSTANCES[0],
            deleted=0,
            hidden=False,
            uuid=str(uuid.uuid4()),
        )
        found, log = self.load('threads')
        self.assertEqual([[['done', OURS]]] * load.THREADS, found)
        self.assertEqual(1, log.count('guards the migrations'), log)

    def test_primitives(self):
        """What either kind of process sends, the other takes in and saves."""
        schema.expand(self.db, create=True)
        word = base.with_word(self.url)
        for sender, receiver in (('nothing', 'cell'), ('cell', 'nothing')):
            urls = {'nothing': self.url, 'cell': word}
            seen, _log = base.run('load', sender, urls[sender])
            sent = seen['primitive']
            self.execute("UPDATE migrations SET status = 'pre-migrating'")
            sent['nova_object.data']['status'] = 'done'
            sent['nova_object.changes'] = ['status']
            answer, _log = base.run(
                'load', receiver, urls[receiver], json.dumps(sent)
            )
            self.assertEqual('1.8', answer['nova_object.version'])
            self.assertEqual('done', answer['nova_object.data']['status'])
            self.assertNotIn('nova_object.changes', answer)
            self.assertEqual(
                sent['nova_object.data'].keys(),
                answer['nova_object.data'].keys(),
            )


functional_base.on_every_database(LoadingTest)


class UnknownTest(nova_base.NovaTest):
    """A Nova that the drop-in does not know, or that it does not fit."""

    backends = ('sqlite', 'mysql', 'postgresql')
    timeout = 900

    def setUp(self):
        super().setUp()
        self.create_instances(rows.INSTANCES)

    def load(self, how):
        """Load in one way; return what the process says, and its log."""
        return base.run('load', how, base.with_word(self.url))

    def canonical_row(self):
        """Insert what such a Nova would misread."""
        return self.insert(
            migration_type='resize',
            status='completed',
            state='awaiting-confirmation',
            instance_uuid=rows.INSTANCES[0],
            deleted=0,
            hidden=False,
            uuid=str(uuid.uuid4()),
        )

    def check_refused(self, how, why, has):
        """Expect the database not to be opened, however often."""
        seen, log = self.load(how)
        self.assertEqual(['refused'], list(seen), log)
        first, second = seen['refused']
        self.assertEqual(first, second)
        for part in (why, f'has {has}', 'db restore', 'on_unknown = warn'):
            self.assertIn(part, first)
        self.assertEqual(1, log.count(first), log)

    def check_left_alone(self, how, why):
        """Expect Nova to go on as it was, and one line that is true."""
        seen, log = self.load(how)
        self.assertEqual((NOVAS, 'done'), (seen['object'], seen['stale']))
        self.assertEqual(1, log.count(why), log)
        self.assertIn('has legacy rows only', log)
        self.assertNotIn('guards the migrations', log)

    def test_legacy_rows(self):
        """Without canonical rows Nova goes on as it was, expanded or not."""
        self.check_left_alone('unknown', 'its release is 35.0.0')
        schema.expand(self.db, create=True)
        self.check_left_alone('unknown', 'its release is 35.0.0')
        self.check_left_alone('unfit', 'does not take f')

    def test_canonical_rows(self):
        """Over a canonical row the database is not opened."""
        schema.expand(self.db, create=True)
        row_id = self.canonical_row()
        before = self.row(row_id)
        self.check_refused('unknown', 'its release is 35.0.0', 'canonical')
        self.check_refused('unfit', 'does not take f', 'canonical rows')
        self.assertEqual([before], self.rows())

    def test_contracted(self):
        """Nor is one that would refuse what such a Nova writes."""
        schema.expand(self.db, create=True)
        schema.contract(self.db)
        self.check_refused('unknown', 'its release is 35.0.0', 'the check')

    def test_lenient(self):
        """It is, if the operator says so; the log says what breaks."""
        schema.expand(self.db, create=True)
        self.canonical_row()
        seen, log = self.load('lenient')
        self.assertEqual((NOVAS, 'done'), (seen['object'], seen['stale']))
        self.assertEqual(1, log.count("calls 'finished' and 'done'"), log)


functional_base.on_every_database(UnknownTest)


class ObjectTest(tests_base.TestCase):
    """The object is what every other service takes it for."""

    def test_fingerprint(self):
        """Nova's own pin of the object holds with the drop-in."""
        nova_objects.register_all()
        dropin.register()
        self.assertEqual(OURS, nova_objects.Migration.__module__)
        for kind in (nova_migration_objects.Migration, nova_objects.Migration):
            checker = ovo_fixture.ObjectVersionChecker({'Migration': [kind]})
            self.assertEqual(FINGERPRINT, checker.get_hashes()['Migration'])

    def test_names_over_rpc(self):
        """A conductor is asked for methods by the names that it has."""
        nova_objects.register_all()
        dropin.register()
        for name in ('create', 'save'):
            method = getattr(nova_objects.Migration, name)
            self.assertEqual(name, method.original_fn.__name__)
            self.assertEqual(name, method.__name__)


class ConfigurationTest(tests_base.TestCase):
    """The options are where an operator of Nova looks for them."""

    def test_generator(self):
        """oslo-config-generator prints ours beside Nova's."""
        done = subprocess.run(
            [
                sys.executable,
                '-m',
                'oslo_config.generator',
                '--namespace',
                'nova_migration',
            ],
            capture_output=True,
            check=True,
            text=True,
            timeout=120,
        )
        self.assertIn(f'[{opts.GROUP}]', done.stdout)
        for line in (
            '#mode = enforce',
            '#status_format = legacy',
            '#on_unknown = refuse',
        ):
            self.assertIn(line, done.stdout)
