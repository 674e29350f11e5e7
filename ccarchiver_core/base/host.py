"""Name of this host, for sites where several hosts share a Redis."""

from __future__ import annotations

import os
import socket

HOST_VARIABLE = "CCARCHIVER_HOST"
"""Variable with the name, for containers.

Each container has its own process ids, but may have the same host name as another one.
"""


def host_name() -> str:
    """Return the host name for leases and heartbeats: ``$CCARCHIVER_HOST``, else the system's."""
    return os.environ.get(HOST_VARIABLE) or socket.gethostname()
