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

"""What the page on porting shows is so."""

from tests.dropin import base
from tests.dropin import porting
from tests.functional import base as functional_base


class PortingTest(base.DropinTest):
    """Ported and unported call sites, on both forms of a row."""

    backends = ('sqlite',)

    def test_writing(self):
        """Both ways of writing leave the same row."""
        for canonical in (False, True):
            rows = []
            for write in (porting.unported, porting.ported):
                row_id = self.put('resize', 'migrating', canonical=canonical)
                write(self.migration(row_id))
                row = self.row(row_id)
                rows.append((*self.position(row_id), row.dest_compute))
            self.assertEqual(rows[0], rows[1])
            self.assertEqual('host2', rows[0][3])

    def test_refused(self):
        """The error says where the migration is."""
        said = []
        row_id = self.put('resize', 'confirmed', canonical=True)
        porting.refused(self.migration(row_id), said.append)
        self.assertIn('in migration status confirmed', said[0])

    def test_deciding(self):
        """What is read off the state holds for both forms."""
        for canonical in (False, True):
            row_id = self.put(
                'resize', 'awaiting-confirmation', canonical=canonical
            )
            self.assertEqual(
                (True, True, True), porting.deciding(self.migration(row_id))
            )


functional_base.on_every_database(PortingTest)
