"""A real nginx as a proxy before the status page."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.child_process import ChildProcess, base_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

NGINX = Path(os.environ.get("NGINX", "/usr/sbin/nginx"))

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""Folders for which nginx has compiled-in paths that only root can write."""

STOP_LIMIT_S = 10.0
"""Seconds in which nginx, which has no open requests then, ends on SIGTERM."""


@contextmanager
def proxying(folder: Path, location: str) -> Iterator[str]:
    """Run nginx for the duration of a block; yield its URL.

    Parameters
    ----------
    folder
        An empty folder for its files.
    location
        The ``location`` block of its configuration.
    """
    assert NGINX.exists(), f"no {NGINX}: make setup-tests installs it; or set NGINX to an nginx"
    port = free_port()
    paths = "".join(f"{name}_temp_path {folder / name};\n" for name in TEMPORARY)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off;\nmaster_process off;\npid {folder / 'nginx.pid'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}"
        f"server {{\nlisten {LOOPBACK}:{port};\n{location}\n}}\n}}\n",
        encoding="utf-8",
    )
    words = [str(NGINX), "-e", "stderr", "-p", str(folder), "-c", str(configuration)]
    nginx = ChildProcess("nginx", words, env=base_environment(), log_path=folder / "nginx.log")
    nginx.start()
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        nginx.stop(STOP_LIMIT_S)
