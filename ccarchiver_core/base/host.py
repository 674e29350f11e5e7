"""What this host is called where several hosts share a Redis."""

from __future__ import annotations

import os
import socket

HOST_VARIABLE = "CCARCHIVER_HOST"
"""For containers: each has processes of its own, but may have the name of the host they share."""


def host_name() -> str:
    """Give the name by which leases and vital signs know this host: ``$CCARCHIVER_HOST``, else the system's."""
    return os.environ.get(HOST_VARIABLE) or socket.gethostname()
