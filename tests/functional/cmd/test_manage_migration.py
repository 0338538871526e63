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


"""``migration``: find the moves, look at one, help it on."""

import csv
import datetime
import io
import itertools
import json
import uuid

import fixtures
from oslo_utils import timeutils
import yaml

from nova_migration.cmd import exits
from nova_migration.cmd.migration import LIMIT
from nova_migration.db import api
from nova_migration.db import errors
from nova_migration.db import models
from nova_migration.states import LOOK
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import MigrationFlag
from nova_migration.states import MigrationStatus
from nova_migration.states import registry
from tests import base as test_base
from tests.functional import base
from tests.functional.cmd import base as cmd_test

#: Seconds; what is older than this has not moved for long.
STUCK = 86400

NOW = timeutils.utcnow().replace(microsecond=0)
LONG_AGO = NOW - datetime.timedelta(seconds=2 * STUCK)

#: Every type and state, and the flags of the state.
ALL = [
    (kind, state)
    for kind in MIGRATION_TYPES
    for state in MACHINES[kind].table.states
]

COLUMNS = [
    'Migration',
    'Id',
    'Server',
    'Type',
    'Status',
    'State',
    'Since',
    'Source',
    'Destination',
    'Reason',
]


class MovesTest(cmd_test.CommandTest):
    """Begins with a database that has been expanded."""

    def setUp(self):
        super().setUp()
        self.expand()
        self.uuids = itertools.count(1)

    def add(self, kind, state, canonical=True, **values):
        """Insert a row in a state, in either form; return its uuid."""
        name = str(uuid.UUID(int=next(self.uuids)))
        form = {'status': state.legacy}
        if canonical:
            form = {'status': state.status, 'state': state.name}
        known = {
            'uuid': name,
            'migration_type': kind,
            'created_at': LONG_AGO,
            'source_compute': 'here',
            'dest_compute': 'there',
        }
        self.insert(**{**known, **form, **values})
        return name

    def add_every_state(self, **values):
        """Insert each state of each type in both forms; return the states."""
        return {
            self.add(kind, state, canonical, **values): (kind, state)
            for kind, state in ALL
            for canonical in (True, False)
        }

    def by_uuid(self, name):
        """Return the raw row of a uuid."""
        (row,) = [row for row in self.rows() if row.uuid == name]
        return row

    def found(self, *argv):
        """Return the names of the migrations that a filter finds."""
        return [
            row['Migration'] for row in self.listed('migration', 'list', *argv)
        ]


@base.on_every_database
class ListTest(MovesTest):
    """``migration list``."""

    def test_newest_first(self):
        """Everything is listed, the newest row first."""
        names = list(self.add_every_state())
        self.assertEqual(names[::-1], self.found())

    def test_columns(self):
        """A row says what, where, since when and why, in either form."""
        kind, state = ALL[0]
        self.add(kind, state, state_reason='so', state_changed_at=NOW)
        self.add(kind, state, canonical=False, updated_at=NOW)
        since = f'{NOW.isoformat()}+00:00'
        common = [kind, state.status, state.name, since, 'here', 'there']
        self.assertEqual(
            [[*common, None], [*common, 'so']],
            [
                [row[column] for column in COLUMNS[3:]]
                for row in self.listed('migration', 'list')
            ],
        )

    def test_in_every_format(self):
        """Every format says the same, and can be read back."""
        states = self.add_every_state(
            state_reason='because', instance_uuid='server'
        )
        text = {
            name: self.work('migration', 'list', '--long', '-f', name).out
            for name in cmd_test.FORMATS
        }
        rows = json.loads(text['json'])
        self.assertEqual(len(states), len(rows))
        for row in rows:
            kind, state = states[row['Migration']]
            self.assertEqual(
                (kind, state.status, state.name, 'because'),
                (row['Type'], row['Status'], row['State'], row['Reason']),
            )
        told = [{key: str(cell) for key, cell in r.items()} for r in rows]
        self.assertEqual(told, list(csv.DictReader(io.StringIO(text['csv']))))
        self.assertEqual(
            [' '.join(row.values()) for row in told],
            text['value'].splitlines(),
        )
        cells = [
            [cell.strip() for cell in line.strip('|').split('|')]
            for line in text['table'].splitlines()
            if line.startswith('|')
        ]
        self.assertEqual(
            [COLUMNS, *(list(row.values()) for row in told)], cells
        )

    def test_type(self):
        """--type finds the moves of one kind."""
        states = self.add_every_state()
        for wanted in MIGRATION_TYPES:
            self.assertEqual(
                {
                    name
                    for name, (kind, _s) in states.items()
                    if kind == wanted
                },
                set(self.found('--type', wanted)),
            )

    def test_state(self):
        """--state finds rows of both forms, whatever their type."""
        states = self.add_every_state()
        for wanted in list(registry.states_with())[::4]:
            self.assertEqual(
                {name for name, (_k, s) in states.items() if s.name == wanted},
                set(self.found('--state', wanted)),
                wanted,
            )

    def test_status(self):
        """--status finds by the string of Nova's, in both forms."""
        states = self.add_every_state()
        for wanted in sorted({state.legacy for _kind, state in ALL})[::4]:
            self.assertEqual(
                {n for n, (_k, s) in states.items() if s.legacy == wanted},
                set(self.found('--status', wanted)),
                wanted,
            )

    def test_status_that_nobody_knows(self):
        """--status finds an unknown string, and no look-alike of it."""
        (known, odd, other) = [
            self.add('evacuation', ALL[0][1], canonical=False, status=text)
            for text in ('done', 'Done', 'done ')
        ]
        self.assertEqual([odd], self.found('--status', 'Done'))
        self.assertEqual([other], self.found('--status', 'done '))
        self.assertEqual([known], self.found('--status', 'done'))
        self.assertEqual([], self.found('--status', 'gone'))
        (row,) = self.listed('migration', 'list', '--status', 'Done')
        self.assertEqual(('Done', None), (row['Status'], row['State']))

    def test_in_progress(self):
        """--in-progress finds what is not over."""
        states = self.add_every_state()
        self.assertEqual(
            {
                name
                for name, (_kind, state) in states.items()
                if MigrationFlag.IN_PROGRESS in state.flags
            },
            set(self.found('--in-progress')),
        )

    def stuck(self, canonical):
        """Insert every state, long ago and now; return what is stuck."""
        old = {
            self.add(kind, state, canonical, state_changed_at=LONG_AGO): state
            for kind, state in ALL
        }
        for kind, state in ALL:
            self.add(
                kind,
                state,
                canonical,
                state_changed_at=NOW,
                updated_at=LONG_AGO,
            )
        return {
            name
            for name, state in old.items()
            if MigrationFlag.IN_PROGRESS in state.flags
            and MigrationFlag.UNCONFIRMED not in state.flags
        }

    def test_stuck(self):
        """--stuck finds what is in progress, not the user's, and old."""
        stuck = self.stuck(canonical=True)
        self.assertNotEqual(set(), stuck)
        self.assertEqual(stuck, set(self.found('--stuck', STUCK)))
        self.assertEqual([], self.found('--stuck', 10 * STUCK))

    def test_stuck_in_legacy_form(self):
        """--stuck finds the same of legacy rows."""
        stuck = self.stuck(canonical=False)
        self.assertEqual(stuck, set(self.found('--stuck', STUCK)))

    def test_stuck_by_what_is_known(self):
        """A row without the time of its state is judged by the next best."""
        kind, state = ALL[0]
        self.assertIn(MigrationFlag.IN_PROGRESS, state.flags)
        self.add(kind, state, updated_at=NOW)
        updated = self.add(kind, state, created_at=NOW, updated_at=LONG_AGO)
        created = self.add(kind, state, created_at=LONG_AGO)
        self.assertEqual([created, updated], self.found('--stuck', STUCK))

    def test_soft_deleted(self):
        """--deleted lists soft-deleted moves too, with every filter."""
        kind, state = ALL[0]
        gone = self.add(kind, state, deleted=1, deleted_at=NOW)
        there = self.add(kind, state)
        for filters in ((), ('--in-progress', '--type', kind)):
            self.assertEqual([there], self.found(*filters))
            self.assertEqual([there, gone], self.found('--deleted', *filters))

    def test_inconsistent(self):
        """--inconsistent finds what was written over, and nothing else."""
        self.add_every_state()
        odd = [
            self.add(kind, state, status=cmd_test.UNKNOWN)
            for kind, state in ALL[::5]
        ]
        self.assertEqual(odd[::-1], self.found('--inconsistent'))

    def test_limit(self):
        """--limit shows the newest N at the most."""
        names = list(self.add_every_state())[::-1]
        for limit in (1, 3, len(names), len(names) + 5):
            self.assertEqual(names[:limit], self.found('--limit', limit))
        self.assertEqual(names, self.found('--limit', 0))

    def test_more(self):
        """Without --limit there are a hundred, and how to see the others."""
        kind, state = ALL[0]
        names = [self.add(kind, state) for _number in range(LIMIT)][::-1]
        every = self.work('migration', 'list', '-f', 'json')
        self.assertEqual((LIMIT, ''), (len(every.json), every.err))
        names.insert(0, self.add(kind, state))
        for argv, last in (((), LIMIT), (('--limit', 7), 7)):
            for form in cmd_test.FORMATS:
                result = self.work('migration', 'list', *argv, '-f', form)
                self.assertEqual(
                    f'{last} shown; more with --marker {names[last - 1]}'
                    ' or --limit 0\n',
                    result.err,
                )
        self.assertEqual(names[LIMIT:], self.found('--marker', names[99]))

    def test_marker(self):
        """Page after page has each row once, whatever is written between.

        Rows are inserted, moved and taken away between the pages; there are
        rows without any time, and without a uuid.
        """
        kind, state = ALL[0]
        ids = [
            self.insert(migration_type=kind, status=state.legacy)
            if number % 5 == 0
            else self.by_uuid(self.add(kind, state, created_at=None)).id
            for number in range(17)
        ]
        seen, marker = [], ()
        while True:
            page = self.listed('migration', 'list', '--limit', 4, *marker)
            if not page:
                break
            seen += [row['Id'] for row in page]
            last = page[-1]
            marker = ('--marker', last['Migration'])
            self.add(kind, state)
            self.write_to(last['Id'], created_at=NOW, updated_at=NOW)
            if last['Migration'] == str(last['Id']):
                self.remove(last['Id'])
        self.assertEqual(ids[::-1], seen)

    def write_to(self, row_id, **values):
        """Change columns of a row."""
        table = models.MIGRATIONS
        with self.db.engine.begin() as connection:
            connection.execute(
                table.update().where(table.c.id == row_id).values(**values)
            )

    def remove(self, row_id):
        """Delete a row, as the archiver does."""
        table = models.MIGRATIONS
        with self.db.engine.begin() as connection:
            connection.execute(table.delete().where(table.c.id == row_id))

    def test_long_lists_in_chunks(self):
        """A list that is longer than a chunk has each row once, in order."""
        self.useFixture(fixtures.MonkeyPatch(f'{api.__name__}.CHUNK', 7))
        names = list(self.add_every_state())[::-1]
        for most in (0, 6, 7, 8, 14, 15):
            self.assertEqual(
                names[: most or None], self.found('--limit', most)
            )

    def test_for_people(self):
        """The table has the server's uuid whole, within 80 characters."""
        server = str(uuid.uuid4())
        hosts = {
            'source_compute': 'compute-17.rack-3.example.org',
            'dest_compute': 'compute-4711.rack-42.example.org',
        }
        for number, (kind, state) in enumerate(ALL, 90000):
            self.add(
                kind,
                state,
                id=number,
                instance_uuid=server,
                state_changed_at=NOW - datetime.timedelta(days=3, hours=5),
                **hosts,
            )
        out = self.work('migration', 'list').out
        lines = out.splitlines()
        self.assertLessEqual(max(map(len, lines)), 80, out)
        self.assertEqual(len(ALL), out.count(f' {server} '))
        for host in hosts.values():
            self.assertEqual(len(ALL), out.count(f' {host}'))
        self.assertEqual(len(ALL), out.count(' 3d '))
        for kind, state in ALL:
            self.assertIn(f'| {kind} ', out)
            self.assertIn(f'| {state.name} ', out)

    def test_nothing(self):
        """What there is not is a dash for people, and null for programs."""
        self.insert(migration_type='resize')
        for argv in ((), ('--long',), ('-c', 'State', '-c', 'Server')):
            out = self.work('migration', 'list', *argv).out
            self.assertNotIn('None', out)
            self.assertRegex(out, r'\| -+ +\|')
        (row,) = self.listed('migration', 'list')
        self.assertEqual((None, None), (row['Server'], row['State']))
        shown = self.work('migration', 'show', '1').out
        self.assertNotIn('None', shown)
        self.assertRegex(shown, r'instance_uuid +\| - ')

    def test_text_without_harm(self):
        """Whatever a row says, the table for people has it on its lines."""
        evil = '\x1b[31m\n' + 'x' * 60
        for status in (evil, 'Done '):
            self.insert(
                status=status, instance_uuid=evil[:36], source_compute=evil
            )
        out = self.work('migration', 'list').out
        self.assertTrue(out.replace('\n', '').isprintable(), out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80, out)
        self.assertIn("status 'Done '", out)

    def test_filters_together(self):
        """Filters are combined."""
        states = self.add_every_state()
        kind, state = ALL[0]
        self.assertEqual(
            {n for n, both in states.items() if both == (kind, state)},
            set(
                self.found(
                    '--type', kind, '--state', state.name, '--in-progress'
                )
            ),
        )

    def test_rows_from_before(self):
        """A row without uuid, type or status is listed by its id."""
        state = MACHINES['resize'].table.start
        first = self.insert(
            status=state.legacy, old_instance_type_id=1, new_instance_type_id=2
        )
        second = self.insert(migration_type='resize')
        rows = self.listed('migration', 'list')
        self.assertEqual(
            [
                (str(second), 'resize', None),
                (str(first), 'resize', state.name),
            ],
            [(str(r['Migration']), r['Type'], r['State']) for r in rows],
        )


class ListRefusedTest(MovesTest, base.DatabaseTest, test_base.TestCase):
    """What ``migration list`` does not take."""

    def test_unknown_state(self):
        """A mistyped state is answered with the nearest one."""
        for name in registry.states_with():
            wrong = f'{name[:-1]}x'
            result = self.manage('migration', 'list', '--state', wrong)
            self.assert_one_line(result, 1, f'{wrong!r}', 'did you mean')

    def test_usage(self):
        """A type there is not, and numbers below 1, are usage errors."""
        for option, wrong in (
            ('--type', 'resiz'),
            ('--limit', '-1'),
            ('--limit', 'x'),
            ('--stuck', '0'),
            ('--stuck', '-1'),
            ('--stuck', 'soon'),
        ):
            result = self.manage('migration', 'list', f'{option}={wrong}')
            self.assertEqual(exits.WRONG_CALL, result.code, result)
            self.assertIn('usage:', result.err)

    def test_for_ever(self):
        """More seconds than a clock has give an answer or one line."""
        self.add(*ALL[0])
        for seconds in ('9' * 9, '9' * 10, '9' * 12, '9' * 20):
            result = self.manage('migration', 'list', '--stuck', seconds)
            if result.code:
                self.assertEqual(exits.WRONG_CALL, result.code, result)
                self.assertIn(f'{seconds} is not 1 to ', result.err)
            self.assertEqual('', result.out.strip(), result)

    def test_unknown_marker(self):
        """A marker that is not there is one line, before anything is shown."""
        self.add(*ALL[0])
        for form in cmd_test.FORMATS:
            result = self.manage(
                'migration', 'list', '--marker', 'gone', '-f', form
            )
            self.assert_one_line(result, 1, 'gone could not be found')

    def test_nothing_found(self):
        """An empty list is no error."""
        self.assertEqual([], self.found())
        self.assertEqual('\n', self.work('migration', 'list').out)


@base.on_every_database
class ShowTest(MovesTest):
    """``migration show``."""

    def test_by_uuid_and_by_id(self):
        """A move is found by its uuid and by its id, and says all."""
        for kind, state in ALL[::5]:
            name = self.add(kind, state, state_reason='so')
            shown = self.listed('migration', 'show', name)
            self.assertEqual(
                shown, self.listed('migration', 'show', shown['id'])
            )
            self.assertEqual(
                {
                    'uuid': name,
                    'migration_type': kind,
                    'status': state.status,
                    'state': state.name,
                    'legacy_status': state.legacy,
                    'state_reason': 'so',
                    'source_compute': 'here',
                    'allowed_events': ', '.join(
                        MACHINES[kind].events_from(state.name)
                    ),
                },
                {
                    key: shown[key]
                    for key in (
                        'uuid',
                        'migration_type',
                        'status',
                        'state',
                        'legacy_status',
                        'state_reason',
                        'source_compute',
                        'allowed_events',
                    )
                },
            )

    def test_in_every_format(self):
        """Every format says the same status and state."""
        kind, state = ALL[0]
        name = self.add(kind, state)
        for form in ('json', 'value', 'table', 'shell'):
            out = self.work('migration', 'show', name, '-f', form).out
            self.assertIn(state.name, out)
            self.assertIn(state.status, out)
            self.assertIn(name, out)

    def test_in_yaml(self):
        """YAML says the same as JSON, of one move and of all."""
        name = self.add(*ALL[0])
        for argv in (('list',), ('show', name)):
            out = self.work('migration', *argv, '-f', 'yaml').out
            self.assertEqual(
                self.listed('migration', *argv), yaml.safe_load(out)
            )

    def test_legacy_row(self):
        """A legacy row is shown by its string and by what that means."""
        kind, state = ALL[0]
        name = self.add(kind, state, canonical=False)
        shown = self.listed('migration', 'show', name)
        self.assertEqual(
            (state.status, state.name, state.legacy),
            (shown['status'], shown['state'], shown['legacy_status']),
        )

    def test_unknown_string(self):
        """A row that nobody knows is shown, with no event allowed."""
        kind, state = ALL[0]
        name = self.add(kind, state, canonical=False, status=cmd_test.UNKNOWN)
        shown = self.listed('migration', 'show', name)
        self.assertEqual(
            (None, None, cmd_test.UNKNOWN, ''),
            (
                shown['status'],
                shown['state'],
                shown['legacy_status'],
                shown['allowed_events'],
            ),
        )

    def test_no_such_row(self):
        """A row that is not there gives one line with what was asked for."""
        for name in (
            str(uuid.UUID(int=99)),
            '99',
            'compute-1',
            "x' OR '1'='1",
            '\u0663',
        ):
            for command in (['show', name], ['process-event', name, 'fail']):
                reason = ['--reason=x'] if len(command) > 2 else []
                result = self.manage('migration', *command, *reason)
                self.assert_one_line(result, 1)
                self.assertIn('could not be found', result.err)

    def test_an_id_that_no_column_holds(self):
        """An id beyond every integer gives one line."""
        result = self.manage('migration', 'show', '9' * 30)
        self.assert_one_line(result, 1)

    def test_before_expand(self):
        """Without our columns each command says to expand first."""
        self.work('db', 'restore', '--drop-columns')
        for argv in (
            ('list',),
            ('list', '--stuck', '1'),
            ('show', '1'),
            ('process-event', '1', 'fail', '--reason', 'x'),
        ):
            result = self.manage('migration', *argv)
            self.assert_one_line(result, 1, 'db upgrade --expand')


@base.on_every_database
class ProcessEventTest(MovesTest):
    """``migration process-event``."""

    def test_told(self):
        """It says what came of which event, and in which database."""
        kind, edge = next(self.edges())
        machine = MACHINES[kind]
        name = self.add(kind, machine.state(edge.source))
        target = machine.state(edge.target)
        self.assertEqual(
            {
                'uuid': name,
                'outcome': 'moved',
                'event': edge.event,
                'before': edge.source,
                'state': target.name,
                'status': target.status,
                'reason': self.REASON,
                'database': errors.shown(self.db.engine.url),
            },
            self.process(name, edge.event).json,
        )

    def test_password(self):
        """The database is named without the password."""
        kind, edge = next(self.edges())
        name = self.add(kind, MACHINES[kind].state(edge.source))
        out = self.process(name, edge.event).out
        password = self.db.engine.url.password
        self.assertIn(self.db.engine.url.database, out)
        if password:
            self.assertIn(':***@', out)
            self.assertNotIn(f':{password}@', out)

    REASON = "compute-3 lost power; it's ticket 4711, 100% sure"

    def process(self, name, event, reason=REASON):
        """Process an event of a migration; return what came of it."""
        return self.manage(
            'migration',
            'process-event',
            name,
            event,
            '--reason',
            reason,
            '-f',
            'json',
        )

    def edges(self):
        """Yield one edge to each state of each type."""
        seen = set()
        for kind in MIGRATION_TYPES:
            for edge in MACHINES[kind].table.edges:
                if (kind, edge.target) not in seen:
                    seen.add((kind, edge.target))
                    yield kind, edge

    def test_moved(self):
        """An event moves a row of either form, and the reason is kept."""
        for number, (kind, edge) in enumerate(list(self.edges())[::2]):
            machine = MACHINES[kind]
            canonical = bool(number % 2)
            name = self.add(kind, machine.state(edge.source), canonical)
            target = machine.state(edge.target)
            result = self.process(name, edge.event)
            self.assertEqual(0, result.code, result)
            self.assertEqual(
                ('moved', target.name, target.status, self.REASON),
                (
                    result.json['outcome'],
                    result.json['state'],
                    result.json['status'],
                    result.json['reason'],
                ),
            )
            row = self.by_uuid(name)
            stored = (
                (target.name, target.status)
                if canonical
                else (None, target.legacy)
            )
            self.assertEqual(
                (*stored, self.REASON),
                (row.state, row.status, row.state_reason),
            )
            self.assertGreaterEqual(row.state_changed_at, NOW)

    def test_by_id(self):
        """A row is found by its id too."""
        kind, edge = next(self.edges())
        name = self.add(kind, MACHINES[kind].state(edge.source))
        result = self.process(self.by_uuid(name).id, edge.event)
        self.assertEqual('moved', result.json['outcome'])

    def test_absorbed(self):
        """A late report has its own exit code, and changes only the reason.

        One that cannot be true is a warning to whoever looks at the terminal.
        """
        for kind in MIGRATION_TYPES:
            for pair in MACHINES[kind].table.absorbed:
                state = MACHINES[kind].state(pair.state)
                name = self.add(kind, state, state_reason='the first')
                before = self.by_uuid(name)
                result = self.process(name, pair.event)
                self.assertEqual(exits.ABSORBED, result.code, result)
                self.assertEqual(pair.state, result.json['before'])
                told = [pair.contradicts] * 2
                self.assertEqual(told, [LOOK in result.err, bool(result.err)])
                self.assertEqual(
                    ('absorbed', state.name),
                    (result.json['outcome'], result.json['state']),
                )
                row = self.by_uuid(name)
                self.assertStartsWith(row.state_reason, 'the first; ')
                self.assertIn(self.REASON, row.state_reason)
                self.assertEqual(result.json['reason'], row.state_reason)
                self.assertEqual(
                    {**before._mapping, 'state_reason': None},
                    {**row._mapping, 'state_reason': None},
                )

    def assertStartsWith(self, text, start):
        """A text begins with another one."""
        self.assertEqual(start, text[: len(start)])

    def test_refused(self):
        """An illegal event says what is allowed and changes nothing."""
        for kind in MIGRATION_TYPES:
            machine = MACHINES[kind]
            state, event = next(
                (state, event)
                for state in machine.table.states
                for event in machine.table.events
                if machine.decide(state.name, event) is None
                and not state.terminal
            )
            name = self.add(kind, state)
            before = self.by_uuid(name)
            result = self.process(name, event)
            self.assert_one_line(
                result,
                1,
                repr(str(state.name)),
                repr(event),
                *machine.events_from(state.name),
            )
            self.assertEqual(before, self.by_uuid(name))

    def test_terminal(self):
        """A move that is over takes no event."""
        kind, state = next(
            (kind, state) for kind, state in ALL if state.terminal
        )
        machine = MACHINES[kind]
        name = self.add(kind, state)
        event = next(
            event
            for event in machine.table.events
            if machine.decide(state.name, event) is None
        )
        self.assert_one_line(self.process(name, event), 1, 'nothing')

    def test_unknown_event(self):
        """A mistyped event is answered with the nearest one."""
        kind, edge = next(self.edges())
        name = self.add(kind, MACHINES[kind].state(edge.source))
        before = self.by_uuid(name)
        result = self.process(name, f'{edge.event}x')
        self.assert_one_line(result, 1, 'did you mean', repr(edge.event))
        self.assertEqual(before, self.by_uuid(name))

    def test_unknown_string(self):
        """A row that nobody knows is for --map and takes no event."""
        kind, state = ALL[0]
        name = self.add(kind, state, canonical=False, status=cmd_test.UNKNOWN)
        result = self.process(name, 'fail')
        self.assert_one_line(result, 1, repr(cmd_test.UNKNOWN), '--map')

    def test_missing_reason(self):
        """Nothing is moved without a reason."""
        kind, edge = next(self.edges())
        name = self.add(kind, MACHINES[kind].state(edge.source))
        before = self.by_uuid(name)
        result = self.manage('migration', 'process-event', name, edge.event)
        self.assertEqual(exits.WRONG_CALL, result.code)
        self.assertIn('--reason', result.err)
        self.assertEqual(before, self.by_uuid(name))

    def test_empty_reason(self):
        """An empty reason is none."""
        kind, edge = next(self.edges())
        name = self.add(kind, MACHINES[kind].state(edge.source))
        before = self.by_uuid(name)
        for empty in ('', '  '):
            result = self.process(name, edge.event, empty)
            self.assertNotEqual(0, result.code, result)
            self.assertEqual(before, self.by_uuid(name))

    def test_reason_of_any_text(self):
        """A reason in any script and length leaves the first cause first."""
        kind, edge = next(self.edges())
        name = self.add(
            kind, MACHINES[kind].state(edge.source), state_reason='first'
        )
        reason = '\u65e5\u672c %s :x \'"\\ ' * 1000
        self.assertEqual(0, self.process(name, edge.event, reason).code)
        row = self.by_uuid(name)
        self.assertStartsWith(row.state_reason, f'first; {reason[:50]}')
        self.assertEqual(models.REASON_LENGTH, len(row.state_reason))

    def test_until_the_end(self):
        """A live migration can be led through its machine by hand."""
        kind = 'live-migration'
        machine = MACHINES[kind]
        name = self.add(kind, machine.table.start)
        state = machine.table.start
        steps = []
        while not state.terminal:
            event = machine.events_from(state.name)[0]
            result = self.process(name, event, f'because of {event}')
            self.assertEqual('moved', result.json['outcome'])
            state = machine.state(result.json['state'])
            steps.append(f'because of {event}')
        self.assertIn(state.status, set(MigrationStatus))
        self.assertEqual('; '.join(steps), self.by_uuid(name).state_reason)
        self.assertEqual([], self.found('--in-progress'))
