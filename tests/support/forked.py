"""Peers without an interpreter start: forked from a process that has imported them."""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from ccarchiver_sim.testbed.child_process import ChildProcess
from ccarchiver_sim.testbed.peer_process import Peer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FORKING = multiprocessing.get_context("forkserver")
FORKED = frozenset(
    f"ccarchiver_sim.peers.{name}.main" for name in ("backbone", "controller", "forwarder", "oods")
)
"""Peers that do not use SAL; the others are started once for many tests."""
BUTLER = "ccarchiver_sim.peers.oods.service"
"""Module that loads the Butler, which takes longest; a program of the OODS loads it late."""
FORKING.set_forkserver_preload([*sorted(FORKED), BUTLER])
PR_SET_PDEATHSIG = 1
"""Option of prctl that ends a process with its parent."""


class ForkedPeer(Peer):
    """A peer that costs a tenth of an interpreter start; a peer on SAL is started as a program."""

    def __init__(
        self,
        name: str,
        module: str,
        options: Sequence[str],
        *,
        env: Mapping[str, str],
        logs: Path,
        with_stdin: bool = False,
    ) -> None:
        super().__init__(name, module, options, env=env, logs=logs, with_stdin=with_stdin)
        self._module = module

    @override
    def start(self) -> None:
        if self._module not in FORKED:
            super().start()
        elif not self.is_running:
            self._process = _fork(
                self._module, self.options, self._env, self.out_path, self.log_path
            )


class ForkedChild(ChildProcess):
    """A peer outside of a rig, with both outputs in one log.

    Parameters
    ----------
    name
        Name of the peer in messages.
    module
        Its module with ``main``, one of `FORKED`.
    arguments
        Arguments of its command line.
    env
        Its whole environment.
    log_path
        File for its standard output and standard error.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        log_path: Path,
    ) -> None:
        super().__init__(name, [module, *arguments], env=env, log_path=log_path)

    @override
    def start(self) -> None:
        if not self.is_running:
            self._process = _fork(
                self._argv[0], self._argv[1:], self._env, self.out_path, self.log_path
            )


def _fork(
    module: str, options: Sequence[str], env: Mapping[str, str], *outputs: Path
) -> subprocess.Popen[str]:
    """Fork a peer; return a replacement for its Popen."""
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)  # the file is read immediately
    return cast("subprocess.Popen[str]", _Fork(module, options, env, outputs))


class _Fork:
    """The part of Popen that `ChildProcess` uses."""

    stdin = None

    def __init__(
        self, module: str, options: Sequence[str], env: Mapping[str, str], outputs: Sequence[Path]
    ) -> None:
        paths = [str(path) for path in outputs]
        self._process = FORKING.Process(
            target=_become, args=(module, list(options), dict(env), paths)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code


def _become(module: str, options: list[str], env: dict[str, str], outputs: list[str]) -> None:
    """Become the program."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()  # Ctrl-C in a terminal reaches only the tests, which end the peers
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), number)
    sys.argv = [module, *options]
    importlib.import_module(module).main()
