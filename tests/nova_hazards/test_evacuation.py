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

"""An evacuated server, and the source host that comes back."""

from unittest import mock

from nova.compute import manager
from nova.compute import resource_tracker
from nova.conductor import api as conductor_api
from nova.tests.functional.api import client

from tests.nova_hazards import base


class ReturnDuringRebuildTest(base.HazardTest):
    """The source host is back before the destination has rebuilt."""

    def setUp(self):
        super().setUp()
        rebuild = manager.ComputeManager._do_rebuild_instance

        def return_and_rebuild(*args, **kwargs):
            self.bring_up('host1')
            return rebuild(*args, **kwargs)

        self.stub_out(
            'nova.compute.manager.ComputeManager._do_rebuild_instance',
            return_and_rebuild,
        )

    def test_done_after_completed(self):
        """The source has cleaned up; the late 'done' must not undo that.

        Nova then believes that there still is something to clean up, so that
        the host cannot be declared up before it is restarted.
        """
        server = self.boot('host1')
        self.take_down('host1')
        self.api.post_server_action(server['id'], {'evacuate': {}})
        self._wait_for_server_parameter(
            server,
            {'OS-EXT-SRV-ATTR:host': 'host2', 'OS-EXT-STS:task_state': None},
        )

        self.assertHazard(
            self.statuses(server), without=['done'], within=['completed']
        )
        try:
            self.force_down('host1', False)
            refused = False
        except client.OpenStackApiException as error:
            self.assertEqual(400, error.response.status_code)
            refused = True
        self.assertHazard(refused, without=True, within=False)


class ReturnBeforeClaimTest(base.HazardTest):
    """The source host is back before a destination has claimed the row."""

    def setUp(self):
        super().setUp()
        claim = resource_tracker.ResourceTracker.rebuild_claim

        def return_and_claim(*args, **kwargs):
            self.bring_up('host1')
            self.before_claim = self.statuses(self.server)
            return claim(*args, **kwargs)

        self.stub_out(
            'nova.compute.resource_tracker.ResourceTracker.rebuild_claim',
            return_and_claim,
        )

    def test_goes_on(self):
        """The guest is rebuilt, because nobody else has it any more."""
        self.server = self.boot('host1')
        self.take_down('host1')
        self.api.post_server_action(self.server['id'], {'evacuate': {}})
        self._wait_for_server_parameter(
            self.server,
            {
                'OS-EXT-SRV-ATTR:host': 'host2',
                'OS-EXT-STS:task_state': None,
                'status': 'SHUTOFF',
            },
        )

        self.assertEqual(['completed'], self.before_claim)
        self.assertHazard(
            self.statuses(self.server), without=['done'], within=['completed']
        )


class GivenUpTest(base.HazardTest):
    """Somebody takes a slow rebuild for failed, and it is done after all."""

    def test_source_returns(self):
        """The source host destroys its copy, so that one guest is left."""
        server = self.boot('host1')
        self.take_down('host1')
        rebuild = manager.ComputeManager._do_rebuild_instance

        def give_up_and_rebuild(*args, **kwargs):
            migration = self.loaded(server)
            migration.status = 'error'
            migration.save()
            return rebuild(*args, **kwargs)

        self.stub_out(
            'nova.compute.manager.ComputeManager._do_rebuild_instance',
            give_up_and_rebuild,
        )
        self._evacuate_server(server, expected_host='host2')

        with self.calls_of('destroy') as destroyed:
            self.bring_up('host1')
        self.assertEqual([('host1', server['id'])], destroyed)
        self.assertEqual(['completed'], self.statuses(server))


class LostTest(base.HazardTest):
    """An evacuation that no conductor has heard of."""

    def lose_evacuation(self, server):
        """Leave its row, and have the operator reset the server."""
        lost = mock.patch.object(
            conductor_api.ComputeTaskAPI, 'rebuild_instance'
        )
        with lost:
            self.api.post_server_action(server['id'], {'evacuate': {}})
        self.api.post_server_action(
            server['id'], {'os-resetState': {'state': 'active'}}
        )
        self.assertEqual(['accepted'], self.statuses(server))


class EvacuatedAgainTest(LostTest):
    """A server whose first evacuation was lost, and which has a second one."""

    def test_source_returns(self):
        """The second evacuation has its own row, and all of it is over.

        Nova takes the row of the first one for it, and of these two the
        source host completes one: it cannot be declared up for the other.
        """
        server = self.boot('host1')
        self.take_down('host1')
        self.lose_evacuation(server)
        self._evacuate_server(server, expected_host='host2')
        self.assertHazard(
            self.statuses(server),
            without=['done', 'accepted'],
            within=['error', 'done'],
        )

        self.bring_up('host1')
        self.assertHazard(
            self.statuses(server),
            without=['done', 'completed'],
            within=['error', 'completed'],
        )
        try:
            self.force_down('host1', False)
            refused = False
        except client.OpenStackApiException as error:
            self.assertEqual(400, error.response.status_code)
            refused = True
        self.assertHazard(refused, without=True, within=False)


class RebuildInPlaceTest(LostTest):
    """A server that was to be evacuated, and was rebuilt where it is."""

    def forget_evacuation(self, server):
        """Leave the row of an evacuation from a host that is up again."""
        self.force_down('host1', True)
        self.lose_evacuation(server)
        self.force_down('host1', False)

    def test_guest_is_not_destroyed(self):
        """The restarted host keeps the guest that was rebuilt on it.

        Nova takes the row for that of the rebuild, says that it is done, and
        destroys the only guest there is.
        """
        server = self.boot('host1')
        self.forget_evacuation(server)
        self._rebuild_server(server, server['image']['id'])
        self.assertHazard(
            self.statuses(server), without=['done'], within=['failed']
        )
        self.assertEqual('ACTIVE', self.api.get_server(server['id'])['status'])

        with self.calls_of('destroy') as destroyed:
            self.bring_up('host1')
        copy = ('host1', server['id'])
        self.assertHazard(destroyed, without=[copy], within=[])


class ReturnAfterUpgradeTest(base.HazardTest):
    """The operator upgrades the database while the source host is down."""

    def test_destroyed_once(self):
        """The source host finds the canonical row and destroys its copy.

        It does so once: a server that has moved back since is left alone.
        """
        server = self.boot('host1')
        self.take_down('host1')
        self._evacuate_server(server, expected_host='host2')
        self.upgrade()
        self.assertEqual([('completed', 'evacuated')], self.stored())

        with self.calls_of('destroy') as destroyed:
            self.bring_up('host1')
        copy = ('host1', server['id'])
        self.assertHazard(destroyed, without=[], within=[copy])
        self.assertHazard(
            self.stored(),
            without=[('completed', 'evacuated')],
            within=[('completed', 'completed')],
        )
        if not self.guarded:
            return

        self.force_down('host1', False)
        self._start_server(server)
        self._live_migrate(server, host='host1')
        with self.calls_of('destroy') as destroyed:
            self.bring_up('host1')
        self.assertEqual([], destroyed)
        self.assertEqual(['completed', 'completed'], self.statuses(server))
