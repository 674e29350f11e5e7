"""Peers as processes of their own, without the start of an interpreter: forked from one that has imported them."""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
from typing import TYPE_CHECKING

from ccarchiver_sim.child import ChildError
from ccarchiver_sim.pace import Deadline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload([f"ccarchiver_sim.{name}.main" for name in ("controller", "forwarder", "oods")])
LOOK_EVERY_S = 0.02
PR_SET_PDEATHSIG = 1
"""The option of prctl by which a process ends with its parent."""


class ForkedPeer:
    """A peer that behaves as a `ChildProcess` does.

    Parameters
    ----------
    name
        What messages call it.
    module
        Its module with ``main``.
    arguments
        Of its command line.
    env
        Its whole environment.
    log_path
        Where its standard output and standard error go.
    """

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], *, env: Mapping[str, str], log_path: Path
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._process = FORKING.Process(target=_run, args=(module, list(arguments), dict(env), str(log_path)))

    def start(self) -> None:
        self.log_path.touch()
        self._process.start()

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def require_running(self) -> None:
        if not self.is_running:
            raise ChildError(f"{self.name} ended with {self.exit_code}; its log:\n{self.log_path.read_text()}")

    def wait_ended(self, limit: float) -> int:
        deadline = Deadline(limit)
        while self._process.exitcode is None:
            if deadline.has_passed():
                raise ChildError(f"{self.name} did not end within {limit:g} s; its log: {self.log_path}")
            self._process.join(LOOK_EVERY_S)
        return self._process.exitcode

    def stop(self, limit: float) -> None:
        self._process.terminate()
        self.wait_ended(limit)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _run(module: str, arguments: list[str], env: dict[str, str], log: str) -> None:
    """Become the program."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()  # Ctrl-C in a terminal reaches only the tests, and they end the others
    os.environ.clear()
    os.environ.update(env)
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(out, standard)
    sys.argv = [module, *arguments]
    importlib.import_module(module).main()
