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

"""A process of Nova's that is asked, by lines of JSON, to move servers.

All that it does is done through Nova's own objects. It stays as it was
started, as services do, until it is started again: what the operator changes
in the configuration or the database meanwhile reaches it only then.
"""

import json
import sys

from nova import config
from nova import context as nova_context
from nova import exception
from nova import objects
from oslo_log import log as logging


class Service:
    """What can be asked.

    :param cell: the UUID of a cell mapping, whose URL is the way to the
        database; None for ``[database] connection``
    """

    def __init__(self, cell):
        self.context = nova_context.get_admin_context()
        if cell is not None:
            mapping = objects.CellMapping.get_by_uuid(self.context, cell)
            nova_context.set_target_cell(self.context, mapping)

    def begin(self, kind, status):
        """Create a server and a migration of it; return the two's ids."""
        instance = objects.Instance(
            self.context, project_id='project', user_id='user', host='source'
        )
        instance.create()
        migration = objects.Migration(
            self.context,
            instance_uuid=instance.uuid,
            migration_type=kind,
            status=status,
            source_compute='source',
            source_node='source',
            dest_compute='destination',
            dest_node='destination',
            dest_compute_id=1,
        )
        migration.create()
        return {'id': migration.id, 'server': instance.uuid}

    def report(self, migration, status):
        """Say where a migration is; return what its row says then."""
        found = objects.Migration.get_by_id(self.context, migration)
        found.status = status
        found.save()
        return found.status

    def statuses(self):
        """Return the status of every migration, by id."""
        found = objects.MigrationList.get_by_filters(self.context, {})
        return {str(migration.id): migration.status for migration in found}

    def found(self, statuses):
        """Return the ids of the migrations that have one of some statuses."""
        found = objects.MigrationList.get_by_filters(
            self.context, {'status': statuses}
        )
        return sorted(migration.id for migration in found)

    def in_progress(self):
        """Return the ids of the migrations that are not over."""
        found = objects.MigrationList.get_in_progress_by_host_and_node(
            self.context, 'source', 'source'
        )
        return sorted(migration.id for migration in found)

    def delete(self, server):
        """Delete a server, and softly its migrations."""
        objects.Instance.get_by_uuid(self.context, server).destroy()


def main(configuration, log, cell=None):
    """Answer one line with one line until there are no more."""
    given = ('--config-file', configuration, '--log-file', log)
    config.parse_args(['', *given])
    logging.setup(config.CONF, 'nova')
    objects.register_all()
    service = Service(cell)
    for line in sys.stdin:
        request = json.loads(line)
        ask = getattr(service, request.pop('ask'))
        try:
            answer = {'answer': ask(**request)}
        except exception.NovaException as error:
            answer = {'refused': repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
