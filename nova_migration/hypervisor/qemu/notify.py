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


"""Changes as notifications on the message bus, as other services send them.

It needs oslo.messaging: ``pip install nova-migration[notifications]``.
"""

from typing import Any

from oslo_config import cfg
import oslo_messaging

from nova_migration.hypervisor.qemu import link

EVENT_TYPE = 'migration.state.changed'
TOPIC = 'nova_migration_notifications'


def payload(change: link.Change) -> dict[str, Any]:
    """Return a change as a message holds it."""
    return {
        'migration_uuid': change.migration_uuid,
        'event': change.event,
        'state': change.state,
        'status': change.status,
        'reason': change.reason,
        'qemu': dict(change.conclusion.to_dict()),
    }


class Notifier:
    """A subscriber that sends each change.

    :param conf: has the options of oslo.messaging
    :param url: of the transport; without one, as configured
    :param topic: where the notifications go
    """

    def __init__(
        self, conf: cfg.ConfigOpts, url: str | None = None, topic: str = TOPIC
    ):
        transport = oslo_messaging.get_notification_transport(conf, url=url)
        self._notifier = oslo_messaging.Notifier(
            transport,
            publisher_id='nova-migration',
            driver='messagingv2',
            topics=[topic],
        )

    def __call__(self, change: link.Change) -> None:
        """Send a change; an error while sending is logged and no more."""
        self._notifier.info({}, EVENT_TYPE, payload(change))
