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

"""A Nova that has the machines under it, and its cell database.

The drop-in changes Nova for a whole process; so these tests are a run of
their own, and what Nova does without it is asked in other processes.
"""

import datetime
import json
import os
import subprocess
import sys
import uuid

from nova import objects as nova_objects
import nova.conf
from oslo_config import fixture as config_fixture
import sqlalchemy as sa

from nova_migration.conf import opts
from nova_migration.db import models
from nova_migration.db import schema
from nova_migration.integration import dropin
from nova_migration.states import machine_for
from tests import base
from tests.nova import base as nova_base
from tests.nova import rows

INSTANCE = rows.INSTANCES[0]
WORD = 'nova_migration'


def with_word(url):
    """Return a URL with the word that loads the drop-in."""
    url = sa.make_url(url).update_query_dict({'plugin': WORD})
    return url.render_as_string(hide_password=False)


def run(module, *arguments):
    """Run a script of these tests in a new process; return what it says.

    It prints one line of JSON; all of its log is with it.
    """
    done = subprocess.run(
        [sys.executable, '-m', f'tests.dropin.{module}', *arguments],
        capture_output=True,
        check=False,
        cwd=base.ROOT,
        env={**os.environ, 'PYTHONPATH': str(base.ROOT)},
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise AssertionError(f'{module} failed:\n{done.stderr[-4000:]}')
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def received_from(migration, context):
    """Return an object as who it is sent to has it."""
    return nova_objects.Migration.obj_from_primitive(
        migration.obj_to_primitive(), context
    )


class DropinTest(nova_base.NovaTest):
    """Mixed in before a database test: a cell database that is expanded."""

    def setUp(self):
        super().setUp()
        nova_objects.register_all()
        dropin.register()
        self.create_instances(rows.INSTANCES)
        schema.expand(self.db, create=True)
        manager = self.nova_context.db_connection
        for mode in (manager.writer, manager.reader):
            self.assertTrue(dropin.look_again(mode.get_engine()))
        self.config = self.useFixture(config_fixture.Config(nova.conf.CONF))
        self.told = []
        dropin.subscribe(self.told.append)
        self.addCleanup(dropin.unsubscribe, self.told.append)

    def connection(self):
        """Return the URL of the cell, with the word in it."""
        return with_word(self.url)

    def configure(self, **options):
        """Set options of [nova_migration]."""
        self.config.config(group=opts.GROUP, **options)

    def migration(self, row_id):
        """Read a migration as Nova does."""
        return nova_objects.Migration.get_by_id(self.nova_context, row_id)

    def sent(self, migration):
        """Send an object as RPC does."""
        return received_from(migration, self.nova_context)

    def put(self, kind, state, *, canonical, **values):
        """Insert a raw row that is in a state; return its id."""
        cross = values.pop('cross_cell_move', False)
        found = machine_for(kind, cross).state(state)
        status = found.status if canonical else found.legacy
        return self.insert(
            migration_type=kind,
            status=status,
            state=found.name if canonical else None,
            cross_cell_move=cross,
            instance_uuid=INSTANCE,
            deleted=0,
            hidden=False,
            **{'uuid': str(uuid.uuid4()), **values},
        )

    def put_unknown(self, position):
        """Insert a resize with a status, state and kept string; return it."""
        row_id = self.put('resize', 'error', canonical=False)
        columns = ('status', 'state', 'legacy_status')
        self.execute(
            'UPDATE migrations SET status = :status, state = :state,'
            ' legacy_status = :legacy_status, created_at = :now'
            ' WHERE id = :id',
            id=row_id,
            now=datetime.datetime(2026, 1, 1),
            **dict(zip(columns, position, strict=True)),
        )
        return row_id

    def position(self, row_id):
        """Return status, state and kept string of a row, as stored."""
        row = self.row(row_id, models.MIGRATIONS)
        return row.status, row.state, row.legacy_status
