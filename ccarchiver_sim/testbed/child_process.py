"""Child processes that are ended by their process id and never outlive this process."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from ccarchiver_sim.pace import MEASURE_EVERY_S, Deadline

POLL_S = 0.02
"""Time between two checks of a child; short compared with the time that any child needs to start or
end."""
KILL_WAIT_S = 10.0
"""SIGKILL acts at once unless the process is blocked in the kernel, for example on a failing
disk."""
FREEZE_WAIT_S = 10.0
"""SIGSTOP acts within milliseconds, as SIGKILL does."""
TAIL_LINES = 15
"""Lines of a log that an error message quotes: enough for the end of a traceback."""


class ChildError(RuntimeError):
    """A child could not be started or did not do what was requested; the text names its log."""


class ChildProcess:
    """A program with its output in a log file, which ends when this process ends for any reason.

    The kernel signals the child when *the thread that started it* ends. Start children from the
    main thread.

    Parameters
    ----------
    name
        Name of the program in messages.
    argv
        Program and arguments. They must not contain secrets: every user of the machine can read
        them.
    env
        The complete environment of the child.
    log_path
        File to which standard error is appended, and standard output unless `out_path` is given.
    out_path
        File for standard output, for a program that sends events to its driver there.
    death_signal
        Signal that the kernel sends when this process dies: SIGKILL for a program without data to
        save, SIGTERM for one that must end its own children.
    with_stdin
        Whether to keep a pipe to the child's standard input open.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log_path: Path,
        out_path: Path | None = None,
        death_signal: signal.Signals = signal.SIGTERM,
        with_stdin: bool = False,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.out_path = out_path if out_path is not None else log_path
        self._argv = list(argv)
        self._env = dict(env)
        self._death_signal = death_signal
        self._with_stdin = with_stdin
        self.survives_full_disk = False
        """Whether a write beyond the file size limit is an error for the program (EFBIG), as on a
        full disk, instead of ending it."""
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running or last program.

        Raises
        ------
        ChildError
            If the program was never started.
        """
        return self._started().pid

    @property
    def is_running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while running or before the first start."""
        return None if self._process is None else self._process.poll()

    @property
    def stdin(self) -> IO[str]:
        """The child's standard input.

        Raises
        ------
        ChildError
            If the child has no standard input, or was never started.
        """
        stdin = self._started().stdin
        if stdin is None:
            raise ChildError(f"{self.name} was started without a standard input")
        return stdin

    def start(self) -> None:
        """Start the program; do nothing while it runs.

        Raises
        ------
        ChildError
            If the program does not exist.
        """
        if self.is_running:
            return
        program = shutil.which(self._argv[0], path=self._env.get("PATH"))
        if program is None:
            raise ChildError(
                f"cannot start {self.name}: no program {self._argv[0]}; run `make setup`"
            )
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise ChildError(
                f"cannot start {self.name}: no program setpriv; it is part of util-linux, "
                "install that"
            )
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        # Not preexec_fn: Python in a fork of a process with many DDS threads can deadlock. setpriv
        # runs after the exec.
        leash = [setpriv, "--pdeathsig", self._death_signal.name.removeprefix("SIG")]
        with self.log_path.open("ab") as log, self.out_path.open("ab") as out:
            self._process = subprocess.Popen(
                [*leash, program, *self._argv[1:]],
                env=self._env,
                stdin=subprocess.PIPE if self._with_stdin else subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                text=True,
                # A separate session: Ctrl-C in a terminal reaches only this process, which ends the
                # others in the right sequence.
                start_new_session=True,
                # Python ignores SIGXFSZ, and its children inherit that unless the signal is
                # restored.
                restore_signals=not self.survives_full_disk,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; do nothing if the program has ended."""
        if self.is_running:
            self._started().send_signal(number)

    def terminate(self) -> None:
        """Send SIGTERM without waiting."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program at once, as a crash does, and wait until it has ended."""
        self.signal(signal.SIGKILL)
        self.wait_ended(KILL_WAIT_S)

    def freeze(self) -> None:
        """Suspend all threads with the sockets open, as on a machine that hangs.

        Raises
        ------
        ChildError
            If a thread still runs after `FREEZE_WAIT_S`.
        """
        self.signal(signal.SIGSTOP)
        deadline = Deadline(FREEZE_WAIT_S)
        # The kernel stops each thread separately: one that runs on another core may still answer a
        # request.
        while self.is_running and not _is_stopped(self._started().pid):
            if deadline.has_passed():
                raise ChildError(f"{self.name} was sent SIGSTOP, but some of its threads still run")
            time.sleep(POLL_S)

    def thaw(self) -> None:
        """Continue a frozen program."""
        self.signal(signal.SIGCONT)

    def wait_ended(self, limit: float) -> int:
        """Wait until the program has ended and return its exit code.

        Parameters
        ----------
        limit
            Seconds on a idle reference machine.

        Raises
        ------
        ChildError
            If the program still runs after the limit, or was never started.
        """
        process = self._started()
        code = _wait(process, limit)
        if code is None:
            raise ChildError(
                f"{self.name} ({process.pid}) did not end within {limit:g} s; {self.where()}"
            )
        if process.stdin is not None:
            process.stdin.close()
        return code

    def stop(self, limit: float) -> None:
        """Send SIGTERM and wait; kill the program if it still runs after ``limit`` seconds.

        Safe to repeat.
        """
        if self._process is None:
            return
        self.thaw()
        self.terminate()
        try:
            self.wait_ended(limit)
        except ChildError:
            self.kill()

    def require_running(self) -> None:
        """Raise a ChildError with the end of the log if the program is not running."""
        if not self.is_running:
            text = self.how_it_ended() or f"{self.name} was never started; {self.where()}"
            raise ChildError(f"{text}\n{self.tail()}")

    def how_it_ended(self) -> str | None:
        """Return name, exit status and log of a program that has ended; None for another one."""
        code = self.exit_code
        if code is None:
            return None
        how = (
            f"was killed by {signal.Signals(-code).name} (exit status {code})"
            if code < 0
            else f"ended with exit status {code}"
        )
        return f"{self.name} {how}; {self.where()}"

    def where(self) -> str:
        """Return the path of the log as text for messages."""
        return f"its log: {self.log_path}"

    def tail(self) -> str:
        """Return the last lines of the log."""
        if not self.log_path.exists():
            return ""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ChildError(f"{self.name} was never started")
        return self._process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(KILL_WAIT_S)


def _wait(process: subprocess.Popen[str], limit: float) -> int | None:
    """Wait until a process has ended; return its exit code, or None if it still runs."""
    deadline = Deadline(limit)
    while not deadline.has_passed():
        try:
            return process.wait(MEASURE_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    return process.poll()


def base_environment() -> dict[str, str]:
    """Return the variables of this process that a child needs to find programs and modules.

    The locale is fixed to C.UTF-8.
    """
    kept = {
        name: os.environ[name]
        for name in ("PATH", "PYTHONPATH", "TZ", "TMPDIR")
        if name in os.environ
    }
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def _is_stopped(pid: int) -> bool:
    """Return whether each thread of a process is in the state T (stopped); see proc(5)."""
    states: list[str] = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # the thread has ended in the meantime
            states.append(path.read_text().rpartition(") ")[2][0])
    return all(state == "T" for state in states)
