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

"""An object in a process of its own, so that contenders can take turns."""

import importlib
import multiprocessing
from multiprocessing import connection as mp_connection
from typing import Any
from typing import Self
import warnings

_SPAWN = multiprocessing.get_context('spawn')


def _serve(
    pipe: mp_connection.Connection, factory: str, arguments: dict[str, Any]
) -> None:
    # oslo.service says on import that eventlet is on its way out.
    warnings.simplefilter('ignore')
    module, _colon, name = factory.partition(':')
    served = getattr(importlib.import_module(module), name)(**arguments)
    pipe.send(None)
    while True:
        try:
            method, values = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(served, method)(*values))


class Worker:
    """Methods of an object that another process has.

    :param factory: ``module:Class`` of the object
    :param arguments: what it is made with
    """

    def __init__(self, factory: str, **arguments: Any):
        self._factory = factory
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=_serve, args=(theirs, factory, arguments), daemon=True
        )
        self._process.start()
        theirs.close()
        self._is_ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pipe.close()
        if kind is not None:
            # It may be in the middle of something long.
            self._process.terminate()
        self._process.join()

    def call(self, method: str, *values: Any) -> Any:
        """Call a method and wait for what it returns."""
        self.begin(method, *values)
        return self.answer()

    def begin(self, method: str, *values: Any) -> None:
        """Call a method; :meth:`answer` waits for what it returns."""
        if not self._is_ready:
            # Several import what they need at the same time.
            self.answer()
            self._is_ready = True
        self._pipe.send((method, values))

    def answer(self) -> Any:
        """Return what the method returned.

        :raises RuntimeError: the process ended; it printed why
        """
        try:
            return self._pipe.recv()
        except EOFError as error:
            raise RuntimeError(
                f'{self._factory} ended; what it printed says why'
            ) from error
