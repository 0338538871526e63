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

"""What listings are printed with, beside cliff's own."""

import argparse
import datetime
import io
import itertools

from cliff.formatters import json_format

from nova_migration.cmd import base as cmd_base
from nova_migration.cmd import formats
from nova_migration.cmd import migration
from tests import base

NAMES = ('Name', 'Odd')
ROWS = (('a', None), ('b\n', cmd_base.Text('\x1b')), (1, [2, {'c': 'd\n'}]))


class JsonTest(base.TestCase):
    """JSON row by row."""

    def test_as_cliff_has_it(self):
        """It is cliff's to the byte, for any number of rows."""
        for number, noindent in itertools.product(range(4), (False, True)):
            args = argparse.Namespace(noindent=noindent)
            said = []
            for kind in (json_format.JSONFormatter, formats.Json):
                out = io.StringIO()
                kind().emit_list(NAMES, iter(ROWS[:number]), out, args)
                said.append(out.getvalue())
            self.assertEqual(*said)

    def test_nothing_before_the_first_row(self):
        """An error of the first row leaves nothing behind."""

        def rows():
            raise ValueError('gone')
            yield

        out = io.StringIO()
        with self.assertRaisesRegex(ValueError, 'gone'):
            formats.Json().emit_list(
                NAMES, rows(), out, argparse.Namespace(noindent=False)
            )
        self.assertEqual('', out.getvalue())


class AgeTest(base.TestCase):
    """How long ago, in one unit."""

    def test_age(self):
        """The greatest unit of which there is one; none for what is odd."""
        now = datetime.datetime(2024, 2, 3, tzinfo=datetime.UTC)
        for seconds, said in (
            (-5, '0s'),
            (0, '0s'),
            (59.9, '59s'),
            (60, '1m'),
            (3599, '59m'),
            (3600, '1h'),
            (86399, '23h'),
            (86400, '1d'),
            (400 * 86400, '400d'),
        ):
            then = now - datetime.timedelta(seconds=seconds)
            self.assertEqual(said, migration.age(then, now))
        for odd in (None, '0000-00-00 00:00:00'):
            self.assertIsNone(migration.age(odd, now))
