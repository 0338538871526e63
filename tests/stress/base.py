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

"""How long the stress tests go on, and where they tell what they did."""

import json
import os
import pathlib
import random
import time

import fixtures
from testtools import content

#: Rounds that are raced, all databases together.
ROUNDS = int(os.environ.get('NOVA_MIGRATION_STRESS_ROUNDS', '900'))

#: Kills of the upgrade's commands, on each database.
KILLS = int(os.environ.get('NOVA_MIGRATION_STRESS_KILLS', '24'))

#: Kills of a database server while a command runs, on each kind of server.
SERVER_KILLS = int(os.environ.get('NOVA_MIGRATION_STRESS_SERVER_KILLS', '8'))

#: Seconds that writers go on beside the upgrade, on each database.
SECONDS = int(os.environ.get('NOVA_MIGRATION_STRESS_SECONDS', '6'))

#: What is random is the same again with the same seed.
SEED = int(os.environ.get('NOVA_MIGRATION_STRESS_SEED', time.time_ns()))

#: A file that the figures of the tests are added to.
_FIGURES = os.environ.get('NOVA_MIGRATION_STRESS_FIGURES')


class StressTest:
    """What these tests share."""

    def setUp(self):
        super().setUp()
        # What is known to be finite; a long run takes hours.
        self.useFixture(fixtures.Timeout(24 * 3600, gentle=True))
        self.chance = random.Random(f'{SEED} {self.id()}')
        self.addDetail(
            'seed',
            content.text_content(f'NOVA_MIGRATION_STRESS_SEED={SEED}'),
        )

    def tell(self, **figures):
        """Keep figures for whoever asks what was done."""
        if _FIGURES:
            line = json.dumps({'test': self.id().split('.', 2)[2], **figures})
            with pathlib.Path(_FIGURES).open('a', encoding='utf-8') as file:
                file.write(line + '\n')


def kinds_of(model):
    """Return the type of a machine's rows, and whether they cross cells."""
    if model == 'cross-cell':
        return 'resize', True
    return model, False
