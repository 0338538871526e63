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

"""A live migration that is aborted, or taken for stale."""

from unittest import mock

from nova import exception
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.libvirt import base as libvirt_base
from nova.virt import fake
from nova.virt.libvirt import migration as libvirt_migration

from tests.nova_hazards import base


class AbortTest(
    libvirt_base.LibvirtMigrationMixin,
    libvirt_base.ServersTestBase,
):
    """The driver of libvirt tells of the end of one job twice."""

    ADMIN_API = True
    microversion = 'latest'

    assertHazard = base.HazardTest.assertHazard
    migrations = base.HazardTest.migrations
    statuses = base.HazardTest.statuses

    def setUp(self):
        super().setUp()
        self.guarded = base.is_guarded()
        self.src = self.computes[self.start_compute(hostname='src')]
        self.dest = self.computes[self.start_compute(hostname='dest')]

    def _migrate_stub(self, domain, destination, params, flags):
        """End as libvirt does when the job has been aborted."""
        (migration,) = self.migrations(self.server)
        self.api.api_delete(
            f'/servers/{self.server["id"]}/migrations/{migration["id"]}'
        )
        domain._job_type = fakelibvirt.VIR_DOMAIN_JOB_CANCELLED
        raise fakelibvirt.make_libvirtError(
            fakelibvirt.libvirtError,
            'operation aborted: migration out job: canceled by client',
            error_code=fakelibvirt.VIR_ERR_OPERATION_ABORTED,
        )

    def test_error_after_cancelled(self):
        """The row says that it was cancelled, whatever is raised later.

        The driver has rolled back when it raises what the job ended with.
        """
        self.server = self._create_server(host='src', networks='none')
        self._live_migrate(
            self.server,
            migration_expected_state='cancelled' if self.guarded else 'error',
            server_expected_state='ERROR',
            wait_for_fault_key=False,
        )
        self.assertHazard(
            self.statuses(self.server),
            without=['error'],
            within=['cancelled'],
        )


class StaleContextTest(base.HazardTest):
    """The instance has the context of a resize that had failed before.

    Each audit of the source takes the row of the live migration for stale,
    and writes error to it.
    """

    CAST_AS_CALL = False

    def setUp(self):
        super().setUp()
        self.audited = []
        prepare = fake.FakeDriver.pre_live_migration
        migrate = fake.FakeDriver.live_migration

        def pre_live_migration(driver, *args, **kwargs):
            self.audit()
            return prepare(driver, *args, **kwargs)

        def live_migration(driver, context, instance, *args):
            *_, migrate_data = args
            self.audit()
            libvirt_migration.trigger_postcopy_switch(
                mock.Mock(), instance, migrate_data.migration
            )
            self.audit()
            return migrate(driver, context, instance, *args)

        name = 'nova.virt.fake.FakeDriver'
        self.stub_out(f'{name}.pre_live_migration', pre_live_migration)
        self.stub_out(f'{name}.live_migration', live_migration)

    def audit(self):
        """Run the resource tracker of the source."""
        before = self.statuses(self.server)[-1]
        self.computes['host1'].manager.update_available_resource(self.context)
        self.audited.append((before, self.statuses(self.server)[-1]))

    def fail_a_resize(self):
        """Have a resize fail, and the operator make the server active."""
        with mock.patch.object(
            fake.FakeDriver,
            'migrate_disk_and_power_off',
            side_effect=exception.ResizeError(reason='the disk is full'),
        ):
            self._migrate_server(self.server, expected_state='ERROR')
            self._wait_for_migration_status(self.server, ['error'])
        self.api.post_server_action(
            self.server['id'], {'os-resetState': {'state': 'active'}}
        )
        self._wait_for_state_change(self.server, 'ACTIVE')

    def test_goes_on(self):
        """The guest that has arrived is the one that Nova goes on with.

        Were a report refused, it would run on the destination while Nova has
        it on the source, and starts it there on the next reboot.
        """
        self.server = self.boot('host1')
        self.fail_a_resize()
        self._live_migrate(self.server, host='host2')

        self.assertEqual(
            [
                ('preparing', 'error'),
                ('running', 'error'),
                ('running (post-copy)', 'error'),
            ],
            self.audited,
        )
        self.assertEqual(['error', 'completed'], self.statuses(self.server))
        self.assertEqual(
            'host2',
            self.api.get_server(self.server['id'])['OS-EXT-SRV-ATTR:host'],
        )
