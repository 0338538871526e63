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

"""Each query, against what Nova 34 would find in the rows as it wrote them."""

import datetime
import random

from oslo_db import exception as db_exc
from oslo_utils import timeutils

from nova_migration import exception
from nova_migration.db import api
from nova_migration.db import models
from nova_migration.db import upgrade
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationState
from nova_migration.states import UnknownWord
from nova_migration.states import determine_migration_type
from tests.functional import base
from tests.functional.db import samples

# The lists as nova/db/main/api.py of Nova 34 has them, typed off: they are
# what the library's own table is checked against here.
NOT_IN_PROGRESS = (
    'confirmed',
    'reverted',
    'error',
    'failed',
    'completed',
    'cancelled',
    'done',
)
NOT_TRACKED = tuple(s for s in NOT_IN_PROGRESS if s != 'error')
LISTED = ('queued', 'preparing', 'running', 'post-migrating')
UNCONFIRMED = ('finished',)

HOSTS = ('alpha', 'beta', 'gamma')
INSTANCES = ('i-1', 'i-2', 'i-3', None)
DAY = datetime.timedelta(days=1)


class ApiTest(samples.Expanded):
    """Rows of every kind; each query is asked three times.

    First of the rows as Nova wrote them, then with some of them migrated,
    then with all: the answer has to stay the same.
    """

    def setUp(self):
        super().setUp()
        self.expand()
        chance = random.Random(34)
        words = (*samples.strings(), *samples.ODD, None)
        kinds = (*MIGRATION_TYPES, None)
        rows = [
            self.make(chance, number, kind, word)
            for number, (kind, word) in enumerate(
                [(k, w) for k in kinds for w in words] * 2, start=1
            )
        ]
        with self.db.engine.begin() as connection:
            connection.execute(models.MIGRATIONS.insert(), rows)
        self.originals = self.rows()

    def make(self, chance, number, kind, word):
        """Return the values of a row; the same for a number each time."""
        deleted = number if chance.random() < 0.2 else 0
        flavors = [chance.choice((1, 2)) for _ in range(2)]
        return {
            'id': number,
            'uuid': f'u-{number}',
            'status': word,
            'migration_type': kind,
            'source_compute': chance.choice(HOSTS),
            'dest_compute': chance.choice((*HOSTS, None)),
            'source_node': chance.choice(HOSTS),
            'dest_node': chance.choice((*HOSTS, None)),
            'instance_uuid': chance.choice(INSTANCES),
            'created_at': samples.THEN + chance.randrange(20) * DAY,
            'updated_at': chance.choice(
                (None, samples.THEN + chance.randrange(20) * DAY)
            ),
            'deleted': deleted,
            'hidden': chance.random() < 0.3,
            'user_id': chance.choice(('ann', 'bob')),
            'project_id': chance.choice(('red', 'blue')),
            'old_instance_type_id': flavors[0],
            'new_instance_type_id': flavors[1],
        }

    def says(self, row, words):
        """Return whether Nova's database finds a row's status in a list."""
        if row.status is None:
            return False
        return self.spelled(row.status) in {self.spelled(w) for w in words}

    def is_one_of(self, row, words):
        """Return whether a row's status is one of some words exactly.

        A string that is asked for is found as it is spelled, on MariaDB too:
        the states of a row cannot depend on the database.
        """
        return row.status in words

    def spelled(self, word):
        """Return what a word is compared by: MariaDB ignores its case."""
        if self.BACKEND != 'mysql':
            return word
        return word.casefold().rstrip(' ')

    def state(self, row):
        """Return the declared state of a row that its machine knows."""
        kind = row.migration_type or determine_migration_type(
            row.old_instance_type_id, row.new_instance_type_id
        )
        return MACHINES[kind].legacy.get(row.status)

    def assert_finds(self, wanted, query, *, some=True):
        """A query finds the rows that a condition holds for, in any form."""
        expected = [row.id for row in self.originals if wanted(row)]
        if some:
            self.assertTrue(0 < len(expected) < len(self.originals))
        batches = upgrade.migrate(self.db, batch_size=40)
        self.assertEqual(expected, sorted(row.id for row in query()))
        next(batches)
        next(batches)
        forms = {row.state is not None for row in self.rows()}
        self.assertEqual({True, False}, forms)
        self.assertEqual(expected, sorted(row.id for row in query()))
        list(batches)
        self.assertEqual(expected, sorted(row.id for row in query()))
        list(upgrade.restore(self.db))
        self.assertEqual(self.originals, self.rows())


def live(row):
    """Return whether a row is not soft-deleted."""
    return row.deleted == 0


def on(row, host, node):
    """Return whether one of a row's ends is a node."""
    return (host, node) in (
        (row.source_compute, row.source_node),
        (row.dest_compute, row.dest_node),
    )


def _named(name):
    for end in ('since', 'before', 'flag'):
        name = name.replace(f'_{end}', f'-{end}')
    return name


@base.on_every_database
class NovaQueries(ApiTest):
    """The eight functions of Nova's database API that look at the status."""

    def test_get_in_progress_by_host_and_node(self):
        """All but a list is in progress, a string of nobody's included."""
        for host, node in (('alpha', 'alpha'), ('beta', 'gamma')):
            self.assert_finds(
                lambda row, host=host, node=node: (
                    live(row)
                    and on(row, host, node)
                    and row.status is not None
                    and not self.says(row, NOT_IN_PROGRESS)
                ),
                lambda host=host, node=node: (
                    api.get_in_progress_by_host_and_node(self.db, host, node)
                ),
            )

    def test_get_in_progress_and_error_by_host_and_node(self):
        """What failed is accounted for too."""
        for read_deleted, seen in (
            ('no', live),
            ('yes', lambda _row: True),
            ('only', lambda row: not live(row)),
        ):
            self.assert_finds(
                lambda row, seen=seen: (
                    seen(row)
                    and on(row, 'alpha', 'beta')
                    and row.status is not None
                    and not self.says(row, NOT_TRACKED)
                ),
                lambda read_deleted=read_deleted: (
                    api.get_in_progress_and_error_by_host_and_node(
                        self.db, 'alpha', 'beta', read_deleted
                    )
                ),
            )

    def test_get_in_progress_by_instance(self):
        """Four strings are listed, for the types that have them."""
        for kind in (None, *MIGRATION_TYPES):
            self.assert_finds(
                lambda row, kind=kind: (
                    live(row)
                    and row.instance_uuid == 'i-1'
                    and self.says(row, LISTED)
                    and self.state(row) is not None
                    and (kind is None or row.migration_type == kind)
                ),
                lambda kind=kind: api.get_in_progress_by_instance(
                    self.db, 'i-1', kind
                ),
                some=kind is None,
            )

    def test_get_unconfirmed_by_dest_compute(self):
        """One string is unconfirmed, soft-deleted or not, from a time on."""
        window = 10 * DAY
        now = samples.THEN + 20 * DAY
        timeutils.set_time_override(now)
        self.addCleanup(timeutils.clear_time_override)
        for host in HOSTS:
            self.assert_finds(
                lambda row, host=host: (
                    row.dest_compute == host
                    and row.updated_at is not None
                    and row.updated_at <= now - window
                    and self.says(row, UNCONFIRMED)
                    and self.state(row) is not None
                ),
                lambda host=host: api.get_unconfirmed_by_dest_compute(
                    self.db, window.total_seconds(), host
                ),
                some=False,
            )
        everything = self.state_of_unconfirmed()
        self.assertTrue(everything)

    def state_of_unconfirmed(self):
        """Return what all hosts together wait for, some of it deleted."""
        found = [
            row
            for host in HOSTS
            for row in api.get_unconfirmed_by_dest_compute(self.db, 0, host)
        ]
        self.assertEqual({True, False}, {live(row) for row in found})
        return found

    def test_get_by_instance_and_status(self):
        """A string finds the newest row that says it, in either form."""
        for word in (*samples.strings(), 'goofballs'):
            rows = [
                row
                for row in self.originals
                if row.instance_uuid == 'i-2' and self.is_one_of(row, [word])
            ]
            for run in (upgrade.migrate, upgrade.restore):
                if rows:
                    found = api.get_by_instance_and_status(
                        self.db, 'i-2', word
                    )
                    self.assertEqual(rows[-1].id, found.id)
                else:
                    self.assertRaises(
                        exception.MigrationNotFoundByStatus,
                        api.get_by_instance_and_status,
                        self.db,
                        'i-2',
                        word,
                    )
                list(run(self.db))

    def test_get(self):
        """An id, or a uuid, finds its row, soft-deleted or not."""
        for row in self.originals[::7]:
            self.assertEqual(row, api.get(self.db, row.id))
            self.assertEqual(row, api.get_by_uuid(self.db, row.uuid))
        for wrong in (
            lambda: api.get(self.db, 99999),
            lambda: api.get_by_uuid(self.db, 'nobody'),
        ):
            self.assertRaises(exception.MigrationNotFound, wrong)

    def test_get_by_id_and_instance(self):
        """An id is not found for another instance, nor soft-deleted."""
        for row in self.originals:
            if live(row) and row.instance_uuid:
                found = api.get_by_id_and_instance(
                    self.db, row.id, row.instance_uuid
                )
                self.assertEqual(row, found)
                wrong = 'i-0'
            else:
                wrong = row.instance_uuid or 'i-1'
            error = self.assertRaises(
                exception.MigrationNotFoundForInstance,
                api.get_by_id_and_instance,
                self.db,
                row.id,
                wrong,
            )
            self.assertEqual(
                (row.id, wrong), (error.migration_id, error.instance_id)
            )


@base.on_every_database
class Filters(ApiTest):
    """get_all_by_filters, and what of it is ours."""

    def assert_filtered(self, wanted, some=True, **filters):
        """Filters find what a condition holds for, in any form."""
        filters = {_named(name): value for name, value in filters.items()}
        self.assert_finds(
            lambda row: live(row) and wanted(row),
            lambda: api.get_all_by_filters(self.db, filters),
            some=some,
        )

    def test_status(self):
        """A string, or several, finds what Nova would have under it."""
        for words in (
            ['done'],
            ['finished', 'error'],
            ['pre-migrating'],
            ['goofballs'],
            ['running', 'goofballs', 'running (post-copy)'],
            [''],
        ):
            self.assert_filtered(
                lambda row, words=words: self.is_one_of(row, words),
                status=words,
            )
        self.assert_filtered(
            lambda row: self.is_one_of(row, ['done']), status='done'
        )
        for words in (['nobody says so'], []):
            self.assert_filtered(lambda _row: False, False, status=words)

    def test_every_status(self):
        """Each string that is written finds its rows in either form."""
        for run in (upgrade.migrate, upgrade.restore):
            list(run(self.db))
            for word in samples.strings():
                expected = [
                    row.id
                    for row in self.originals
                    if live(row) and self.is_one_of(row, [word])
                ]
                found = api.get_all_by_filters(self.db, {'status': word})
                self.assertEqual(expected, sorted(row.id for row in found))

    def test_done_finds_canonical_evacuations(self):
        """Who asks for done finds evacuated rows, and not completed ones."""
        machine = MACHINES['evacuation']
        for row_id, name in ((9001, 'evacuated'), (9002, 'completed')):
            state = machine.state(name)
            row = samples.canonical(machine.name, state, uuid=name)
            self.insert(id=row_id, **row)
            found = api.get_all_by_filters(
                self.db,
                {'status': state.legacy, 'migration_type': machine.name},
            )
            canonical = [row.uuid for row in found if row.state]
            self.assertEqual([name], canonical)

    def test_state(self):
        """A state, or several, finds rows of either form."""
        # Of no state here does MariaDB find an odd spelling, as it does of
        # 'ERROR' for 'error'.
        for states in (
            ['cancelled'],
            ['awaiting-confirmation', 'queued'],
            [MigrationState.POSTCOPY],
            ['accepted'],
        ):
            self.assert_filtered(
                lambda row, states=states: (
                    self.state(row) is not None
                    and self.state(row).name in states
                ),
                state=states,
            )

    def test_unknown_state(self):
        """A state that no machine has is said to be unknown."""
        error = self.assertRaises(
            UnknownWord,
            api.get_all_by_filters,
            self.db,
            {'state': ['error', 'finished']},
        )
        self.assertIn("'finished'", str(error))

    def test_flag(self):
        """A flag finds rows of either form in the states that have it."""
        for flag in MigrationFlag:
            if self.BACKEND == 'mysql' and flag in (
                MigrationFlag.TRACKED,
                MigrationFlag.DOOMED_SOURCE,
                MigrationFlag.NEEDS_SOURCE_CLEANUP,
            ):
                # 'ERROR' and 'Done' are found there, as in Nova.
                continue
            self.assert_filtered(
                lambda row, flag=flag: (
                    self.state(row) is not None
                    and flag in self.state(row).flags
                ),
                flag=flag.value,
            )
        self.assertRaises(
            ValueError, api.get_all_by_filters, self.db, {'flag': 'odd'}
        )

    def test_not_flag(self):
        """A flag can be asked not to be there, of a row in any state."""
        flag = MigrationFlag.UNCONFIRMED
        self.assert_filtered(
            lambda row: (
                row.status is not None
                and not (
                    self.state(row) is not None
                    and flag in self.state(row).flags
                )
            ),
            not_flag=flag.value,
            status=[*samples.strings(), *samples.ODD],
        )

    def test_inconsistent(self):
        """Rows whose status was written over can be asked for, or not."""
        state = MACHINES['resize'].legacy['finished']
        self.insert(id=9001, **samples.canonical('resize', state))
        self.insert(
            id=9002,
            **samples.legacy('resize', state.legacy, state=state.name),
        )
        for value, wanted in ((True, [9002]), (False, [9001])):
            found = api.get_all_by_filters(self.db, {'inconsistent': value})
            self.assertEqual(wanted, [row.id for row in found])

    def test_host(self):
        """A host stands for both ends, and for the source asked beside it."""
        self.assert_filtered(
            lambda row: 'alpha' in (row.source_compute, row.dest_compute),
            host='alpha',
        )
        self.assert_filtered(
            lambda row: 'alpha' in (row.source_compute, row.dest_compute),
            host='alpha',
            source_compute='beta',
        )
        self.assert_filtered(
            lambda row: row.source_compute == 'beta', source_compute='beta'
        )

    def test_others(self):
        """Every other filter of Nova's is for one column."""
        self.assert_filtered(
            lambda row: 'alpha' in (row.source_node, row.dest_node),
            node='alpha',
        )
        for name, value in (
            ('migration_type', 'resize'),
            ('hidden', True),
            ('hidden', False),
            ('instance_uuid', 'i-3'),
            ('user_id', 'ann'),
            ('project_id', 'red'),
        ):
            self.assert_filtered(
                lambda row, name=name, value=value: (
                    getattr(row, name) == value
                ),
                **{name: value},
            )
        wanted = ['u-3', 'u-4', 'u-5', 'nobody']
        self.assert_filtered(lambda row: row.uuid in wanted, uuid=wanted)
        one = next(row.uuid for row in self.originals if live(row))
        self.assert_filtered(lambda row: row.uuid == one, uuid=one)

    def test_several(self):
        """Filters are joined, and unknown ones ignored as Nova does."""
        self.assert_filtered(
            lambda row: (
                row.source_compute == 'beta'
                and not row.hidden
                and self.is_one_of(row, ['error', 'done'])
            ),
            source_compute='beta',
            hidden=False,
            status=['error', 'done'],
            nonsense='x',
        )

    def test_times(self):
        """Changes are found by updated_at, in any notation of a time."""
        then = samples.THEN + 9 * DAY
        for value in (
            then,
            then.replace(tzinfo=datetime.UTC),
            then.isoformat() + 'Z',
            (then + datetime.timedelta(hours=2)).isoformat() + '+02:00',
        ):
            self.assert_filtered(
                lambda row: row.updated_at and row.updated_at >= then,
                changes_since=value,
            )
            self.assert_filtered(
                lambda row: row.updated_at and row.updated_at <= then,
                changes_before=value,
            )
        self.assert_filtered(
            lambda row: (row.updated_at or row.created_at) <= then,
            unchanged_since=then,
        )

    def test_unchanged_since(self):
        """The time of the state counts more than that of the counters."""
        then = samples.THEN
        row_id = self.insert(
            id=9999,
            state_changed_at=then - 5 * DAY,
            updated_at=then + 5 * DAY,
            deleted=0,
        )
        found = api.get_all_by_filters(
            self.db, {'unchanged-since': then - DAY}
        )
        self.assertEqual([row_id], [row.id for row in found])

    def test_read_deleted(self):
        """Soft-deleted rows are found when they are asked for."""
        for read_deleted, seen in (
            ('no', {True}),
            ('yes', {True, False}),
            ('only', {False}),
        ):
            found = api.get_all_by_filters(
                self.db, {}, read_deleted=read_deleted
            )
            self.assertEqual(seen, {live(row) for row in found})
            self.assertEqual(
                sum(live(row) in seen for row in self.originals), len(found)
            )


@base.on_every_database
class Pages(ApiTest):
    """Sorting and paging."""

    def page(self, **options):
        """Return the ids of one page."""
        filters = options.pop('filters', {})
        rows = api.get_all_by_filters(self.db, filters, **options)
        return [row.id for row in rows]

    def pages(self, limit, **options):
        """Return the ids of all pages, each of which begins at a marker."""
        pages, marker = [], None
        while True:
            page = self.page(limit=limit, marker=marker, **options)
            if not page:
                return pages
            self.assertLessEqual(len(page), limit)
            pages.append(page)
            marker = self.row(page[-1]).uuid

    def assert_pages(self, key, reverse, **options):
        """All pages together are all rows, in the order asked for."""
        expected = sorted(
            (row for row in self.originals if live(row)),
            key=key,
            reverse=reverse,
        )
        expected = [row.id for row in expected]
        pages = self.pages(17, **options)
        self.assertEqual(
            expected, [row_id for page in pages for row_id in page]
        )
        self.assertEqual({17}, {len(page) for page in pages[:-1]})
        self.assertEqual(
            expected, self.page(limit=len(expected) + 5, **options)
        )

    def test_newest_first(self):
        """The newest come first where nothing else is asked for."""
        self.assert_pages(lambda row: (row.created_at, row.id), reverse=True)

    def test_keys(self):
        """Keys sort in their directions, and ties by age and id."""
        self.assert_pages(
            lambda row: (row.source_compute, row.created_at, row.id),
            reverse=False,
            sort_keys=['source_compute'],
            sort_dirs=['asc'],
        )
        self.assert_pages(
            lambda row: (row.user_id, row.project_id, row.created_at, row.id),
            reverse=True,
            sort_keys=['user_id', 'project_id'],
        )

    def test_two_directions(self):
        """Each key has a direction of its own."""
        rows = sorted(
            (row for row in self.originals if live(row)),
            key=lambda row: row.id,
            reverse=True,
        )
        rows.sort(key=lambda row: row.source_compute)
        pages = self.pages(
            50, sort_keys=['source_compute', 'id'], sort_dirs=['asc', 'desc']
        )
        self.assertEqual(
            [row.id for row in rows], [i for page in pages for i in page]
        )

    def test_pages_while_migrating(self):
        """Rows that are migrated between two pages stay in their places."""
        expected = self.page(sort_keys=['id'], sort_dirs=['asc'])
        batches = upgrade.migrate(self.db, batch_size=20)
        found, marker = [], None
        while page := self.page(
            limit=20, marker=marker, sort_keys=['id'], sort_dirs=['asc']
        ):
            found += page
            marker = self.row(page[-1]).uuid
            next(batches, None)
        self.assertEqual(expected, found)

    def test_filtered_pages(self):
        """A filter holds on every page."""
        expected = [
            row.id
            for row in self.originals
            if live(row) and self.is_one_of(row, ['error', 'done', 'running'])
        ]
        next(upgrade.migrate(self.db, batch_size=60))
        pages = self.pages(3, filters={'status': ['error', 'done', 'running']})
        self.assertEqual(expected, sorted(i for page in pages for i in page))

    def test_limit(self):
        """A limit of zero finds nothing, and none finds everything."""
        self.assertEqual([], self.page(limit=0))
        self.assertEqual(4, len(self.page(limit=4)))
        self.assertEqual(
            sum(live(row) for row in self.originals), len(self.page())
        )

    def test_deleted_marker(self):
        """A page may begin after a row that was soft-deleted since."""
        marker = next(row for row in self.originals if not live(row))
        found = self.page(
            marker=marker.uuid, sort_keys=['id'], sort_dirs=['asc']
        )
        self.assertEqual(
            [r.id for r in self.originals if live(r) and r.id > marker.id],
            found,
        )

    def test_no_such_marker(self):
        """A page cannot begin after a row that is not there."""
        error = self.assertRaises(
            exception.MarkerNotFound, self.page, marker='nobody', limit=2
        )
        self.assertEqual('nobody', error.marker)

    def test_wrong_key(self):
        """A key that is no column is refused."""
        self.assertRaises(
            db_exc.InvalidSortKey, self.page, sort_keys=['nonsense']
        )

    def test_wrong_direction(self):
        """A direction that is none is refused, and one too many."""
        self.assertRaises(
            UnknownWord, self.page, sort_keys=['id'], sort_dirs=['up']
        )
        self.assertRaises(
            ValueError, self.page, sort_keys=['id'], sort_dirs=['asc'] * 2
        )


@base.on_every_database
class Writes(samples.Expanded):
    """Inserting and changing rows."""

    def setUp(self):
        super().setUp()
        self.expand()

    def test_create(self):
        """A row is returned as it is stored, with its age."""
        before = timeutils.utcnow().replace(microsecond=0)
        row = api.create(self.db, {'uuid': 'u', 'status': 'accepted'})
        self.assertEqual(self.row(row.id), row)
        self.assertEqual(
            ('u', 'accepted', 0), (row.uuid, row.status, row.deleted)
        )
        self.assertLessEqual(before, row.created_at)
        self.assertIsNone(row.updated_at)

    def test_update(self):
        """Columns are changed, and the time of the change with them."""
        row_id = self.insert(**samples.legacy('resize', 'error'))
        row = api.update(self.db, row_id, {'memory_total': 5})
        self.assertEqual(self.row(row_id), row)
        self.assertEqual((5, 'error'), (row.memory_total, row.status))
        self.assertLess(samples.THEN, row.updated_at)

    def test_update_of_nothing(self):
        """Changing nothing leaves even the time."""
        row_id = self.insert(**samples.legacy('resize', 'error'))
        before = self.row(row_id)
        self.assertEqual(before, api.update(self.db, row_id, {}))
        self.assertEqual(before, self.row(row_id))

    def test_update_of_nobody(self):
        """A row that is gone cannot be changed."""
        for values in ({}, {'memory_total': 5}):
            self.assertRaises(
                exception.MigrationNotFound, api.update, self.db, 7, values
            )
