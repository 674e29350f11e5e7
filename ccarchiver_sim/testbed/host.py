"""One host of the archiver: a supervisord of its own with the three workers, its site file, its logs."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import psutil
import yaml

from ccarchiver_sim.testbed.folder import SITE_FILE
from ccarchiver_sim.testbed.supervisor import Supervisor

PRIVATE_DIRECTORY_MODE = 0o700


class Host:
    """A host beside others, on this machine; nothing is started by making it.

    Parameters
    ----------
    name
        What leases and vital signs call it.
    folder
        Where everything of it goes; made. Its path must be short: a socket's is in it.
    root
        The keys of its site file, below ROOT.
    env
        Environment that it shares with the others.
    """

    def __init__(self, name: str, folder: Path, root: Mapping[str, object], env: Mapping[str, str]) -> None:
        self.name = name
        config, logs, run = (folder / part for part in ("config", "logs", "run"))
        for path in (config, logs, run):
            path.mkdir(parents=True, mode=PRIVATE_DIRECTORY_MODE)
        self.site_file = config / SITE_FILE
        self.site_file.write_text(yaml.safe_dump({"ROOT": dict(root)}, sort_keys=False), encoding="utf-8")
        self.logs = logs
        self.env = dict(env) | {
            "CCARCHIVER_HOST": name,
            "CCARCHIVER_RUN_DIR": str(run),
            "IIP_CONFIG_DIR": str(config),
            "IIP_LOG_DIR": str(logs),
        }
        self.supervisor = Supervisor(self.env, logs)

    def power_off(self) -> None:
        """End supervisord and all its workers at once, as when the host loses its power: nobody says good-bye."""
        head = psutil.Process(self.supervisor.pid)
        processes = [head, *head.children(recursive=True)]
        # All stand still before the first dies, so that none can do something about it.
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes)
