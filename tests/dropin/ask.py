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

"""Ask Nova everything about migrations by status, and print the answers.

    python -m tests.dropin.ask URL

Nothing of the drop-in is imported: whether it answers, the URL says.
"""

import collections
import itertools
import json
import sys

from nova import context as nova_context
from nova import exception
from nova import objects
from nova.db.main import api

from nova_migration.states import registry
from tests.nova import rows

WORDS = sorted({*registry.legacy_with(), *rows.ODD})
#: What Nova asks for a single row of, and what it could be asked for.
ONE = ('accepted', 'finished', 'confirming', 'running', 'done', 'goofballs')
PLACES = (('Höst 1', 'nøde'), ('host2 ', 'NODE'))
LISTS = (
    ['accepted', 'pre-migrating', 'done'],
    ['confirmed', 'reverted', 'error', 'failed', 'completed', 'done'],
    ['done', 'goofballs'],
)


def seen(found):
    """Return what is compared of rows that come in any order."""
    return sorted(
        (row['id'], row['status'], row['updated_at']) for row in found
    )


def by_host(context):
    """Ask what is in progress on a host."""
    for host, node in PLACES:
        for name in (
            'migration_get_in_progress_by_host_and_node',
            'migration_get_in_progress_and_error_by_host_and_node',
        ):
            yield (name, host), seen(getattr(api, name)(context, host, node))
        yield (
            ('unconfirmed', host),
            seen(
                api.migration_get_unconfirmed_by_dest_compute(context, 0, host)
            ),
        )


def by_instance(context):
    """Ask what is in progress for an instance, and what has a status."""
    for uuid in rows.INSTANCES:
        for kind in (None, *registry.MIGRATION_TYPES):
            found = api.migration_get_in_progress_by_instance(
                context, uuid, kind
            )
            yield ('in progress', uuid, kind), seen(found)
        for word in ONE:
            yield ('status', uuid, word), one_of(context, uuid, word)


def one_of(context, uuid, word):
    """Return the status that is found under one; Nova takes any row."""
    try:
        found = api.migration_get_by_instance_and_status(context, uuid, word)
    except exception.MigrationNotFoundByStatus:
        return None
    return found.status


def by_filters(context):
    """Ask as the REST API does."""
    for words in (*WORDS, *LISTS):
        found = api.migration_get_all_by_filters(context, {'status': words})
        yield ('filter', str(words)), seen(found)
    filters = {'status': LISTS[0], 'migration_type': 'evacuation'}
    found = api.migration_get_all_by_filters(context, filters)
    yield ('evacuations',), seen(found)


def sorted_by_status(context):
    """Page through everything, in the order of the strings."""
    for direction in ('asc', 'desc'):
        keys, directions = ['status', 'id'], [direction, 'asc']
        marker, pages = None, []
        for _page in range(200):
            page = api.migration_get_all_by_filters(
                context,
                {},
                sort_keys=list(keys),
                sort_dirs=list(directions),
                limit=53,
                marker=marker,
            )
            if not page:
                break
            pages.append([(row.id, row.status) for row in page])
            marker = page[-1].uuid
        yield ('pages', direction), pages
        for word in WORDS:
            yield (
                ('marker', direction, word),
                api.migration_get_by_sort_filters(
                    context, list(keys), list(directions), [word, 50]
                ),
            )


def objects_of(context):
    """Read each row as an object; count what its fields say."""
    found = objects.MigrationList.get_by_filters(context, {})
    fields = collections.Counter(
        json.dumps(each.obj_to_primitive(), sort_keys=True, default=str)
        for each in found
    )
    yield ('primitives',), sorted(fields.items())


QUESTIONS = (by_host, by_instance, by_filters, sorted_by_status, objects_of)


def answers(url):
    """Yield each question with its answer."""
    context = nova_context.get_admin_context()
    context.db_connection = api.create_context_manager(connection=url)
    for deleted, ask in itertools.product(('no', 'yes', 'only'), QUESTIONS):
        context.read_deleted = deleted
        for question, answer in ask(context):
            yield repr((deleted, *question)), answer


def main():
    """Print the answers as one line of JSON, and whose object it is."""
    objects.register_all()
    told = dict(answers(sys.argv[1]))
    told['object'] = objects.Migration.__module__
    print(json.dumps(told, default=str))


if __name__ == '__main__':
    main()
