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

"""What the tests of hazards share: two hosts, and what the rows say.

Each of these tests is run twice, without the drop-in and with it, each time
in a process of its own: `python -m tests.nova_suite hazards`. It asserts
both, what happens to an unmodified Nova and what happens instead.
"""

import contextlib
from unittest import mock

from nova import context as nova_context
from nova import objects as nova_objects
from nova.db.main import api as nova_db_api
from nova.tests.functional import integrated_helpers
from nova.virt import fake
import sqlalchemy as sa

from nova_migration.db import engine as engine_mod
from nova_migration.db import schema
from nova_migration.db import upgrade
from tests.nova_suite import settings


def is_guarded():
    """Return whether the drop-in is there."""
    return settings.from_environ().mode != settings.WITHOUT


class HazardTest(integrated_helpers._IntegratedTestBase):
    """Two computes in one cell, and an operator who may do anything."""

    ADMIN_API = True
    microversion = 'latest'

    def setUp(self):
        super().setUp()
        self.guarded = is_guarded()
        self.context = nova_context.get_admin_context()

    def _setup_compute_service(self):
        for host in ('host1', 'host2'):
            self._start_compute(host)

    def assertHazard(self, found, *, without, within):
        """Assert what happens to Nova as it is, or with the drop-in."""
        self.assertEqual(within if self.guarded else without, found)

    def assert_confirmed(self, server):
        """A second confirmation spoils the first one of an unguarded Nova."""
        self.assertHazard(
            self.statuses(server), without=['error'], within=['confirmed']
        )
        self.assertHazard(
            self.api.get_server(server['id'])['status'],
            without='ERROR',
            within='ACTIVE',
        )

    @property
    def engine(self):
        """The engine of the cell's database."""
        return nova_db_api.get_engine(context=self.context)

    def boot(self, host='host1'):
        """Return an active server on a host."""
        return self._create_server(host=host, networks='none')

    def migrations(self, server):
        """Return a server's migrations, as the REST API shows them."""
        found = self.api.api_get(
            f'/os-migrations?instance_uuid={server["id"]}'
        ).body['migrations']
        return sorted(found, key=lambda migration: migration['id'])

    def statuses(self, server):
        """Return the statuses of a server's migrations, the first first."""
        return [found['status'] for found in self.migrations(server)]

    def loaded(self, server):
        """Return the newest migration of a server as Nova's object."""
        newest = self.migrations(server)[-1]['id']
        return nova_objects.Migration.get_by_id(self.context, newest)

    def stored(self):
        """Return status and state of each row, as they are stored."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                sa.text('SELECT status, state FROM migrations ORDER BY id')
            )
            return [tuple(row) for row in rows]

    def age(self):
        """Have every migration be an hour old."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.text(
                    'UPDATE migrations'
                    " SET updated_at = '2000-01-01 00:00:00.000000'"
                )
            )

    def upgrade(self):
        """Do what the operator does until every row is canonical."""
        database = engine_mod.Database(self.engine)
        schema.expand(database, create=True)
        list(upgrade.migrate(database))

    def take_down(self, host):
        """Stop a compute service, and have everybody know that it is down."""
        self.computes[host].stop()
        self.force_down(host, True)

    def bring_up(self, host):
        """Start a compute service again, its guests being where they were."""
        compute = self.computes[host]
        self.computes[host] = self.restart_compute_service(compute)

    def force_down(self, host, is_down):
        """Say whether a compute service is down for certain."""
        (service,) = self.api.api_get(
            f'/os-services?binary=nova-compute&host={host}'
        ).body['services']
        return self.api.api_put(
            f'/os-services/{service["id"]}', {'forced_down': is_down}
        )

    @contextlib.contextmanager
    def calls_of(self, name):
        """Note the host and the server of each call of a fake driver's."""
        original = getattr(fake.FakeDriver, name)
        calls = []

        def call(driver, *args, **kwargs):
            instance = next(
                arg for arg in args if isinstance(arg, nova_objects.Instance)
            )
            calls.append((driver._host, instance.uuid))
            return original(driver, *args, **kwargs)

        with mock.patch.object(fake.FakeDriver, name, call):
            yield calls
