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

"""What Nova's tests look for in a checkout, and the wheel has elsewhere."""

import pathlib
import sys

from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import api_samples_test_base
from nova.tests.functional.notification_sample_tests import (
    notification_sample_base,  # noqa: H301
)

PASTE = pathlib.Path(sys.prefix, 'etc', 'nova', 'api-paste.ini')


def set_defaults(conf):
    """Point options at the installed files."""
    conf.set_default('api_paste_config', str(PASTE), group='wsgi')


def each_time(fixture_class, action):
    """Have an action follow a fixture's own set-up."""
    set_up = fixture_class.setUp

    def set_up_and_act(fixture):
        set_up(fixture)
        action(fixture)

    fixture_class.setUp = set_up_and_act


def use_samples_in(documents):
    """Compare answers and notifications with the examples that are there."""
    answers = api_samples_test_base.ApiSampleTestBase
    notifications = notification_sample_base.NotificationSampleTestBase

    def get_sample(cls, name, api_version=None):
        return cls._get_sample_path(
            name, str(documents), api_version=api_version
        )

    def get_notification(test, name):
        return str(documents / 'notification_samples' / f'{name}.json')

    answers._get_sample = classmethod(get_sample)
    notifications._get_notification_sample = get_notification


def adapt(documents):
    """Have Nova's tests run from an installed wheel.

    :param documents: the folder ``doc`` of Nova's source distribution
    """
    each_time(
        nova_fixtures.ConfFixture, lambda fixture: set_defaults(fixture.conf)
    )
    use_samples_in(documents)
