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

"""A resized server, confirmed by more than one."""

from unittest import mock

from nova import exception
from nova import objects as nova_objects
from nova.compute import api as compute_api

from tests.nova_hazards import base


class ConfirmTwiceTest(base.HazardTest):
    """Two requests read the row while it awaited confirmation."""

    def test_second_confirm(self):
        """The second one is refused, and the server goes on.

        Nova begins to clean the source again, fails, and puts the server
        that had been confirmed into error.
        """
        server = self.boot('host1')
        self._migrate_server(server)
        stale = self.loaded(server)
        instance = nova_objects.Instance.get_by_uuid(
            self.context, server['id'], expected_attrs=['flavor']
        )
        self._confirm_resize(server)

        # The fixture has the API wait for the compute, and fail as it fails.
        self.assertRaises(
            exception.InstanceInvalidState if self.guarded else AttributeError,
            compute_api.API().confirm_resize,
            self.context,
            instance,
            migration=stale,
        )

        self.assert_confirmed(server)


class AutomaticConfirmTest(base.HazardTest):
    """What ``_poll_unconfirmed_resizes`` finds, and does to it."""

    def setUp(self):
        super().setUp()
        self.flags(resize_confirm_window=60)

    def poll(self, host):
        """Run the periodic task of a host."""
        self.computes[host].manager._poll_unconfirmed_resizes(self.context)

    def test_user_is_faster(self):
        """What the user has confirmed meanwhile does not become an error."""
        server = self.boot('host1')
        self._migrate_server(server)
        self.age()
        find = nova_objects.MigrationList.get_unconfirmed_by_dest_compute

        def find_and_let_the_user_confirm(*args, **kwargs):
            found = list(find(*args, **kwargs))
            self.assertEqual(1, len(found))
            self._confirm_resize(server)
            return found

        with mock.patch(
            'nova.objects.MigrationList.get_unconfirmed_by_dest_compute',
            find_and_let_the_user_confirm,
        ):
            self.poll('host2')

        self.assertHazard(
            self.statuses(server), without=['error'], within=['confirmed']
        )

    def ask_too_late(self, server, action):
        """Be confirmed by Nova in the middle of a request of the user's.

        :returns: the HTTP status of the answer
        """
        find = nova_objects.Migration.get_by_instance_and_status

        def find_and_confirm(*args, **kwargs):
            found = find(*args, **kwargs)
            self.poll('host2')
            return found

        with mock.patch(
            'nova.objects.Migration.get_by_instance_and_status',
            find_and_confirm,
        ):
            return self.api.api_post(
                f'/servers/{server["id"]}/action',
                {action: None},
                check_response_status=(),
            ).status

    def test_user_confirms_too(self):
        """The user is told of a conflict, and the server goes on."""
        server = self.boot('host1')
        self._migrate_server(server)
        self.age()

        answer = self.ask_too_late(server, 'confirmResize')

        # The fixture has the API wait for the compute, and fail as it fails.
        self.assertHazard(answer, without=500, within=409)
        self.assert_confirmed(server)

    def test_user_reverts_too_late(self):
        """The user is told of a conflict, and the guest stays.

        Nova destroys it on the destination, when the source has no copy any
        more. What it wrote to the server before it asked for the status is
        there, and the operator takes it back.
        """
        server = self.boot('host1')
        self._migrate_server(server)
        self.age()

        with self.calls_of('destroy') as destroyed:
            answer = self.ask_too_late(server, 'revertResize')

        self.assertHazard(answer, without=202, within=409)
        guest = ('host2', server['id'])
        self.assertHazard(guest in destroyed, without=True, within=False)
        if not self.guarded:
            return
        self.assertEqual(['confirmed'], self.statuses(server))
        self.assertEqual(
            'resize_reverting',
            self.api.get_server(server['id'])['OS-EXT-STS:task_state'],
        )
        self.api.post_server_action(
            server['id'], {'os-resetState': {'state': 'active'}}
        )
        found = self.api.get_server(server['id'])
        self.assertEqual(
            ('ACTIVE', None), (found['status'], found['OS-EXT-STS:task_state'])
        )

    def test_only_what_awaits_confirmation(self):
        """Of the completed moves to a host, the unconfirmed are confirmed.

        Nova alone finds no canonical row, and never confirms it.
        """
        resized = self.boot('host1')
        moved = self.boot('host1')
        self._live_migrate(moved, host='host2')
        self._migrate_server(resized)
        self.upgrade()
        self.age()
        before = [
            ('completed', 'completed'),
            ('completed', 'awaiting-confirmation'),
        ]
        self.assertEqual(before, self.stored())

        self.poll('host2')

        self.assertHazard(
            self.stored(),
            without=before,
            within=[('completed', 'completed'), ('confirmed', 'confirmed')],
        )
        self.assertEqual(
            'ACTIVE' if self.guarded else 'VERIFY_RESIZE',
            self.api.get_server(resized['id'])['status'],
        )
