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

"""The order of moves that several processes were told of, without a clock."""

import collections
import itertools


def of(moves, start):
    """Return the places that moves lead through, each move taken once.

    A place may be left and come to again. Where the last move ends does not
    hang on the order, unless it is where the first one begins.

    :param moves: pairs of source and target, in any order
    :raises AssertionError: the moves are not one way from the start
    """
    moves = list(moves)
    onward = collections.defaultdict(list)
    for source, target in moves:
        onward[source].append(target)
    way, here = [], [start]
    while here:
        if onward[here[-1]]:
            here.append(onward[here[-1]].pop())
        else:
            way.append(here.pop())
    way.reverse()
    if sorted(itertools.pairwise(way)) != sorted(moves):
        raise AssertionError(f'not one way from {start}: {moves}')
    return way
