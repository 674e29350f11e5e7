"""A supervisord that runs the three workers of one run with the repository's configuration."""

import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ccarchiver_sim import pace
from ccarchiver_sim.testbed.child_process import ChildError, ChildProcess

CONFIGURATION = Path(__file__).resolve().parents[2] / "supervisord.conf"
GROUP = "ccarchiver"
WORKERS = ("sal", "bridge", "health")
STOP_LIMIT_S = 60.0
"""More than stopwaitsecs of the configuration, for all workers together."""
CONTROL_LIMIT_S = 90.0
"""A restart waits until the worker has ended and then for startsecs."""
RUNNING_CODES = {0, 3}
"""Exit codes of `supervisorctl status`: 0 if all programs run, 3 if some do not."""


@dataclass(frozen=True)
class WorkerStatus:
    """One line of `supervisorctl status`."""

    state: str
    """State as supervisord names it: RUNNING, STARTING, BACKOFF, STOPPED, FATAL…"""
    pid: int | None


class Supervisor:
    """supervisord with the workers, controlled with supervisorctl as an operator does.

    Parameters
    ----------
    env
        Environment of supervisord and the workers.
    logs
        Folder for the output of supervisord itself.
    configuration
        Configuration file; that of the repository by default.
    """

    def __init__(
        self, env: Mapping[str, str], logs: Path, configuration: Path = CONFIGURATION
    ) -> None:
        self._env = dict(env)
        self._configuration = configuration
        self._child = ChildProcess(
            "supervisord",
            ["supervisord", "--nodaemon", "--configuration", str(configuration)],
            env=env,
            log_path=logs / "supervisord.out",
            # SIGTERM, so that supervisord ends its workers itself.
            death_signal=signal.SIGTERM,
        )

    @property
    def pid(self) -> int:
        """Process id of supervisord; raises ChildError if it was never started."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether supervisord runs."""
        return self._child.is_running

    def start(self) -> None:
        """Start supervisord, which starts the workers, without waiting for them."""
        self._child.start()

    def require_running(self) -> None:
        """Raise a ChildError with the end of the log if supervisord is not running."""
        self._child.require_running()

    def how_it_ended(self) -> str | None:
        """Return exit status and log of a supervisord that has ended; None if it has not."""
        return self._child.how_it_ended()

    def terminate(self) -> None:
        """Send supervisord SIGTERM without waiting; it stops the workers and then itself."""
        self._child.terminate()

    def stop(self) -> None:
        """Stop the workers and supervisord. Safe to repeat."""
        self._child.stop(STOP_LIMIT_S)

    def control(self, *words: str) -> str:
        """Run supervisorctl and return its output.

        Raises
        ------
        ChildError
            If supervisorctl failed or took too long.
        """
        argv = ["supervisorctl", "-c", str(self._configuration), *words]
        try:
            # This call blocks; on an event loop use the rig's `restart_worker`.
            done = pace.run(argv, CONTROL_LIMIT_S, env=self._env, capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            raise ChildError(f"`{' '.join(argv)}` took more than {CONTROL_LIMIT_S:g} s") from None
        if done.returncode != 0 and not (words[0] == "status" and done.returncode in RUNNING_CODES):
            raise ChildError(
                f"`{' '.join(argv)}` ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return str(done.stdout)

    def restart(self, worker: str) -> None:
        """Restart one worker and wait until supervisord reports it as running."""
        self.control("restart", f"{GROUP}:{worker}")

    def stop_worker(self, worker: str) -> None:
        """Stop one worker and leave it stopped."""
        self.control("stop", f"{GROUP}:{worker}")

    def start_worker(self, worker: str) -> None:
        """Start a stopped worker."""
        self.control("start", f"{GROUP}:{worker}")

    def signal_worker(self, worker: str, number: signal.Signals) -> None:
        """Send a signal to a worker through supervisord, which knows its pid."""
        self.control("signal", number.name.removeprefix("SIG"), f"{GROUP}:{worker}")

    def kill_worker(self, worker: str) -> None:
        """Kill a worker as a crash does; supervisord starts it again."""
        self.signal_worker(worker, signal.SIGKILL)

    def status(self) -> dict[str, WorkerStatus]:
        """Return the state and process id of each worker."""
        found: dict[str, WorkerStatus] = {}
        for line in self.control("status").splitlines():
            name, state, *rest = line.split()
            if not name.startswith(f"{GROUP}:"):
                continue  # the event listener is not a worker
            pid = int(rest[1].rstrip(",")) if rest[:1] == ["pid"] else None
            found[name.removeprefix(f"{GROUP}:")] = WorkerStatus(state=state, pid=pid)
        return found
