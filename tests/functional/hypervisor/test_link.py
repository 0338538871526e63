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


"""What follows from QEMU's reports, fired on a row."""

import asyncio
import dataclasses
import types

import sqlalchemy as sa

from nova_migration import exception
from nova_migration import objects
from nova_migration.db import models
from nova_migration.hypervisor.qemu import link
from nova_migration.hypervisor.qemu import progress
from tests.functional import base
from tests.unit.hypervisor.qemu.story import Story

COUNTERS = progress.Progress(
    total=1000, processed=600, remaining=400, elapsed=9, downtime=2
)


@base.on_every_database
class LinkTest:
    def setUp(self):
        super().setUp()
        self.expand()
        self.changes = []
        self.migration = objects.Migration(
            self.context,
            migration_type='live-migration',
            source_compute='compute-1',
            dest_compute='compute-2',
        )
        self.migration.create()
        for event in ('queue', 'prepare'):
            self.migration.process_event(event)
        self.story = Story()

    def linked(self, migration=None):
        return link.MigrationLink(
            migration or self.migration,
            [self.changes.append],
            attempt=1,
            interval=0,
        )

    def read(self):
        return objects.Migration.get_by_id(self.context, self.migration.id)

    @property
    def events(self):
        return [change.event for change in self.changes]

    def start(self):
        self.story.send(self.story.source, 'migrate')
        return self.story.here('setup', 'active').there('setup', 'active')

    def arrive(self):
        story = self.story.here('STOP', 'completed').there('completed')
        story.send(story.destination, 'cont').there('RESUME')
        return story

    def test_each_event_once_and_in_order(self):
        """However often the same is told, the row moves once."""
        linked = self.linked()
        linked.take(self.story.now)
        self.assertEqual([], self.events)
        for now in (self.start().now, self.story.now, self.arrive().now):
            linked.take(now)
            linked.take(now)
        self.assertEqual(['run', 'complete'], self.events)
        states = [change.state for change in self.changes]
        self.assertEqual(['running', 'completed'], states)
        self.assertEqual('completed', self.read().state)

    def test_missed_moments_are_made_up_for(self):
        """Who hears of the end first fires what comes before it, too."""
        story = self.start().here('STOP', 'postcopy-active', 'completed')
        story.there('postcopy-active', 'RESUME', 'completed')
        self.linked().take(story.now)
        self.assertEqual(
            ['run', 'switch_to_postcopy', 'complete'], self.events
        )

    def test_a_cancel_and_a_failure(self):
        """The first cause decides between cancelled and failed."""
        story = self.start()
        story.send(story.source, 'migrate_cancel').here('failed')
        story.there('failed').ask(story.source, 'failed', True, 'Broken')
        self.linked().take(story.now)
        self.assertEqual('cancelled', self.read().state)
        self.assertEqual(
            'user-cancel; failure: Broken; QEMU says source failed,'
            ' destination failed',
            self.read().state_reason,
        )

    def test_a_stopped_source_is_not_rolled_back_yet(self):
        """The row is rolled back when the guest runs again, not before."""
        linked = self.linked()
        story = self.start().here('STOP', 'completed').there('failed')
        story.destination.gone('exit code 1')
        linked.take(story.now)
        self.assertEqual('running', self.read().state)
        story.send(story.source, 'cont').here('RESUME')
        linked.take(story.now)
        self.assertEqual('failed', self.read().state)

    def test_a_guest_that_runs_twice_is_an_error(self):
        """What nobody can put right by itself ends in error."""
        story = self.start().here('STOP', 'device', 'RESUME', 'cancelled')
        story.there('RESUME', 'completed')
        story.ask(story.source, 'cancelled', True)
        linked = self.linked()
        for _time in range(2):
            linked.take(story.now)
            self.assertEqual('error', self.read().state)
        self.assertEqual(['run', 'fail'], self.events)

    def test_an_error_of_somebody_else_is_left_by_the_end(self):
        """A row that was taken for stale ends where the guest is."""
        linked = self.linked()
        linked.take(self.start().now)
        self.read().process_event('fail')
        linked = self.linked(self.read())
        linked.take(self.story.now)
        self.assertEqual('error', self.read().state)
        linked.take(self.arrive().now)
        self.assertEqual(['run', 'complete'], self.events)
        self.assertEqual('completed', self.read().state)

    def test_a_restarted_service_fires_what_is_left(self):
        """Where the row is decides, not what a process remembers."""
        self.linked().take(self.start().now)
        self.linked(self.read()).take(self.arrive().now)
        self.assertEqual(['run', 'complete'], self.events)

    def test_somebody_else_moved_the_row(self):
        """A lost race is read again, and nothing is fired twice."""
        self.read().process_event('run')
        self.linked().take(self.start().now)
        self.assertEqual([], self.events)
        self.assertEqual('running', self.read().state)

    def test_another_attempt_is_another_row(self):
        """The second attempt of a source does not touch the first's row."""
        second = dataclasses.replace(self.start().now, attempt=2)
        self.linked().take(second)
        self.assertEqual([], self.events)

    def test_the_counters_reach_the_row(self):
        """Bytes go into their fields, the downtime into the reason."""
        linked = self.linked()
        linked.take(self.start().now)
        linked.take_progress(COUNTERS)
        row = self.read()
        self.assertEqual(
            (1000, 600, 400),
            (row.memory_total, row.memory_processed, row.memory_remaining),
        )
        linked.take(self.arrive().now)
        self.assertIn('downtime 2 ms', self.read().state_reason)

    def test_a_feed_tells_what_could_not_be_written(self):
        """A change that is not in the row at the end is an error."""
        subscribers = []
        pair = types.SimpleNamespace(
            attempt=1,
            conclusion=self.story.now,
            subscribe=subscribers.append,
            subscribe_progress=lambda _subscriber: None,
        )

        async def feed():
            async with link.Feed(pair, self.linked()):
                with self.db.engine.begin() as connection:
                    connection.execute(sa.delete(models.MIGRATIONS))
                subscribers[0](self.start().now)

        self.assertRaises(
            exception.MigrationNotFound, lambda: asyncio.run(feed())
        )
