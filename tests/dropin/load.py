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

"""Load the drop-in in one of its ways, and print what came of it.

    python -m tests.dropin.load HOW URL

HOW is ``connection`` for ``[database] connection``, ``cell`` for the URL of a
cell mapping, ``call`` for register(), ``twice`` for both, ``nothing``,
``unknown`` for a Nova of another release, ``lenient`` for one that may go on
nevertheless, ``unfit`` for a Nova of another shape, ``misconfigured`` for
options that are none, or ``threads`` for cells that are opened at the same
time. What it does with the database is Nova's own.
"""

from concurrent import futures
import importlib
import importlib.metadata
import json
import logging
import sys
import tempfile
import threading

from nova import context as nova_context
from nova import objects
import nova.conf
from nova.db.main import api
from nova.db.main import models

from nova_migration import exception
from tests.nova import rows

THREADS = 8


def manager_of(how, url):
    """Open the database in one of Nova's ways."""
    if how in ('connection', 'twice'):
        nova.conf.CONF.set_override('connection', url, 'database')
        api.configure(nova.conf.CONF)
        return api.context_manager
    return api.create_context_manager(connection=url)


def load(how):
    """Do what has to be done before the database is opened."""
    if how in ('unknown', 'lenient'):
        real = importlib.metadata.version
        importlib.metadata.version = lambda name: (
            '35.0.0' if name == 'nova' else real(name)
        )
    if how == 'lenient':
        configure('on_unknown = warn')
    if how == 'unfit':
        api.pick_context_manager_writer = lambda function: function
    if how in ('call', 'twice'):
        dropin = importlib.import_module('nova_migration.integration.dropin')
        for _time in range(2 if how == 'twice' else 1):
            dropin.register()
    if how == 'misconfigured':
        configure('mode = enforced\nstatus_format = modern')


def configure(text):
    """Read a configuration that has some of our options."""
    with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
        file.write(f'[nova_migration]\n{text}\n')
        file.flush()
        nova.conf.CONF([], default_config_files=[file.name])


def in_threads(url):
    """Open the database in many threads; return what each of them found."""
    ready = threading.Barrier(THREADS, timeout=60)

    def ask(_number):
        context = nova_context.get_admin_context()
        context.db_connection = api.create_context_manager(connection=url)
        ready.wait()
        found = objects.MigrationList.get_by_filters(
            context, {'status': 'done'}
        )
        return [(each.status, type(each).__module__) for each in found]

    with futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(ask, range(THREADS)))


def primitive(text):
    """Take in what another process has sent, and save what it changed."""
    context = nova_context.get_admin_context()
    context.db_connection = api.create_context_manager(sys.argv[2])
    context.db_connection.writer.get_engine()
    migration = objects.Migration.obj_from_primitive(json.loads(text), context)
    if migration.obj_what_changed():
        migration.save()
    return migration.obj_to_primitive()


def work(context):
    """Create, move, find and archive a migration; return what was seen."""
    migration = objects.Migration(
        context,
        instance_uuid=rows.INSTANCES[0],
        migration_type='evacuation',
        status='accepted',
        source_compute='host1',
        dest_compute='host2',
    )
    migration.create()
    for status in ('pre-migrating', 'completed'):
        migration.status = status
        migration.save()
    stale = objects.Migration.get_by_id(context, migration.id)
    stale.status = 'done'
    stale.save()
    found = objects.MigrationList.get_by_filters(context, {'status': 'done'})
    return {
        'stale': stale.status,
        'found': len(found),
        'changes': sorted(stale.obj_what_changed()),
        'primitive': stale.obj_to_primitive(),
    }


def refused(context):
    """Return what is said, each time that the database is to be opened."""
    told = []
    for _time in range(2):
        try:
            work(context)
        except exception.NovaNotKnown as error:
            told.append(str(error))
    return told


def main():
    """Print what there is, as one line of JSON."""
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    how, url, *sent = sys.argv[1:]
    objects.register_all()
    load(how)
    if sent:
        print(json.dumps(primitive(sent[0]), default=str))
        return
    if how == 'threads':
        print(json.dumps(in_threads(url)))
        return
    context = nova_context.get_admin_context()
    context.db_connection = manager_of(how, url)
    if how in ('unknown', 'unfit') and (told := refused(context)):
        print(json.dumps({'refused': told}))
        return
    seen = work(context)
    table = models.Migration.__table__
    seen.update(
        object=objects.Migration.__module__,
        version=objects.Migration.VERSION,
        columns=len(table.c),
        url=str(context.db_connection.writer.get_engine().url),
    )
    print(json.dumps(seen, default=str))


if __name__ == '__main__':
    main()
