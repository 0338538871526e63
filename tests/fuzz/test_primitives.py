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

"""Whatever another service sends as a Migration or a list of them."""

import copy

import fixtures
from hypothesis import strategies as st
from oslo_versionedobjects import exception as ovo_exc
from oslo_versionedobjects import fields

from nova_migration import exception
from nova_migration import objects
from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import words
from tests import base as test_base
from tests.functional import base
from tests.fuzz import base as fuzz
from tests.fuzz import strategies
from tests.unit.objects import samples

#: What a primitive may be refused with: ours, the library's, or the
#: ValueError that a field of the library refuses a value with.
REFUSALS = (
    exception.NovaMigrationError,
    ovo_exc.VersionedObjectsException,
    words.UnknownWord,
    ValueError,
)

_VERSIONS = st.sampled_from(samples.VERSIONS)
_FIELDS = st.sampled_from(sorted(objects.Migration.fields))
_KEYS = st.sampled_from(
    ('name', 'namespace', 'version', 'data', 'changes', 'x')
).map('nova_object.{}'.format)

_OTHER_DATA = st.dictionaries(
    _FIELDS | strategies.text, strategies.json, max_size=3
)
_OTHER_KEYS = st.dictionaries(
    _KEYS | strategies.text,
    strategies.json
    | st.sampled_from(
        ('Migration', 'MigrationList', 'Instance', 'nova', 'cinder')
    )
    | st.sampled_from(
        (*samples.VERSIONS, '1.10', '2.0', '1', '1.8.1', '-1.8')
    ),
    max_size=2,
)


def _deep(levels):
    value = []
    for _level in range(levels):
        value = [value]
    return value


@st.composite
def primitives(draw):
    """Draw what a service sends, with a few things in it changed."""
    version = draw(_VERSIONS)
    kind, word = draw(st.sampled_from(samples.KNOWN))
    changes = draw(st.lists(_FIELDS, max_size=2))
    sent = samples.primitive(
        version, changes, migration_type=kind, status=word
    )
    if version == '1.9':
        sent['nova_object.data'].update(draw(canonical()))
    sent['nova_object.data'].update(draw(_OTHER_DATA))
    for name in draw(st.lists(_FIELDS, max_size=2)):
        sent['nova_object.data'].pop(name, None)
    sent.update(draw(_OTHER_KEYS))
    for name in draw(st.lists(_KEYS, max_size=1)):
        sent.pop(name, None)
    return sent


def canonical():
    """Draw the fields of 1.9: mostly a state with the status of its own."""
    fitting = st.sampled_from(
        [
            {'migration_type': kind, 'state': row.name, 'status': row.status}
            for kind in MIGRATION_TYPES
            for row in MACHINES[kind].states.values()
        ]
    )
    odd = st.fixed_dictionaries(
        {
            'status': st.sampled_from(strategies.STATUSES) | st.none(),
            'state': st.sampled_from(strategies.STATES) | st.none(),
        }
    )
    further = st.fixed_dictionaries(
        {
            'state_reason': st.none() | strategies.any_text,
            'state_changed_at': st.sampled_from(
                (None, '2026-02-01T10:00:00Z')
            ),
            'legacy_status': st.none() | strategies.any_text,
        }
    )
    return st.builds(dict.__or__, st.one_of(fitting, fitting, odd), further)


def listed(*items, **keys):
    """Return a MigrationList's primitive."""
    return {
        'nova_object.name': 'MigrationList',
        'nova_object.namespace': 'nova',
        'nova_object.version': '1.5',
        'nova_object.data': {'objects': list(items)},
        **keys,
    }


def _with(**data):
    return samples.primitive('1.8', **data)


def _with_newer(**data):
    sent = samples.primitive('1.8')
    sent['nova_object.data'].update(data)
    return sent


def _without(key):
    sent = samples.primitive('1.8')
    del sent[f'nova_object.{key}']
    return sent


_FOUND = [
    (_without('version'),),
    (_without('data'),),
    (_without('name'),),
    ({**_with(), 'nova_object.changes': 5},),
    ({**_with(), 'nova_object.changes': [[]]},),
    ({**_with(), 'nova_object.data': None},),
    ({**_with(), 'nova_object.version': None},),
    ({**_with(), 'nova_object.version': 1.8},),
    ({**_with(), 'nova_object.version': '1.99'},),
    ({**_with(), 'nova_object.namespace': 'cinder'},),
    ({**_with(), 'nova_object.name': 'Instance'},),
    ({**_with(), 'nova_object.name': []},),
    (_with(status=[]),),
    (_with(status=5),),
    (_with(migration_type=[]),),
    (_with(cross_cell_move=[]),),
    (_with(id=[]),),
    (_with(id=float('inf')),),
    (_with(id=float('nan')),),
    (_with(created_at=5),),
    (samples.primitive('1.8') | {'nova_object.version': '1.8.1'},),
    (_with_newer(state={}),),
    (samples.primitive('1.8', sorted(samples.FIELDS_OF_1_8)),),
    ([],),
    (None,),
]


def in_order(sent):
    """Return a primitive whose changes, which are a set, have an order."""
    if isinstance(sent, list):
        return [in_order(item) for item in sent]
    if not isinstance(sent, dict):
        return sent
    ordered = {key: in_order(value) for key, value in sent.items()}
    if 'nova_object.changes' in ordered:
        ordered['nova_object.changes'].sort()
    return ordered


class PrimitivesTest(fuzz.FuzzTest, base.DatabaseTest, test_base.TestCase):
    """A typed refusal, or an object that says the same when sent on."""

    def setUp(self):
        super().setUp()
        # The library warns of each uuid that is none.
        self.useFixture(
            fixtures.WarningsFilter(
                [{'action': 'ignore', 'category': FutureWarning}]
            )
        )

    def take_in(self, kind, sent):
        """Return the object of a primitive, or None if it is refused."""
        before = copy.deepcopy(sent)
        try:
            taken = kind.obj_from_primitive(sent, self.context)
        except REFUSALS as error:
            self.assertTrue(str(error))
            return None
        finally:
            self.assertEqual(repr(before), repr(sent))
        return taken

    def assert_same_when_sent_on(self, taken):
        """Sending the object gives one that says the same."""
        sent = taken.obj_to_primitive()
        again = type(taken).obj_from_primitive(sent, self.context)
        # As text, because no NaN equals another.
        self.assertEqual(
            repr(in_order(sent)), repr(in_order(again.obj_to_primitive()))
        )

    @fuzz.fuzzed(primitives() | strategies.json, share=4, examples=_FOUND)
    def test_migration(self, sent):
        """A Migration of any version."""
        taken = self.take_in(objects.Migration, sent)
        if taken is not None:
            self.assert_same_when_sent_on(taken)

    @fuzz.fuzzed(
        st.builds(
            lambda items, keys: listed(*items, **keys),
            st.lists(primitives() | strategies.json, max_size=2),
            _OTHER_KEYS,
        ),
        share=2,
        examples=[
            (listed(listed()),),
            (listed(None),),
            (listed(_without('data')),),
            ({**listed(), 'nova_object.data': {}},),
            ({**listed(), 'nova_object.data': {'objects': None}},),
            ({**listed(), 'nova_object.data': {'objects': 5}},),
            ({**listed(), 'nova_object.data': {'objects': {'a': 1}}},),
        ],
    )
    def test_list(self, sent):
        """A list, of which each item is one."""
        taken = self.take_in(objects.MigrationList, sent)
        if taken is not None:
            self.assert_same_when_sent_on(taken)

    def test_deep(self):
        """Lists in lists are no value of any field, however deep."""
        row = MACHINES['resize'].table.start
        for name, field in objects.Migration.fields.items():
            if isinstance(field, fields.BooleanField):
                continue
            sent = samples.primitive('1.9', state=row.name, status=row.status)
            self.assertIsNotNone(self.take_in(objects.Migration, sent))
            sent['nova_object.data'][name] = _deep(20000)
            error = self.assertRaises(
                REFUSALS, objects.Migration.obj_from_primitive, sent
            )
            self.assertIn(name, str(error))

    @fuzz.fuzzed(primitives(), share=1)
    def test_backported(self, sent):
        """What is taken in can be sent to every older service."""
        taken = self.take_in(objects.Migration, sent)
        if not isinstance(taken, objects.Migration):
            return
        for version in samples.VERSIONS:
            older = taken.obj_to_primitive(version)
            self.assertEqual(version, older['nova_object.version'])
            self.assertLessEqual(
                set(older['nova_object.data']), samples.fields_of(version)
            )
