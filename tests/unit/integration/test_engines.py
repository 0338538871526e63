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


"""Which databases have been expanded, and who waits for an answer."""

import threading
from unittest import mock

import sqlalchemy as sa

from nova_migration.integration.dropin import engines
from tests import base


class LookingTest(base.TestCase):
    """Each database is looked at for itself."""

    def engine(self):
        """Return an engine that nobody has looked at."""
        engine = sa.create_engine('sqlite://')
        self.addCleanup(engine.dispose)
        return engine

    def test_database_that_hangs(self):
        """While one database does not answer, another one is taken up."""
        hanging, other = self.engine(), self.engine()
        asked, answer = threading.Event(), threading.Event()
        self.addCleanup(answer.set)

        def find(connection):
            if connection.dialect is hanging.dialect:
                asked.set()
                answer.wait()
            return True

        with mock.patch.object(engines._looks, '_ask', find):
            waiting = threading.Thread(
                target=engines.goes_to_expanded, args=[hanging], daemon=True
            )
            waiting.start()
            asked.wait()
            self.assertTrue(engines.goes_to_expanded(other))
            self.assertFalse(engines.is_expanded(hanging.dialect))
            answer.set()
            waiting.join()
        self.assertTrue(engines.is_expanded(hanging.dialect))

    def test_looked_at_once(self):
        """Threads that come to one database together ask it once."""
        engine = self.engine()
        looks = []
        second = threading.Event()

        def find(connection):
            looks.append(connection)
            if len(looks) > 1:
                second.set()
            second.wait(0.1)
            return True

        with mock.patch.object(engines._looks, '_ask', find):
            threads = [
                threading.Thread(
                    target=engines.goes_to_expanded, args=[engine]
                )
                for _number in range(3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(1, len(looks))

    def test_not_expanded(self):
        """A database without our columns is told of at each look."""
        engine = self.engine()
        with engine.begin() as connection:
            for name in ('migrations', 'shadow_migrations'):
                connection.execute(sa.text(f'CREATE TABLE {name} (id INT)'))
        for _time in range(2):
            self.assertFalse(engines.look_again(engine))
            self.assertFalse(engines.goes_to_expanded(engine))
        self.assertEqual(
            2, self.log.output.count('sqlite://: the database is not expanded')
        )
