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

"""Every query of Nova's on statuses is answered alike in both forms."""

import itertools
import uuid

from nova_migration.db import schema
from tests.dropin import base
from tests.functional import base as functional_base
from tests.nova import rows
from tests.nova import test_upgrade

_SPACE = uuid.UUID(int=7)
OURS = 'nova_migration.integration.dropin.objects'


def rows_with_uuids():
    """Return every kind of row; Nova gives a uuid to those it reads."""
    for row in rows.each_once():
        row['uuid'] = str(uuid.uuid5(_SPACE, str(row['id'])))
        row['hidden'] = bool(row['hidden'])
        row['cross_cell_move'] = bool(row['cross_cell_move'])
        yield row


def _folded(word):
    return word.casefold().rstrip()


class QueriesTest(test_upgrade.FilledTest):
    """The answers of an unmodified Nova are what is expected.

    Nova itself is not tested with PostgreSQL.
    """

    backends = ('sqlite', 'mysql')
    timeout = 900
    ROWS = staticmethod(lambda: list(rows_with_uuids()))

    def ask(self, url):
        """Ask everything in a new process; return the answers."""
        answers, _log = base.run('ask', url)
        return answers

    def test_same_answers(self):
        """Before expand, after it and after migrate, Nova says the same.

        Rows that nobody knows, odd and soft-deleted ones and rows without a
        status are among them; so are pages in the order of the status.
        """
        expected = self.ask(self.url)
        self.assertEqual('nova.objects.migration', expected.pop('object'))
        word = base.with_word(self.url)
        steps = {
            'not expanded': lambda: None,
            'legacy rows': lambda: schema.expand(self.db, create=True),
            'canonical rows': self.migrate,
            'legacy rows again': self.restore,
        }
        for step, take in steps.items():
            take()
            answers = self.ask(word)
            self.assertEqual(OURS, answers.pop('object'))
            for question, answer in expected.items():
                self.assertSameAnswer(step, question, answer, answers)

    def assertSameAnswer(self, step, question, expected, answers):
        """Compare two answers, and show the first thing that differs."""
        actual = answers[question]
        if isinstance(expected, str):
            # MariaDB takes some strings for one, and we the newest row.
            expected, actual = _folded(expected), _folded(actual)
        if expected == actual or not isinstance(expected, list):
            self.assertEqual(expected, actual, (step, question))
            return
        differing = [
            pair
            for pair in itertools.zip_longest(expected, actual)
            if pair[0] != pair[1]
        ]
        self.assertEqual([], differing[:1], (step, question))


class MappedTest(test_upgrade.FilledTest):
    """What the operator maps is shown as before, and found as what it is."""

    backends = ('sqlite', 'mysql')
    timeout = 900
    ROWS = staticmethod(lambda: list(rows_with_uuids()))

    def test_mapped_strings(self):
        """A mapped row is found under its string and under its state's."""
        before, _log = base.run('ask', self.url)
        schema.expand(self.db, create=True)
        self.migrate(*self.map_everything())
        after, _log = base.run('ask', base.with_word(self.url))
        odd = repr(('yes', 'filter', 'goofballs'))
        self.assertNotEqual([], before[odd])
        self.assertEqual(before[odd], after[odd])
        error = repr(('yes', 'filter', 'error'))
        self.assertLess(len(before[error]), len(after[error]))
        found = {row[0] for row in after[error]}
        self.assertLess({row[0] for row in after[odd]}, found)
        self.check_over(after)

    def check_over(self, after):
        """A row that was mapped to an end is in progress no more."""
        question = (
            'yes',
            'migration_get_in_progress_by_host_and_node',
            'Höst 1',
        )
        statuses = {row[1] for row in after[repr(question)]}
        self.assertNotEqual(set(), statuses)
        self.assertEqual(set(), statuses & set(rows.ODD))


for _mixin in (QueriesTest, MappedTest):
    functional_base.on_every_database(_mixin)
