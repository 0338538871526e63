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

"""Feed the properties to atheris: ``python -m tests.fuzz --seconds 60``.

Where hypothesis draws at random, atheris keeps what has reached new code of
the package and changes that. Each property has a process of its own; input
that breaks one is printed as hypothesis has it, to become an example of it.
"""

import argparse
import contextlib
import importlib
import io
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import unittest

import atheris

#: Of those that are told apart by a database, only SQLite's are fed: a
#: server answers too slowly for it.
_SERVERS = ('mysql', 'postgresql')

#: How many inputs to begin with.
_SEEDS = 12

#: What libFuzzer says of its work.
_PULSE = re.compile(r'#(\d+)\s+\w+\s+(?:cov: (\d+) )?ft: (\d+) ')


def _instrumented():
    """Import the suite, with the package's code made to report coverage."""
    with (
        # A line for each module is more than anybody wants to know.
        contextlib.redirect_stderr(io.StringIO()),
        atheris.instrument_imports(include=['nova_migration']),
    ):
        folder = pathlib.Path(__file__).parent
        return [
            importlib.import_module(f'tests.fuzz.{path.stem}')
            for path in sorted(folder.glob('test_*.py'))
        ]


def _cases(modules):
    """Yield every test that has a property, by name."""
    for module in modules:
        for kind in vars(module).values():
            if (
                not isinstance(kind, type)
                or kind.__module__ != module.__name__
            ):
                continue
            if not issubclass(kind, unittest.TestCase):
                continue
            if kind.__name__.endswith(_SERVERS):
                continue
            for name in unittest.defaultTestLoader.getTestCaseNames(kind):
                if hasattr(getattr(kind, name), 'drawn'):
                    yield (
                        f'{module.__name__}.{kind.__name__}.{name}',
                        kind,
                        name,
                    )


def _feed(kind, name, corpus, seconds):
    """Feed one property; the process ends here."""
    test = kind(name)
    test.setUp()
    # The limit of a test is not that of a fuzzer.
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    feed = test.property_of(getattr(kind, name)).hypothesis.fuzz_one_input
    atheris.Setup(
        [
            sys.argv[0],
            f'-max_total_time={seconds}',
            '-max_len=4096',
            # Input that is too short to draw an example from is no start.
            '-len_control=0',
            '-timeout=60',
            '-rss_limit_mb=4096',
            f'-artifact_prefix={corpus}/failed-',
            '-print_final_stats=1',
            str(corpus),
        ],
        lambda data: feed(bytes(data)),
    )
    atheris.Fuzz()


def _run(name, kind, method, options):
    """Feed one property in a process of its own; return whether it held."""
    scratch = tempfile.mkdtemp()
    corpus = pathlib.Path(options.corpus or scratch, 'corpus', name)
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in range(_SEEDS):
        draw = random.Random(seed)
        (corpus / f'seed-{seed}').write_bytes(draw.randbytes(256 << seed % 4))
    log = pathlib.Path(scratch, 'log')
    child = os.fork()
    if not child:
        with log.open('wb') as written:
            os.dup2(written.fileno(), 1)
            os.dup2(written.fileno(), 2)
        tempfile.tempdir = scratch
        _feed(kind, method, corpus, options.seconds)
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    told = log.read_text(errors='replace')
    runs, features = _pulse(told)
    # Who was fed nothing has not held.
    held = os.waitstatus_to_exitcode(status) == 0 and runs > 0
    _report(name, told, held, runs, features)
    shutil.rmtree(scratch, ignore_errors=True)
    return held


def _pulse(told):
    """Return how often a property was run, and what of the code it reached."""
    pulses = _PULSE.findall(told)
    runs, _cov, features = pulses[-1] if pulses else (0, '', 0)
    return int(runs), int(features)


def _report(name, told, held, runs, features):
    outcome = 'held' if held else 'FAILED'
    print(f'{name}: {outcome}, {runs} runs, {features} features', flush=True)
    if not held:
        print(told[-20000:], file=sys.stderr)


def main():
    """Feed the properties one after the other; returns the exit code."""
    parser = argparse.ArgumentParser(prog='python -m tests.fuzz')
    parser.add_argument(
        '--seconds',
        type=int,
        default=2,
        help='for each property (default: %(default)s)',
    )
    parser.add_argument(
        '--corpus', help='a folder to keep the input that reached new code'
    )
    parser.add_argument(
        'only', nargs='*', help='parts of the names of properties'
    )
    options = parser.parse_args()
    chosen = [
        case
        for case in _cases(_instrumented())
        if not options.only or any(part in case[0] for part in options.only)
    ]
    started = time.monotonic()
    failed = [c[0] for c in chosen if not _run(*c, options)]
    seconds = time.monotonic() - started
    print(f'{len(chosen)} properties, {len(failed)} failed, {seconds:.0f} s')
    return 1 if failed or not chosen else 0


if __name__ == '__main__':
    sys.exit(main())
