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


"""The upgrade of a Galera cluster, beside a writer on each of its nodes.

Three nodes of its own are started on this machine, so that every figure has
the work of three servers in it. Only what stands in one table is comparable.
"""

import argparse
import collections
import contextlib
import json
import multiprocessing
import random
import statistics
import time

import pymysql
import sqlalchemy as sa

from nova_migration.db import batches
from nova_migration.db import engine
from nova_migration.db import nova_schema
from nova_migration.db import schema
from nova_migration.db import upgrade
from tests.functional.db import samples
from tests.servers import galera

#: Changes that a writer makes in a second.
RATE = 50

#: Rows of the fixed batches; None is the default, which adapts.
SIZES = (1000, 5000, 10_000, None)

#: A fixed batch that has not got through once in these seconds is given up.
PATIENCE = 300

#: Answers after which a service tries again.
_AGAIN = (1213, 1205, 1020, 1047, 1412)

_UPDATE = (
    'UPDATE migrations SET memory_total = COALESCE(memory_total, 0) + 1'
    ' WHERE id = %s'
)


def _write(url, ids, pipe):
    """Change random rows at a steady rate, and send what each change took.

    Tries that the server refuses are in the time of the change.
    """
    parsed = sa.make_url(url)
    connection = pymysql.connect(
        host=parsed.host,
        port=parsed.port,
        user=parsed.username,
        database=parsed.database,
        autocommit=True,
    )
    chance = random.Random(parsed.port)
    seconds, answers = [], collections.Counter()
    pipe.send('ready')
    pipe.recv()
    due = time.monotonic()
    with connection.cursor() as cursor:
        while not pipe.poll(max(due - time.monotonic(), 0)):
            begun = time.monotonic()
            _persist(cursor, chance.choice(ids), answers)
            seconds.append(time.monotonic() - begun)
            due = max(due + 1 / RATE, time.monotonic() - 1)
    pipe.send((seconds, dict(answers)))


def _persist(cursor, row_id, answers):
    while True:
        try:
            cursor.execute(_UPDATE, (row_id,))
        except pymysql.err.MySQLError as error:
            answers[error.args[0]] += 1
            if error.args[0] not in _AGAIN:
                raise
        else:
            return


@contextlib.contextmanager
def writing(urls, ids):
    """Have a writer on each node; the list has what they saw at the end."""
    spawning = multiprocessing.get_context('spawn')
    pipes, processes, seen = [], [], []
    for url in urls:
        ours, theirs = spawning.Pipe()
        process = spawning.Process(
            target=_write, args=(url, ids, theirs), daemon=True
        )
        process.start()
        ours.recv()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.send('begin')
    try:
        yield seen
    finally:
        for pipe in pipes:
            pipe.send('end')
        for number, pipe in enumerate(pipes, 1):
            seen.append({'node': number, **_summary(*pipe.recv())})
        for process in processes:
            process.join()


def _summary(seconds, answers):
    """Return milliseconds, and the errors by their number."""
    cuts = statistics.quantiles(seconds, n=100, method='inclusive')
    return {
        'writes': len(seconds),
        'p50': round(cuts[49] * 1000, 1),
        'p99': round(cuts[98] * 1000, 1),
        'max': round(max(seconds) * 1000, 1),
        'errors': answers,
    }


def fill(database, count):
    """Fill Nova's table with rows of every kind; return their ids."""
    metadata = sa.MetaData()
    table, _shadow = nova_schema.define(metadata)
    metadata.create_all(database.engine)
    pairs = samples.pairs()
    size = 2000
    for begun in range(0, count, size):
        rows = [
            samples.legacy(*pairs[number % len(pairs)][:2])
            for number in range(begun, min(begun + size, count))
        ]
        with database.engine.begin() as connection:
            connection.execute(table.insert(), rows)
    with database.engine.connect() as connection:
        return list(connection.scalars(sa.select(table.c.id)))


def step(name, urls, ids, work):
    """Do something beside the writers, and print what both took."""
    with writing(urls, ids) as seen:
        begun = time.monotonic()
        done = work()
        took = time.monotonic() - begun
    figures = {'step': name, 'seconds': round(took, 2), **(done or {})}
    if 'rows' in figures:
        figures['rate'] = round(figures['rows'] / took)
    print(json.dumps({**figures, 'writers': seen}), flush=True)


def walk(run, size, database):
    """Migrate or restore; return rows, batches and conflicts."""
    begun = time.monotonic()
    sizes, tries = [], 0
    manner = batches.Manner(batch_size=size)
    for batch in run(database, manner=manner):
        sizes.append(batch.seen)
        tries += batch.tries - 1
        if time.monotonic() - begun > PATIENCE:
            break
    return {
        'rows': sum(sizes),
        'batches': len(sizes),
        'median_batch': statistics.median(sizes),
        'conflicts': tries,
    }


def main():
    """Start the cluster, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=300_000)
    parser.add_argument('--rounds', type=int, default=1)
    arguments = parser.parse_args()
    with galera.Cluster('--innodb-buffer-pool-size=256M') as cluster:
        cluster.nodes[0].create_database('bench')
        urls = [node.url_of('bench') for node in cluster.nodes]
        database = engine.from_url(urls[0])
        ids = fill(database, arguments.rows)
        cluster.wait_until_whole()
        step('nothing', urls, ids, lambda: time.sleep(5))
        step('expand', urls, ids, lambda: schema.expand(database))
        for _round in range(arguments.rounds):
            measure(database, urls, ids)
        for _batch in upgrade.migrate(database):
            pass
        step('contract', urls, ids, lambda: schema.contract(database))
        database.engine.dispose()


def measure(database, urls, ids):
    """Migrate with each size, and go back in between."""
    for size in SIZES:
        name = f'migrate {size or "adaptive"}'
        step(
            name,
            urls,
            ids,
            lambda size=size: walk(upgrade.migrate, size, database),
        )
        for _batch in upgrade.restore(database):
            pass


if __name__ == '__main__':
    main()
