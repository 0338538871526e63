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

"""What is put in: text, numbers, JSON, and the words of the commands."""

from hypothesis import strategies as st

from nova_migration.states import MACHINES
from nova_migration.states import MIGRATION_TYPES
from nova_migration.states import registry

#: Text that has broken programs before.
NASTY = (
    '',
    ' ',
    '\t',
    '\n',
    'a\nb',
    'a\r\nb',
    '\r',
    '\x1b[31mred\x1b[0m',
    '\x07',
    '\x7f',
    '\x85',
    '\u2028',
    '\u202eright to left',
    '\u200b',
    '\ufeff',
    'e\u0301',
    '\U0001f4a5',
    '%s',
    '%(id)s',
    '{0}',
    '$state',
    '${x}',
    "'",
    '"; --',
    '\\',
    '-',
    '--',
    '0',
    '-1',
    '1e9',
    'NaN',
    'inf',
    '\u00bd',
    '\u0663',
    '9' * 30,
    '9' * 5000,
    'x' * 255,
    'x' * 5000,
    'null',
    'None',
)

#: Every string of Nova's, and what is nearly one.
STRINGS = sorted(registry.legacy_with())
NEARLY = tuple(
    changed
    for word in ('done', 'finished', 'error')
    for changed in (
        word.upper(),
        word.title(),
        f'{word} ',
        f' {word}',
        f'{word}\0',
        f'{word}\n',
        word[:-1],
        word.replace('e', 'e\u0301'),
        word.replace('o', '\u043e'),
    )
)

EVENTS = sorted({e for m in MACHINES.values() for e in m.table.events})
STATES = sorted(registry.states_with())
STATUSES = sorted(registry.states_by_status())

#: Any Unicode that UTF-8 can write, or what is known to be trouble.
text = st.one_of(
    st.text(st.characters(exclude_categories=['Cs']), max_size=40),
    st.sampled_from((*NASTY, *NEARLY)),
)

#: Anything at all, lone surrogates too.
any_text = text | st.text(max_size=20)

#: An argument of a process: no NUL, and bytes that are not UTF-8.
argument = st.one_of(
    text.map(lambda t: t.replace('\0', '')),
    st.binary(max_size=8).map(
        lambda b: b.replace(b'\0', b'').decode('utf-8', 'surrogateescape')
    ),
)

#: Numbers as they are typed.
number = st.one_of(
    st.integers(-3, 12).map(str),
    st.sampled_from((2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**30)).map(str),
    st.sampled_from(('', '1.5', 'ten', '0x10', '1_0', ' 7 ', '\u0663')),
    argument,
)

#: Something that JSON can hold, which has no end of numbers and depth.
scalar = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from((2**31, 2**63, -(2**63) - 1, 10**400)),
    st.floats(),
    any_text,
    st.sampled_from((*STRINGS, *STATES, *MIGRATION_TYPES)),
)
json = st.recursive(
    scalar,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(any_text, inner, max_size=3)
    ),
    max_leaves=6,
)

#: A ``--map`` argument, or nearly.
rule = argument | st.tuples(
    st.sampled_from((*MIGRATION_TYPES, '', 'x', 'RESIZE')),
    st.sampled_from((':', '', '::')),
    argument | st.sampled_from(STRINGS),
    st.sampled_from(('=', '==', '')),
    st.sampled_from((*STATES, '', 'eror')) | argument,
).map(''.join)
