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


"""Run a suite, or say in a line what it lacks and leave it out.

``python -m tests.if_possible qemu -- COMMAND``. stestr takes a run in which
all tests were skipped for a failure. It is one only where CI requires what is
lacked.
"""

import argparse
import functools
import os
import sys
import unittest

from tests import run_with_servers
from tests.model import programs as model
from tests.qemu import base as qemu
from tests.servers import galera
from tests.servers import shared

#: What looks for what a suite cannot do without.
NEEDS = {
    'galera': galera.Cluster,
    'model': model.look,
    'mysql': functools.partial(shared.url_of, 'mysql'),
    'qemu': qemu.look,
}


def main(argv):
    """Become the command, or return an exit status."""
    parser = argparse.ArgumentParser(
        prog=f'python -m {__spec__.name}', description=__doc__
    )
    parser.add_argument('need', choices=NEEDS)
    own, command = run_with_servers.parted(argv)
    asked = parser.parse_args(own)
    if not command:
        parser.error('no command after --')
    try:
        NEEDS[asked.need]()
    except unittest.SkipTest as error:
        print(f'{asked.need}: skipped: {error}.')
        return 0
    except RuntimeError as error:
        print(f'{asked.need}: missing: {error}.')
        return 1
    os.execvp(command[0], command)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
