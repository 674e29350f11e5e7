"""One simulated host of the archiver, with its own supervisord, workers, site file and logs."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import psutil
import yaml

from ccarchiver_sim.testbed.folder import SITE_FILE
from ccarchiver_sim.testbed.supervisor import Supervisor

PRIVATE_DIRECTORY_MODE = 0o700


class Host:
    """A host that runs next to others on this machine. The constructor starts nothing.

    Parameters
    ----------
    name
        Name of the host in leases and heartbeats.
    folder
        Folder of the host, which is created. Its path must be short: it contains a socket.
    root
        Keys of the site file, below ROOT.
    env
        Environment that the hosts share.
    """

    def __init__(
        self, name: str, folder: Path, root: Mapping[str, object], env: Mapping[str, str]
    ) -> None:
        self.name = name
        config, logs, run = (folder / part for part in ("config", "logs", "run"))
        for path in (config, logs, run):
            path.mkdir(parents=True, mode=PRIVATE_DIRECTORY_MODE)
        self.site_file = config / SITE_FILE
        self.site_file.write_text(
            yaml.safe_dump({"ROOT": dict(root)}, sort_keys=False), encoding="utf-8"
        )
        self.logs = logs
        self.env = dict(env) | {
            "CCARCHIVER_HOST": name,
            "CCARCHIVER_RUN_DIR": str(run),
            "IIP_CONFIG_DIR": str(config),
            "IIP_LOG_DIR": str(logs),
        }
        self.supervisor = Supervisor(self.env, logs)

    def power_off(self) -> None:
        """Kill supervisord and all its workers at once, as a power failure does."""
        head = psutil.Process(self.supervisor.pid)
        processes = [head, *head.children(recursive=True)]
        # All processes are suspended before the first is killed, so that none can react.
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes)
