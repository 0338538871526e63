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

"""Write a migration with the very first access of a process.

    python -m tests.dropin.first URL TASKS FORMAT

TASKS is JSON: a list of (how, row, status), each of which a new process does,
which has Nova but nothing of the drop-in loaded. A row that is null is
created, in the FORMAT that is configured. Prints, for each task, the status
that the writer sees afterwards, or the name of the error that it gets.
"""

import json
import multiprocessing
import sys
import tempfile
import threading
import traceback

from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
import nova.conf
from nova.db.main import api
from nova.db.main import models

# Taken before the drop-in can have replaced them, as any module may.
from nova.db.main.api import migration_create
from nova.db.main.api import migration_update
from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_migration import exception

# Takes the longest to import, and does nothing by itself.
from nova_migration.db import schema  # noqa: F401
from tests.nova import rows

THREADS = 4

ERRORS = (
    nova_exception.NovaException,
    exception.NovaMigrationError,
    db_exc.DBError,
    sa.exc.SQLAlchemyError,
)

VALUES = {
    'instance_uuid': rows.INSTANCES[0],
    'migration_type': 'resize',
    'source_compute': 'host1',
}


def _function(context, row, status):
    if row is None:
        return api.migration_create(context, {**VALUES, 'status': status})
    return api.migration_update(context, row, {'status': status})


def _object(context, row, status):
    found = objects.Migration(context, **VALUES)
    if row is None:
        found.status = status
        found.create()
        return found
    found.id = row
    found.obj_reset_changes()
    found.status = status
    found.save()
    return found


def _outer(context, row, status):
    with context.db_connection.writer.using(context):
        return _function(context, row, status)


def _early(context, row, status):
    """Call what was imported before, when the drop-in is there by now."""
    api.migration_get_in_progress_by_instance(context, rows.INSTANCES[0])
    if row is None:
        return migration_create(context, {**VALUES, 'status': status})
    return migration_update(context, row, {'status': status})


@api.pick_context_manager_writer
def _session(context, row, status):
    """Write by the session, as a function of somebody's own does."""
    if row is None:
        found = models.Migration(**VALUES, status=status)
        context.session.add(found)
    else:
        found = context.session.get(models.Migration, row)
        found.status = status
        found.source_node = 'node1'
    context.session.flush()
    return found


@api.pick_context_manager_writer
def _at_the_end(context, row, status):
    """Leave the write to the end of the transaction."""
    if row is None:
        found = models.Migration(**VALUES, status=status)
        context.session.add(found)
        return found
    found = context.session.get(models.Migration, row)
    found.status = status
    return found


def _threads(context, row, status):
    """Write in one of some threads that open the database at once."""
    ready = threading.Barrier(THREADS, timeout=60)
    url = sys.argv[1]
    told = []

    def write(is_one):
        own = nova_context.get_admin_context()
        own.db_connection = api.create_context_manager(connection=url)
        ready.wait()
        if not is_one:
            api.migration_get_in_progress_by_instance(own, rows.INSTANCES[0])
            return
        told.append(outcome(_function, own, row, status))

    threads = [
        threading.Thread(target=write, args=(number == 0,))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told[0]


@api.pick_context_manager_writer
def _bulk(context, row, status):
    query = context.session.query(models.Migration)
    query.filter_by(id=row).update({'status': status})


@api.pick_context_manager_writer
def _attribute(context, row, status):
    made = sa.update(models.Migration).where(models.Migration.id == row)
    context.session.execute(made.values({models.Migration.status: status}))


@api.pick_context_manager_writer
def _statement(context, row, status):
    table = models.Migration.__table__
    if row is None:
        made = sa.insert(table).values(**VALUES, status=status)
    else:
        made = sa.update(table).where(table.c.id == row)
        made = made.values({table.c.status: status})
    context.session.execute(made)


@api.pick_context_manager_writer
def _many(context, row, status):
    """Hand a session rows, which it makes no objects of."""
    if row is None:
        context.session.bulk_insert_mappings(
            models.Migration, [{**VALUES, 'status': status}]
        )
    else:
        context.session.bulk_update_mappings(
            models.Migration, [{'id': row, 'status': status}]
        )


WAYS = {
    'function': _function,
    'object': _object,
    'outer transaction': _outer,
    'early import': _early,
    'session': _session,
    'end of session': _at_the_end,
    'threads': _threads,
}
#: Those which no machine can be asked about.
STOPPED = {
    'bulk': _bulk,
    'attribute': _attribute,
    'statement': _statement,
    'mappings': _many,
}


def outcome(way, context, row, status):
    """Return the status that a writer sees, or the name of its error."""
    try:
        found = way(context, row, status)
    except ERRORS as error:
        traceback.print_exc()
        return type(error).__name__
    return getattr(found, 'status', found)


def work(task, tell):
    """Do a task as the first thing that a process does."""
    how, row, status = task
    assert 'nova_migration.integration.dropin' not in sys.modules
    context = nova_context.get_admin_context()
    context.db_connection = api.create_context_manager(sys.argv[1])
    tell.send(outcome({**WAYS, **STOPPED}[how], context, row, status))


def main():
    """Do each task in a process of its own, and print what came of them."""
    objects.register_all()
    with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
        file.write(f'[nova_migration]\nstatus_format = {sys.argv[3]}\n')
        file.flush()
        nova.conf.CONF([], default_config_files=[file.name])
    # It has imported Nova already, and has opened nothing.
    fork = multiprocessing.get_context('fork')
    told = []
    for task in json.loads(sys.argv[2]):
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=work, args=(task, sender))
        process.start()
        sender.close()
        told.append(receiver.recv())
        process.join()
    print(json.dumps(told))


if __name__ == '__main__':
    main()
