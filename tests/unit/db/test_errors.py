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

"""What of a URL is shown."""

import itertools

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_migration.db import errors
from tests import base

SECRET = 'S3CRETword'

#: Wherever a URL may hold what is not for everybody.
URLS = (
    f'mysql+pymysql://u:{SECRET}@h/n',
    f'mysql+pymysql://u:a%40{SECRET}@h:1/n?charset=utf8',
    f'mysql+pymysql://u@h/n?read_timeout={SECRET}',
    f'postgresql://u@h/n?sslmode={SECRET}&sslmode=x',
    f'postgresql://u@h/n?options=-c%20{SECRET}',
    f'postgresql://u@h/n?options=-c%20{SECRET}%3D5',
    f'sqlite:///x.db?timeout={SECRET}&uri=true',
)

#: How drivers repeat a value.
SENTENCES = (
    'invalid literal for int() with base 10: {!r}',
    'invalid sslmode value: "{}"',
    'unrecognized configuration parameter "{}"\nDETAIL: none',
    '{}',
    'could not read "/etc/{}.pem": no such file',
)


class Shown(base.TestCase):
    """Nothing of a URL that may be secret is shown."""

    def test_url(self):
        """A URL is shown with its server and name, and without the rest."""
        for url in URLS:
            for form in (url, sa.make_url(url)):
                self.assertNotIn(SECRET, errors.shown(form))
                self.assertNotIn('?', errors.shown(form))
        self.assertEqual(
            'mysql+pymysql://u:***@h:1/n',
            errors.shown('mysql+pymysql://u:p@h:1/n?a=b'),
        )

    def test_what_drivers_say(self):
        """A value that a driver repeats, whole or in part, is masked."""
        for url, sentence in itertools.product(URLS, SENTENCES):
            for value in (SECRET, f'-c {SECRET}', f'-c {SECRET}=5'):
                error = ValueError(sentence.format(value))
                said = errors.said(sa.make_url(url), error)
                self.assertNotIn(SECRET, said, url)
                self.assertIn('***', said)

    def test_escaped(self):
        """A value is found as Python writes it in a sentence."""
        url = sa.make_url('mysql://u@h/n').set(query={'a': "o'\x1b\u00fc\\"})
        for written in (repr, ascii):
            error = ValueError(f'bad: {written(url.query["a"])}')
            self.assertNotIn(written(url.query['a']), errors.said(url, error))
            self.assertIn('***', errors.said(url, error))

    def test_what_is_no_secret(self):
        """The server's own words stay, and what the URL shows anyway."""
        error = ValueError("Access denied for user 'u'@'h' to database 'n'")
        for url in (*URLS, 'mysql://u:u@h/n', 'mysql://u:n@h/n?a=h'):
            said = errors.said(sa.make_url(url), error)
            self.assertEqual(str(error), said)

    def test_cause(self):
        """A traceback does not have what the line leaves out."""
        url = sa.make_url(f'mysql://u@h/n?read_timeout={SECRET}')
        try:
            try:
                int(SECRET)
            except ValueError as error:
                raise sa_exc.ArgumentError('odd') from error
        except sa_exc.ArgumentError as error:
            self.assertIsNone(errors.source(url, error))
        harmless = ValueError('odd')
        self.assertIs(harmless, errors.source(url, harmless))
