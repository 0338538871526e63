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

"""One event in memory: ours, automaton, and the peers."""

from collections.abc import Iterator

from benchmarks import measure
from benchmarks import scenarios
from benchmarks.scenarios import turns

#: By the name in the tables; the first is what the others are compared to.
CONTENDERS = {
    'dict': 'step:Dict',
    'ours: decide': 'step:Decide',
    'ours: machine_for and decide': 'step:Step',
    'automaton, shallow copy': 'step:Automaton',
    'transitions': 'peers:Transitions',
    'python-statemachine': 'peers:StateMachine',
}


def run(plan: scenarios.Plan) -> Iterator[measure.Result]:
    """Let each contender walk a live migration to its end."""
    rounds = plan.choose(plan.rounds, 15, 2)
    walks = 20 if plan.smoke else 500
    with turns.workers(CONTENDERS, lambda _name: {'walks': walks}) as at_work:
        samples = measure.in_turn(turns.runs(at_work), rounds)
    units = {'us': 'an event in memory'}
    yield from turns.results(samples, units, scenario='step', database='none')
