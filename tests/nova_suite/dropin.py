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

"""Put the drop-in beneath Nova's tests, and listen to it."""

from nova.db import migration as nova_migration_db
from nova.db.main import api as nova_db_api
from nova.tests import fixtures as nova_fixtures

from nova_migration.conf import opts
from nova_migration.db import engine as engine_mod
from nova_migration.db import schema
from nova_migration.integration import dropin
from tests.nova_suite import wheel


def expand_what_nova_makes():
    """Run our expand whenever Nova's own migrations have been run.

    Nova's fixtures run them once in a process, keep what SQL comes of it,
    and make each later database from that; so they keep our columns too.
    """
    db_sync = nova_migration_db.db_sync

    def db_sync_and_expand(version=None, database='main', context=None):
        db_sync(version=version, database=database, context=context)
        if database == 'main':
            engine = nova_db_api.get_engine(context=context)
            schema.expand(engine_mod.Database(engine), create=True)

    nova_migration_db.db_sync = db_sync_and_expand


def look_at_databases_when_made():
    """Look when Nova's fixtures have filled a database, not before."""
    main = nova_fixtures.Database
    apply_schema = main._apply_schema

    def apply_and_look(fixture):
        apply_schema(fixture)
        if fixture.database == 'main':
            dropin.look_again(fixture.get_engine())

    main._apply_schema = apply_and_look
    cells = nova_fixtures.CellDatabases
    cache_schema = cells._cache_schema

    def cache_and_look(fixture, connection_str):
        cache_schema(fixture, connection_str)
        manager = fixture._ctxt_mgrs[connection_str]
        dropin.look_again(manager.writer.get_engine())

    cells._cache_schema = cache_and_look


def activate(settings, recorder):
    """Register the drop-in as the command says."""

    def configure(fixture):
        for name in ('mode', 'status_format'):
            fixture.conf.set_default(
                name, getattr(settings, name), group=opts.GROUP
            )

    def record(transition):
        recorder.add(
            machine=transition.machine,
            before=transition.before,
            asked=transition.asked,
            event=transition.event,
            result=str(transition.result),
            canonical=transition.canonical,
        )

    dropin.register()
    wheel.each_time(nova_fixtures.ConfFixture, configure)
    expand_what_nova_makes()
    look_at_databases_when_made()
    dropin.subscribe(record)
