"""Options of a simulated Forwarder, including its deliberate misbehaviour."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.forwarder.fitsfile import DEFAULT_LAYOUT, Layout

if TYPE_CHECKING:
    from pathlib import Path

PRESENCE_KEY: Final = "f99_association"
"""Presence key of every Forwarder of the known release, independent of its name."""

HEADER_FAILED: Final = 5610
PIXELS_FAILED: Final = 5611
COPY_FAILED: Final = 5612

FAIL_CODES: Final = (HEADER_FAILED, PIXELS_FAILED, COPY_FAILED)


@dataclasses.dataclass(frozen=True)
class Identity:
    """Identity of a Forwarder: its entry in the list of free Forwarders, and its keys."""

    name: str
    hostname: str
    ip: str
    consume_queue: str
    presence_key: str

    @property
    def component(self) -> str:
        """Name of the Forwarder in its acknowledgements."""
        return f"{self.ip}:{self.hostname}"


@dataclasses.dataclass(frozen=True)
class Misbehaviour:
    """Deliberate misbehaviour of a Forwarder.

    Parameters
    ----------
    ack_delay : `float`
        Seconds between the receipt of a message and its acknowledgement.
    mute : `frozenset` [`str`]
        Types of messages that are executed but never acknowledged.
    fail_code : `int` or `None`
        Code of the failure that is sent for every image instead of its delivery.
    die_after : `str` or `None`
        Type of message on whose receipt the process ends.
    die_mid_transfer : `int` or `None`
        Number of files of an image after which the process ends.
    duplicate_telemetry : `bool`
        Whether to send every status of a file twice.
    scan_time : `float`
        Seconds for which a SCAN blocks the Forwarder.
    """

    ack_delay: float = 0.0
    mute: frozenset[str] = frozenset()
    fail_code: int | None = None
    die_after: str | None = None
    die_mid_transfer: int | None = None
    duplicate_telemetry: bool = False
    scan_time: float = 0.0


@dataclasses.dataclass(frozen=True)
class ForwarderOptions:
    """Options from the command line of a Forwarder."""

    identity: Identity
    misbehaviour: Misbehaviour
    redis_db: int
    wait_for_queue: bool
    work_dir: Path
    daq: Path | None = None
    layout: Layout = DEFAULT_LAYOUT
