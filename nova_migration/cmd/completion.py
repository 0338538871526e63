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

"""``complete``: what makes bash complete commands, options and values.

Everything comes from the parsers: the words of an argument are its choices,
or what it :func:`offers`. Asking the program at each key, as argcomplete
does, would load it each time.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
import shlex
from typing import Any

from cliff import complete

from nova_migration.cmd import base

Words = dict[str, Iterable[str]]


def offers(action: argparse.Action, words: Iterable[str]) -> None:
    """Say which words complete an argument that takes others, too."""
    vars(action)['offered'] = sorted(words)


#: Instead of words: the names of files. A slash is in no word.
_FILES = ('/',)


def _offered(action: argparse.Action) -> Iterable[str]:
    called = f'{action.metavar} {action.dest}'.upper()
    if any(word in called for word in ('FILE', 'PATH', 'DIR')):
        return _FILES
    words: Iterable[Any] = action.choices or vars(action).get('offered', ())
    return map(str, words)


def _values(name: str, parser: argparse.ArgumentParser) -> Iterator[Any]:
    """Yield the values of each option that takes one, and by position."""
    place = 0
    for action in parser._actions:
        if action.nargs == 0:
            continue
        keys = list(action.option_strings)
        if not keys:
            place += 1
            keys = [str(place)]
        for key in keys:
            yield f'{name} {key}'.strip(), _offered(action)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [
        option
        for action in parser._actions
        for option in action.option_strings
    ]


def _subcommands(names: Iterable[str]) -> Words:
    """Return the words that go on from each beginning of a command."""
    found: dict[str, set[str]] = {}
    for name in names:
        words = name.split()
        for number, word in enumerate(words[1:], 1):
            found.setdefault(' '.join(words[:number]), set()).add(word)
    return {beginning: sorted(words) for beginning, words in found.items()}


def _array(name: str, words: Words) -> str:
    """Return a table as bash declares it."""
    cells = (
        f'    [{shlex.quote(key)}]={shlex.quote(_LINE.join(values))}\n'
        for key, values in sorted(words.items())
    )
    return f'  local -A {name}=(\n{"".join(cells)}  )\n'


#: Between words, of which some strings of Nova's are more than one.
_LINE = '\n'

# The key of the global options would be empty, which bash refuses: so each
# begins with a colon, which stands for the program.
_BEGIN = """_{function}()
{{
  local cur cword key offered option place=0 word words
  local IFS=$'\\n'
  COMPREPLY=()
"""

_END = r"""
  # The package bash-completion joins again what bash splits at = and :.
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n := cur cword words
  else
    words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    cur=${words[cword]}
  fi

  key=: option=
  for word in "${words[@]:1:cword-1}"; do
    if [[ -n $option && $word == = ]]; then
      continue
    elif [[ -n $option ]]; then
      option=
    elif [[ $word == --*=* ]]; then
      continue
    elif [[ $word == -* ]]; then
      # The word that follows is the option's value, if it takes one.
      if [[ -n ${values["$key $word"]+set} ]]; then
        option="$key $word"
      elif [[ -n ${values[": $word"]+set} ]]; then
        option=": $word"
      fi
    elif [[ $'\n'${commands["$key"]}$'\n' == *$'\n'"$word"$'\n'* ]]; then
      key="$key $word"
    else
      place=$((place + 1))
    fi
  done

  if [[ -z $option && $cur == --*=* ]]; then
    option="$key ${cur%%=*}"
    cur=${cur#*=}
  elif [[ $cur == = ]]; then
    cur=
  fi
  if [[ -n $option ]]; then
    offered=${values["$option"]}
  elif [[ $cur == -* ]]; then
    offered=${options["$key"]}
  elif [[ -n ${commands["$key"]} ]]; then
    offered=${commands["$key"]}
  else
    offered=${values["$key $((place + 1))"]}
  fi

  if [[ $offered == / ]]; then
    COMPREPLY=($(compgen -f -- "$cur"))
    return
  fi
  for word in $(compgen -W "$offered" -- "$cur"); do
    COMPREPLY+=("$(printf %q "$word")")
  done
}
"""


class Complete(base.GuardedCommand, complete.CompleteCommand):
    """Print what makes bash complete commands, options and their values.

    ``source <(nova-migration-manage complete)`` does it for a shell.
    """

    def take_action(self, parsed_args: Any) -> int:
        """Write the function for bash; cliff has the data for others."""
        if parsed_args.shell != 'bash':
            return int(super().take_action(parsed_args))
        name = parsed_args.name or self.app.NAME
        function = name.replace('-', '_')
        self.app.stdout.write(
            _BEGIN.format(function=function)
            + ''.join(self._tables())
            + _END
            + f'complete -F _{function} {shlex.quote(name)}\n'
        )
        return 0

    def _tables(self) -> Iterator[str]:
        parsers = dict(self._parsers())
        yield _array('commands', _subcommands(parsers))
        yield _array('options', {k: _options(p) for k, p in parsers.items()})
        yield _array(
            'values',
            {
                key: words
                for name, parser in parsers.items()
                for key, words in _values(name, parser)
            },
        )

    def _parsers(self) -> Iterator[tuple[str, argparse.ArgumentParser]]:
        yield ':', self.app.parser
        for name, _entry in self.app.command_manager:
            kind, *_rest = self.app.command_manager.find_command(name.split())
            yield f': {name}', kind(self.app, None).get_parser(name)
