"""The repository's own supervisord with the three workers, for one run."""

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
"""Above stopwaitsecs of the configuration, for all workers at once."""
CONTROL_LIMIT_S = 90.0
"""A restart waits for the worker's end and then for startsecs."""
RUNNING_CODES = {0, 3}
"""What `supervisorctl status` exits with when all programs run (0) or some do not (3)."""


@dataclass(frozen=True)
class WorkerStatus:
    """One line of `supervisorctl status`."""

    state: str
    """supervisord's word: RUNNING, STARTING, BACKOFF, STOPPED, FATAL…"""
    pid: int | None


class Supervisor:
    """supervisord with the workers, controlled as an operator would, by supervisorctl.

    Parameters
    ----------
    env
        Environment of supervisord and the workers.
    logs
        Folder for what supervisord itself prints.
    configuration
        The configuration file; the repository's by default.
    """

    def __init__(self, env: Mapping[str, str], logs: Path, configuration: Path = CONFIGURATION) -> None:
        self._env = dict(env)
        self._configuration = configuration
        self._child = ChildProcess(
            "supervisord",
            ["supervisord", "--nodaemon", "--configuration", str(configuration)],
            env=env,
            log_path=logs / "supervisord.out",
            # It must end its workers itself.
            death_signal=signal.SIGTERM,
        )

    @property
    def pid(self) -> int:
        """Process id of supervisord; a ChildError if it was never started."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether supervisord runs."""
        return self._child.is_running

    def start(self) -> None:
        """Start supervisord, and with it the workers, without waiting for them."""
        self._child.start()

    def require_running(self) -> None:
        """Raise a ChildError with the end of its log if supervisord is not running."""
        self._child.require_running()

    def terminate(self) -> None:
        """Ask supervisord to stop the workers and itself, without waiting."""
        self._child.terminate()

    def stop(self) -> None:
        """Stop the workers and supervisord. Safe to repeat."""
        self._child.stop(STOP_LIMIT_S)

    def control(self, *words: str) -> str:
        """Run supervisorctl and return what it printed.

        Raises
        ------
        ChildError
            If it failed or took too long.
        """
        argv = ["supervisorctl", "-c", str(self._configuration), *words]
        try:
            # blocking: see `restart_worker` of the rig for use on an event loop
            done = pace.run(argv, CONTROL_LIMIT_S, env=self._env, capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            raise ChildError(f"`{' '.join(argv)}` took more than {CONTROL_LIMIT_S:g} s") from None
        if done.returncode != 0 and not (words[0] == "status" and done.returncode in RUNNING_CODES):
            raise ChildError(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stdout}{done.stderr}")
        return str(done.stdout)

    def restart(self, worker: str) -> None:
        """Restart one worker and wait until supervisord counts it as running."""
        self.control("restart", f"{GROUP}:{worker}")

    def stop_worker(self, worker: str) -> None:
        """Stop one worker and leave it stopped."""
        self.control("stop", f"{GROUP}:{worker}")

    def start_worker(self, worker: str) -> None:
        """Start a stopped worker."""
        self.control("start", f"{GROUP}:{worker}")

    def signal_worker(self, worker: str, number: signal.Signals) -> None:
        """Send a worker a signal, through supervisord, which knows its pid."""
        self.control("signal", number.name.removeprefix("SIG"), f"{GROUP}:{worker}")

    def kill_worker(self, worker: str) -> None:
        """End a worker as a crash would; supervisord starts it again."""
        self.signal_worker(worker, signal.SIGKILL)

    def status(self) -> dict[str, WorkerStatus]:
        """Return each worker's state and process id."""
        found: dict[str, WorkerStatus] = {}
        for line in self.control("status").splitlines():
            name, state, *rest = line.split()
            if not name.startswith(f"{GROUP}:"):
                continue  # the event listener is no worker
            pid = int(rest[1].rstrip(",")) if rest[:1] == ["pid"] else None
            found[name.removeprefix(f"{GROUP}:")] = WorkerStatus(state=state, pid=pid)
        return found
