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

"""Commands in processes of their own that end at a chosen point.

A process that has loaded everything forks one for each command: what runs is
the command's main function, and a kill costs no second of loading. A step is
a statement that is about to be sent, one that has been answered, or a COMMIT
that is about to be sent.
"""

import json
import mmap
import os
import pathlib
import signal
import struct
import sys
import tempfile
import time
import traceback

import psutil
import sqlalchemy as sa

from nova_migration.cmd import manage
from tests.functional.db import worker


class Commands(worker.Workers):
    """Runs nova-migration-manage on a database, one command at a time."""

    MODULE = __name__

    def __init__(self, url):
        super().__init__(1, url)

    def __call__(self, *argv, **how):
        """Run a command and return how it ended.

        :param how: ``step`` and ``delay``: at which step, or after how many
            seconds, it is killed; ``stop``: at which step it is stopped, to
            go on with :meth:`go_on`
        """
        self.send(0, argv=argv, **how)
        return self.receive(0)

    def go_on(self):
        """Have a command that was stopped go on, and return how it ended."""
        self.send(0)
        return self.receive(0)

    def kill(self):
        """Kill the command that runs."""
        (launcher,) = self._processes
        for command in psutil.Process(launcher.pid).children():
            command.kill()


class _Steps:
    """How many steps a forked process has made; its parent sees it too.

    And which of them were the first and the last to change rows.
    """

    _FORM = struct.Struct('qqq')

    def __init__(self):
        self._map = mmap.mmap(-1, self._FORM.size)

    @property
    def known(self):
        return self._FORM.unpack(self._map[: self._FORM.size])

    @property
    def made(self):
        return self.known[0]

    def _keep(self, *numbers):
        self._map[: self._FORM.size] = self._FORM.pack(*numbers)

    def watch(self, last, number):
        """Send this process a signal at a step."""

        def step(_connection, _cursor=None, statement='', *_more):
            made, first, newest = self.known
            made += 1
            if statement.startswith(('UPDATE migrations', 'UPDATE shadow_')):
                first, newest = first or made, made
            self._keep(made, first, newest)
            if made == last:
                os.kill(os.getpid(), number)

        for event in ('before_cursor_execute', 'after_cursor_execute'):
            sa.event.listen(sa.Engine, event, step)
        sa.event.listen(sa.Engine, 'commit', step)


def _child(url, argv, out, steps, step, stop):
    """Be the command; never return."""
    code = 99
    try:
        os.dup2(os.open(out / 'out', os.O_WRONLY), 1)
        os.dup2(os.open(out / 'err', os.O_WRONLY), 2)
        sys.stdout = open(1, 'w', encoding='utf-8', closefd=False)  # noqa: SIM115
        sys.stderr = open(2, 'w', encoding='utf-8', closefd=False)  # noqa: SIM115
        number = signal.SIGSTOP if stop else signal.SIGKILL
        steps.watch(step or stop, number)
        code = manage.main(['--database-connection', url, *argv])
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(url, argv, step=None, delay=None, stop=None):
    """Fork a command; yield when it has stopped, and when it has ended."""
    steps = _Steps()
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        # The child may not live long enough for that.
        for name in ('out', 'err'):
            (out / name).touch()
        pid = os.fork()
        if not pid:
            _child(url, argv, out, steps, step, stop)
        if delay is not None:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        _pid, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            yield {'stopped': True}
            os.kill(pid, signal.SIGCONT)
            _pid, status = os.waitpid(pid, 0)
        yield {
            'stopped': False,
            'killed': os.WIFSIGNALED(status),
            'code': os.waitstatus_to_exitcode(status),
            'out': (out / 'out').read_text(),
            'err': (out / 'err').read_text(),
            'steps': steps.made,
            'changing': steps.known[1:],
        }


def main(url):
    """Run the command of each line of the standard input."""
    for line in sys.stdin:
        question = json.loads(line)
        if 'argv' not in question:
            print(json.dumps({}), flush=True)
            continue
        for answer in _run(url, **question):
            print(json.dumps(answer), flush=True)
            if answer['stopped']:
                sys.stdin.readline()


if __name__ == '__main__':
    main(*sys.argv[1:])
