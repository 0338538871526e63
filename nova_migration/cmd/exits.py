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


"""What the programs exit with: one table, and names for its numbers.

The manual's table is made from this one, and so are the tests that reach
each of its rows. A number means one thing for a command, though not the same
thing for every command: ``db check`` and ``db upgrade`` follow commands of
other projects that operators know.
"""

import dataclasses
from typing import Final

#: It was done, or nothing had to be.
DONE: Final = 0

#: An error, of every command but `db upgrade` and `db restore`.
ERROR: Final = 1

#: `db upgrade` and `db restore`, as `nova-manage db online_data_migrations`.
ROWS_REMAIN: Final = 1
NOT_MIGRATED: Final = 2
UPGRADE_ERROR: Final = 255

#: `db check`, as `keystone-manage db_sync --check`.
EXPAND_NEEDED: Final = 2
MIGRATE_NEEDED: Final = 3
CONTRACT_NEEDED: Final = 4

#: `migration process-event`: the row was past it, and stays.
ABSORBED: Final = 3

#: `demo`: the way back did not give the same bytes.
DIFFERS: Final = 2

#: `nova-migration-status upgrade check`, which are oslo.upgradecheck's.
WARNINGS: Final = 1
FAILURES: Final = 2
CHECK_ERROR: Final = 255

#: EX_USAGE of sysexits.h; argparse's own 2 has a meaning here.
WRONG_CALL: Final = 64

#: EX_TEMPFAIL: another upgrade or restore is at work on the database.
AT_WORK: Final = 75

#: As a shell has it: 128 and the number of SIGINT, or of SIGPIPE.
INTERRUPTED: Final = 130
READER_GONE: Final = 141

CHECK, UPGRADE, RESTORE = 'db check', 'db upgrade', 'db restore'
PROCESS_EVENT, DEMO = 'migration process-event', 'demo'
STATUS = 'nova-migration-status upgrade check'

#: Every command that has no meanings of its own for a number.
OTHERS = 'every other one'

#: Every command of both programs.
EVERY = 'every command'


@dataclasses.dataclass(frozen=True)
class Exit:
    """What a number means for some commands.

    :param commands: those that exit with it and mean this
    :param code: the number
    :param meaning: one sentence without its full stop
    """

    commands: tuple[str, ...]
    code: int
    meaning: str


TABLE: Final = (
    Exit((CHECK,), DONE, 'nothing to do'),
    Exit((CHECK,), EXPAND_NEEDED, '*expand* is needed'),
    Exit(
        (CHECK,),
        MIGRATE_NEEDED,
        '*migrate* is needed, or a row needs a decision',
    ),
    Exit((CHECK,), CONTRACT_NEEDED, '*contract* is needed'),
    Exit((CHECK,), ERROR, 'an error'),
    Exit((UPGRADE, RESTORE), DONE, 'nothing remains'),
    Exit(
        (UPGRADE, RESTORE),
        ROWS_REMAIN,
        'rows remain: ``--max-count`` was reached, or a writer has added some'
        ' or holds them',
    ),
    Exit(
        (UPGRADE,),
        NOT_MIGRATED,
        'rows could not be migrated; they are named',
    ),
    Exit(
        (UPGRADE, RESTORE),
        AT_WORK,
        'another upgrade or restore is at work on the database',
    ),
    Exit((UPGRADE, RESTORE), UPGRADE_ERROR, 'an error'),
    Exit((PROCESS_EVENT,), DONE, 'the migration was moved'),
    Exit(
        (PROCESS_EVENT,),
        ABSORBED,
        'the event was absorbed: the migration is past it, and stays',
    ),
    Exit((PROCESS_EVENT,), ERROR, 'an error; the event was refused, too'),
    Exit((DEMO,), DONE, 'the bytes were the same again'),
    Exit((DEMO,), DIFFERS, 'the bytes were not the same again: a bug'),
    Exit((DEMO,), ERROR, 'an error'),
    Exit((STATUS,), DONE, 'every check succeeded'),
    Exit((STATUS,), WARNINGS, 'the worst result is a warning'),
    Exit((STATUS,), FAILURES, 'the worst result is a failure'),
    Exit((STATUS,), CHECK_ERROR, 'the checks could not be run'),
    Exit((OTHERS,), DONE, 'it was done'),
    Exit((OTHERS,), ERROR, 'an error'),
    Exit(
        (EVERY,),
        WRONG_CALL,
        'a wrong call: a command, an option or an argument that is none;'
        ' nothing was done',
    ),
    Exit(
        (EVERY,),
        INTERRUPTED,
        'stopped by Ctrl-C; ``db upgrade`` and ``db restore`` by SIGTERM,'
        ' too, after the batch',
    ),
    Exit((EVERY,), READER_GONE, 'whoever read the output has gone'),
)


def of(command: str) -> dict[int, str]:
    """Return what each number means for a command."""
    own = [row for row in TABLE if command in row.commands]
    general = OTHERS if not own else command
    return {
        row.code: row.meaning
        for row in TABLE
        if {general, EVERY}.intersection(row.commands)
    }
