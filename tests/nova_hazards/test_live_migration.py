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

"""A live migration that the user aborts."""

from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.libvirt import base as libvirt_base

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
