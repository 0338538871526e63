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

"""What the workers wrote, put together and compared with what is expected."""

import collections
import dataclasses
import importlib.metadata
import json
import pathlib
import tomllib

PREVENTED = pathlib.Path(__file__).with_name('prevented.toml')

#: How testtools says that a test did not find what it asserts.
FAILURES = frozenset({'error', 'failure', 'uxsuccess'})

#: What is said of a test that has no record.
MISSING = 'missing'

#: What the names of Nova's functional tests begin with.
FUNCTIONAL = 'nova.tests.functional.'

#: What the names of all of its tests begin with.
NOVA = 'nova.tests.'

#: Up to so many tests of Nova's that fail are run again, one by one. Some have
#: threads that have to be quicker than others, and a busy machine changes who
#: is. More of them than that are no chance.
BY_CHANCE = 3

#: What a transition comes to that no legal step of Nova's may come to.
ODD = frozenset({'refused', 'let-through'})


@dataclasses.dataclass(frozen=True, order=True)
class Way:
    """How the drop-in is set up; without a mode it is not there at all."""

    mode: str
    status_format: str

    def __str__(self):
        if self.mode == 'none':
            return 'without'
        return f'{self.status_format}-{self.mode}'


def nova_version():
    """Return the installed Nova's version."""
    return importlib.metadata.version('nova')


def refused_in(record):
    """Return what was refused, or would have been, of Nova's legal steps.

    None is, but what a listed test asks for, and what our own and the unit
    tests make up.
    """
    name = record['test']
    listed = {entry['test'] for entry in listed_as_prevented()}
    if not name.startswith(FUNCTIONAL) or name in listed:
        return []
    return [asked for asked in record['asked'] if asked['result'] in ODD]


def lines(folder):
    """Return the records, in the order they were written, as lines."""
    for path in sorted(folder.glob('*.jsonl')):
        yield from path.read_text(encoding='utf-8').splitlines()


def read(folder):
    """Return the last record of each test."""
    records = map(json.loads, lines(folder))
    return {record['test']: record for record in records}


def listed_as_prevented():
    """Return the entries of the list."""
    listed = tomllib.loads(PREVENTED.read_text(encoding='utf-8'))
    return listed['prevented']


def prevented(way, tests):
    """Return the tests that must fail, and why.

    They assert what the machine is there to prevent, so their list is also
    checked the other way round: one of them that passes is an error.
    """
    return {
        entry['test']: entry['reason']
        for entry in listed_as_prevented()
        if entry['test'] in tests and way.mode in entry['modes']
    }


def complaint(record, has_to_fail):
    """Return what is wrong with how a test ended, or nothing."""
    if record is None:
        return MISSING
    failed = record['outcome'] in FAILURES
    if failed != has_to_fail:
        return record.get('error', record['outcome'])
    if refused := refused_in(record):
        return f'refused: {refused}'
    return ''


@dataclasses.dataclass(frozen=True)
class Result:
    """One run of Nova's tests.

    :param outcomes: how many tests ended how
    :param unexpected: the tests that did not end as they should, with what
        they said
    :param prevented: the tests that failed as they should, with the reason
    :param edges: what was asked of the machines, with how often
    :param refused: the tests of which a legal step was refused
    :param again: the tests that ended as they should only when they were run
        again, with what they said before
    """

    way: Way
    outcomes: dict
    unexpected: dict
    prevented: dict
    edges: list
    refused: list = dataclasses.field(default_factory=list)
    again: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, way, wanted, records):
        """Put the records of the tests together."""
        expected = prevented(way, wanted)
        ended = [records[test] for test in wanted if test in records]
        outcomes = collections.Counter(record['outcome'] for record in ended)
        if missing := len(wanted) - len(ended):
            outcomes[MISSING] = missing
        complaints = {
            test: complaint(records.get(test), test in expected)
            for test in wanted
        }
        return cls(
            way=way,
            outcomes=dict(sorted(outcomes.items())),
            unexpected={
                test: said for test, said in complaints.items() if said
            },
            prevented=expected,
            edges=counted_edges(records.values()),
            refused=[record['test'] for record in ended if refused_in(record)],
        )

    def perhaps_by_chance(self):
        """Return the tests that are worth a second run.

        A test of ours that fails is wrong, and so is a refused step, however
        seldom it comes.
        """
        failed = [test for test in self.unexpected if test.startswith(NOVA)]
        if self.refused or len(failed) > BY_CHANCE:
            return []
        return failed

    def then(self, second):
        """Return the result of a second run that knows of this one."""
        again = {
            test: reason
            for test, reason in self.unexpected.items()
            if test not in second.unexpected
        }
        return dataclasses.replace(second, again=again)

    def write(self, path):
        """Write it as JSON."""
        fields = {'nova': nova_version(), **dataclasses.asdict(self)}
        text = json.dumps(fields, indent=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + '\n', encoding='utf-8')

    def counted(self):
        """Return how many transitions came to what."""
        counts = collections.Counter()
        for edge in self.edges:
            counts[edge['result']] += edge['count']
        return counts

    def judge(self):
        """Say how it went; return an exit status."""
        print(f'{self.way}: tests: {_in_words(self.outcomes)}')
        print(f'{self.way}: transitions: {_in_words(self.counted())}')
        for edge in self.edges:
            if edge['result'] in ODD:
                print(f'{self.way}: {edge}')
        for test in self.prevented:
            print(f'{self.way}: prevented: {test}')
        for test, reason in self.again.items():
            print(f'{self.way}: only when run again: {test}: {reason}')
        for test, reason in self.unexpected.items():
            print(f'{self.way}: unexpected: {test}: {reason}')
        return 1 if self.unexpected else 0


def _in_words(counts):
    return ', '.join(f'{count} {word}' for word, count in counts.items())


def counted_edges(records):
    """Count what was asked of the machines."""
    counts = collections.Counter(
        tuple(asked.items()) for record in records for asked in record['asked']
    )
    return [
        {**dict(edge), 'count': count}
        for edge, count in sorted(counts.items(), key=str)
    ]
