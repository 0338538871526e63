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


"""The upgrade of a cluster that is written to on every node."""

import subprocess
import tempfile

import sqlalchemy as sa

from nova_migration.db import guard
from nova_migration.db import models
from nova_migration.db import nova_schema
from nova_migration.db import upgrade
from tests.functional.cmd import base as cmd_base
from tests.functional.db import samples
from tests.galera import base
from tests.galera import writers
from tests.servers import server

_T = models.MIGRATIONS

#: Rows that nobody moves, and rows that are.
RESTING, MOVING = 3000 * base.SCALE, 600 * base.SCALE


class UpgradeTest(cmd_base.CommandTest, base.GaleraTest):
    """What these tests share."""

    def setUp(self):
        super().setUp()
        self.url = self.urls[0]
        self.db = self.dbs[0]

    def on(self, node, *argv, code=0):
        """Run nova-migration-manage against a node."""
        result = cmd_base.run_anywhere(
            '--database-connection', self.urls[node], 'db', *argv
        )
        self.assertEqual(code, result.code, result)
        return result

    def create_nova_tables(self):
        """Create the two tables as Nova 34 has them."""
        metadata = sa.MetaData()
        nova_schema.define(metadata)
        metadata.create_all(self.db.engine)
        self.settle()

    def fill_table(self):
        """Fill the table as Nova does; return the ids of the moving rows."""
        pairs = samples.pairs()
        rows = [
            samples.legacy(*pairs[n % len(pairs)][:2]) for n in range(RESTING)
        ]
        start = base.LIVE.state(base.START).legacy
        rows += [samples.legacy(base.LIVE.name, start)] * MOVING
        nova = nova_schema.define(sa.MetaData())[0]
        with self.db.engine.begin() as connection:
            connection.execute(nova.insert(), rows)
        self.settle()
        with self.reading() as connection:
            ids = connection.scalars(
                sa.select(nova.c.id).order_by(nova.c.id)
            ).all()
        return ids[:RESTING], ids[RESTING:]

    def statuses(self, ids):
        """Return what rows say, by id."""
        with self.reading() as connection:
            rows = connection.execute(
                sa.select(_T.c.id, _T.c.status).where(_T.c.id.in_(ids))
            )
            return dict(rows.tuples().all())

    def counting(self, ids):
        """Start a writer on each node that counts in its third of rows."""
        counters = [
            writers.Counter(url, ids[number::30])
            for number, url in enumerate(self.urls)
        ]
        return counters, self.useFixture(writers.Writers(*counters))

    def walking(self, ids, nodes=(0, 1, 2)):
        """Start a process on each node that moves rows."""
        walkers = [
            writers.Walker(self, self.urls[node], ids, node) for node in nodes
        ]
        return walkers, self.useFixture(writers.Writers(*walkers))

    def stop(self, *fixtures):
        """End writers; none of them has had an error."""
        for threads in fixtures:
            threads.stop()
            self.assertEqual([], threads.errors)

    def assert_counted(self, counters):
        """What the counters were told is in the table, once."""
        wanted = {}
        for counter in counters:
            wanted |= counter.confirmed
        query = sa.select(_T.c.id, _T.c.memory_total).where(
            _T.c.id.in_(list(wanted))
        )
        with self.reading() as connection:
            found = dict(connection.execute(query).tuples().all())
        self.assertNotEqual(0, sum(wanted.values()))
        missing = {
            row_id: (count, found[row_id])
            for row_id, count in wanted.items()
            if count > (found[row_id] or 0)
        }
        self.assertEqual({}, missing)
        more = sum(count or 0 for count in found.values()) - sum(
            wanted.values()
        )
        self.assertLessEqual(more, sum(c.open for c in counters))

    def assert_walked(self, walkers):
        """Every row is where the last move that was confirmed led it."""
        last = writers.paths_of(walkers, base.START)
        self.assertNotEqual({}, last)
        for row_id, state in last.items():
            found = guard.position(self.db, row_id, base.LIVE)
            self.assertEqual(state, found.state, row_id)

    def assert_nodes_agree(self):
        """Every node has the same rows."""
        self.settle()
        for table in models.TABLES:
            first, *others = (self.rows(node, table) for node in range(3))
            for rows in others:
                self.assertEqual(first, rows)


class Journey(UpgradeTest):
    """Each phase on a node of its own, with writers on all three."""

    def journey(self, first):
        self.create_nova_tables()
        resting, moving = self.fill_table()
        before = self.statuses(resting)
        nodes = [(first + step) % 3 for step in range(4)]
        counters, counting = self.counting(resting)
        self.on(nodes[0], 'upgrade', '--expand')
        walkers, walking = self.walking(moving)
        self.on(nodes[1], 'upgrade', '--migrate')
        self.on(nodes[2], 'upgrade', '--contract')
        self.on(nodes[3], 'check')
        self.assertEqual(
            [], [r for r in self.rows() if r.status and not r.state]
        )
        self.on(nodes[3], 'restore')
        self.stop(counting, walking)
        self.assertEqual(before, self.statuses(resting))
        self.assertEqual(RESTING + MOVING, len(self.rows()))
        self.assert_counted(counters)
        self.assert_walked(walkers)
        self.assert_nodes_agree()
        self.on(nodes[0], 'restore', '--drop-columns')

    def test_from_node_1(self):
        """Nothing is lost, and nothing confirmed is written over."""
        self.journey(0)

    def test_from_node_2(self):
        """The same, each phase on another node."""
        self.journey(1)

    def test_from_node_3(self):
        """The same, each phase on the third."""
        self.journey(2)


class Killed(UpgradeTest):
    """A node dies while the upgrade is under way."""

    def setUp(self):
        super().setUp()
        self.create_nova_tables()
        self.resting, self.moving = self.fill_table()
        self.before = self.statuses(self.resting)
        self.on(0, 'upgrade', '--expand')

    def assert_upgraded(self, counters, walkers):
        """The table is whole and canonical on every node."""
        self.on(1, 'upgrade', '--contract')
        self.assertEqual(RESTING + MOVING, len(self.rows()))
        self.assert_counted(counters)
        self.assert_walked(walkers)
        self.assert_nodes_agree()
        self.on(1, 'restore')
        self.assertEqual(self.before, self.statuses(self.resting))

    def test_another_node(self):
        """A node that dies and joins again has everything at the end."""
        counters, counting = self.counting(self.resting)
        # What a process was told is lost with it.
        walkers, walking = self.walking(self.moving, (0, 1))
        third = self.nodes[2]
        batches = 0
        for _batch in upgrade.migrate(self.db, batch_size=200):
            batches += 1
            if batches == 2:
                third.kill()
            if batches == 8:
                self.cluster.rejoin(third)
        self.assertGreater(batches, 8)
        self.stop(walking, counting)
        self.cluster.wait_until_whole()
        self.on(0, 'upgrade', '--migrate')
        self.assert_upgraded(counters, walkers)

    def test_the_node_of_the_upgrade(self):
        """The command says so in one line; on another node it goes on."""
        counters, counting = self.counting(self.resting)
        walkers, walking = self.walking(self.moving, (1, 2))
        command = self.start_migrating(0)
        self.wait_for_canonical_rows(1, 1000)
        self.nodes[0].kill()
        out, err = command.communicate(timeout=200)
        self.assertEqual((255, ''), (command.returncode, out), err)
        self.assertEqual(1, len(cmd_base.complaints(err)), err)
        self.assertNotIn('Traceback', err)
        self.on(1, 'upgrade', '--migrate')
        self.stop(walking, counting)
        self.cluster.make_whole()
        self.assert_upgraded(counters, walkers)

    def start_migrating(self, node):
        """Start the command in a process of its own, and slowly."""
        folder = tempfile.mkdtemp()
        process = subprocess.Popen(
            cmd_base.command_line(
                '--database-connection',
                self.urls[node],
                *['db', 'upgrade', '--migrate'],
                '--batch-size=100',
                '--throttle=70',
            ),
            cwd=folder,
            env=cmd_base.environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.kill)
        return process

    def wait_for_canonical_rows(self, node, count):
        """Wait until a node has so many rows that are migrated."""
        for attempt in server.patiently(on=server.NotYet):
            with attempt:
                found = upgrade.count(self.dbs[node], upgrade.is_canonical)
                if found < count:
                    raise server.NotYet(found)
