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

        self.assertHazard(
            self.statuses(server), without=['error'], within=['confirmed']
        )
        self.assertHazard(
            self.api.get_server(server['id'])['status'],
            without='ERROR',
            within='ACTIVE',
        )


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
