"""Free TCP ports on the loopback interface."""

import random
import socket

LOOPBACK = "127.0.0.1"
LOWEST = 15_000
HIGHEST = 32_000
"""Below the range from which Linux takes the ports of outgoing connections (32768 up): a port that
is free now is not taken by an outgoing connection during the seconds that a broker needs to bind
it."""
TRIES = 200
"""If so many random ports are all in use, the machine has another problem."""

_given: set[int] = set()


def free_port() -> int:
    """Return a free port, and never the same one twice in this process.

    Raises
    ------
    OSError
        If no free port is found.
    """
    # Deliberately not seeded: two test runs at the same time must not try the same ports.
    source = random.SystemRandom()
    for _ in range(TRIES):
        port = source.randint(LOWEST, HIGHEST)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free TCP port on {LOOPBACK} between {LOWEST} and {HIGHEST} in {TRIES} tries")


def is_free(port: int) -> bool:
    """Return whether a port of the loopback interface is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
