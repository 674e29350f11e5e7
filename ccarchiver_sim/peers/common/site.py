"""A peer's access to the site: configuration file, credentials, logging."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.credentials import Credentials, load_credentials
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_sim.peers.common.runloop import EXIT_FAILED, EXIT_OK, PeerError, RunLoop

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """The site's settings and its RabbitMQ credentials."""

    settings: Settings
    credentials: Credentials

    @classmethod
    def load(cls) -> Site:
        """Return both, read from the same files as the archiver reads.

        Raises
        ------
        PeerError
            If a file is missing or invalid; the text contains the remedy.
        """
        try:
            return cls(settings=load_settings(), credentials=load_credentials())
        except ConfigError as error:
            raise PeerError(str(error)) from error


def start_logging(level: str) -> None:
    """Log to stderr, because stdout is for the JSON lines."""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # pika logs each part of a connection at INFO and each loss several times at ERROR;
    # RabbitConnection logs it once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def run_peer(name: str, log_level: str, work: Callable[[RunLoop], None]) -> int:
    """Run a peer until a signal ends it.

    Parameters
    ----------
    name : `str`
        Name of the peer.
    log_level : `str`
        Python name of the logging level.
    work : callable
        Main function of the peer; it returns when the loop's stop event is set.

    Returns
    -------
    code : `int`
        Exit code for the process.
    """
    start_logging(log_level)
    loop = RunLoop(name)
    loop.listen_to_signals()
    try:
        work(loop)
    except PeerError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EXIT_FAILED
    return EXIT_OK
