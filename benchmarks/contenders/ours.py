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

"""Our objects; only for a process that has none of Nova's."""

from typing import Any

from benchmarks.contenders import load
from benchmarks.contenders import write
from nova_migration import context
from nova_migration import objects
from nova_migration.db import engine


class Event(write.Contender):
    """``Migration.process_event`` on an object in hand."""

    def connect(self) -> None:
        self.context = context.get_admin_context(engine.from_url(self.url))

    def prepare(self) -> None:
        self.objects = {
            row_id: objects.Migration.get_by_id(self.context, row_id)
            for row_id in self.ids
        }

    def move(self, row_id: int) -> None:
        self.objects[row_id].process_event(write.EDGE.event)


class List(load.Contender):
    """``MigrationList``, of 31 columns."""

    def connect(self) -> None:
        self.context = context.get_admin_context(engine.from_url(self.url))

    def load(self) -> Any:
        return objects.MigrationList.get_by_filters(self.context, {})
