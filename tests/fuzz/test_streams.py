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

"""Whatever the file of ``qemu replay`` holds."""

import json

from hypothesis import strategies as st

from tests import base as test_base
from tests.fuzz import base as fuzz
from tests.fuzz import strategies

_STREAMS = sorted((test_base.ROOT / 'tests/data/qemu-streams').glob('*.jsonl'))

_KEYS = ('t', 'side', 'type', 'id', 'cmd', 'args', 'return', 'error', 'event')
_WORDS = (
    'src',
    'dst',
    'run',
    'cmd',
    'return',
    'error',
    'query',
    'event',
    'greeting',
    'eof',
    'proc',
    'exit',
    'migrate',
    'migrate-incoming',
    'query-migrate',
    'query-status',
    'query-yank',
    'MIGRATION',
    'STOP',
    'completed',
    'failed',
)
_VALUE = strategies.json | st.sampled_from(_WORDS)
_ITEM = st.dictionaries(
    st.sampled_from((*_KEYS, 'data', 'what', 'rc', 'conn')) | strategies.text,
    _VALUE | st.dictionaries(st.sampled_from(_WORDS), _VALUE, max_size=2),
    max_size=6,
)


@st.composite
def _changed(draw):
    """Draw a recorded stream with a few of its values replaced."""
    lines = draw(st.sampled_from(_STREAMS)).read_text().splitlines()
    items = [json.loads(line) for line in lines]
    for _change in range(draw(st.integers(1, 3))):
        item = draw(st.sampled_from(items))
        while True:
            if not item:
                break
            key = draw(st.sampled_from(sorted(item)))
            deeper = isinstance(item[key], dict) and item[key]
            if not deeper or draw(st.booleans()):
                item[key] = draw(_VALUE)
                break
            item = item[key]
    return items


def _text(items):
    return '\n'.join(json.dumps(item) for item in items).encode()


def _with(**item):
    return _text([{'t': 0.0, 'side': 'src', **item}])


class StreamsTest(fuzz.FuzzTest, test_base.TestCase):
    """A table of attempts, or one line that says which line is wrong."""

    @fuzz.fuzzed(
        st.one_of(
            _changed().map(_text),
            st.lists(_ITEM | strategies.json, max_size=4).map(_text),
            st.binary(max_size=60),
        ),
        share=3,
        examples=[
            (b'',),
            (b'\n\n',),
            (b'[' * 100000,),
            (b'{"side": ' * 50000,),
            (b'\xff\xfe',),
            (b'9' * 5000,),
            (_with(type='cmd', cmd='migrate-incoming', args=5),),
            (_with(type=[]),),
            (_with(type='cmd', side=[]),),
            (_with(type='cmd', cmd=[], id=1),),
            (_with(type='cmd', cmd='migrate', id=1, args=5),),
            (_with(type='event', event=[]),),
            (_with(type='event', event='MIGRATION', data={'status': []}),),
            (_with(type='query', id=1, **{'return': {'ram': 5}}),),
            (
                _with(
                    type='query',
                    id=1,
                    **{'return': {'ram': {'total': 'x', 'remaining': 'y'}}},
                ),
            ),
            (
                _with(
                    type='query',
                    id=1,
                    **{'return': {'status': 'failed', 'error-desc': '\x1b'}},
                ),
            ),
            (_with(type='proc', what='exit', rc='x'),),
            (_with(type='proc', what='exit', rc=float('nan')),),
        ],
    )
    def test_replay(self, content):
        """Bytes, JSON of other things, and recordings with a change."""
        path = self.folder / 'stream.jsonl'
        path.write_bytes(content)
        result = self.run_manage('qemu', 'replay', path)
        self.assert_answered(result, (0, 1))
        self.assert_printable(result.out)
        if result.code:
            last = result.err.splitlines()[-1]
            self.assertIn('stream.jsonl', last)
            self.assertEqual('', result.out)
            self.assertLess(len(last), 1000)
