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

"""What a request carries to the objects: who asks, and which database."""

from typing import Any

from oslo_context import context

from nova_migration.db import engine


class RequestContext(context.RequestContext):
    """oslo.context's, with the database that remotable methods use.

    A service that has a context of its own gives it the same two attributes.

    :param db: None in a process that has no database and asks a conductor
    :param read_deleted: ``no``, ``yes`` or ``only``, as in Nova
    """

    def __init__(
        self,
        *args: Any,
        db: engine.Database | None = None,
        read_deleted: str = 'no',
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.db = db
        self.read_deleted = read_deleted


def get_admin_context(
    db: engine.Database, read_deleted: str = 'no'
) -> RequestContext:
    """Return the context of a command or a periodic task."""
    return RequestContext(is_admin=True, db=db, read_deleted=read_deleted)
