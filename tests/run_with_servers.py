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


"""Run a command whose processes share database servers.

``python -m tests.run_with_servers -- COMMAND`` uses the servers that are
there, starts those that are not, and ends them when the command has ended.
Where servers are required, nothing is run without them.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys

from tests.servers import shared


def run(command, variables):
    """Run a command, which is sent our signals; return its exit status."""
    process = subprocess.Popen(command, env={**os.environ, **variables})

    def forward(number, _frame):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    status = process.wait()
    # As shells have it.
    return status if status >= 0 else 128 - status


def parted(argv):
    """Return the arguments before the first ``--``, and those behind it."""
    at = argv.index('--') if '--' in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def main(argv):
    """Run what the command line names; return its exit status."""
    parser = argparse.ArgumentParser(
        prog=f'python -m {__spec__.name}', description=__doc__
    )
    own, command = parted(argv)
    parser.parse_args(own)
    if not command:
        parser.error('no command after --')
    with shared.provided() as servers:
        if servers.missing and shared.required_in_run():
            return 1
        return run(command, servers.variables)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
