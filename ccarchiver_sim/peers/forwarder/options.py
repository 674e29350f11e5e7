"""How one simulated Forwarder runs, and how it misbehaves when asked to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PRESENCE_KEY: Final = "f99_association"
"""The key under which every Forwarder of the known release shows that it lives, whatever its own name."""

HEADER_FAILED: Final = 5610
PIXELS_FAILED: Final = 5611
COPY_FAILED: Final = 5612

FAIL_CODES: Final = (HEADER_FAILED, PIXELS_FAILED, COPY_FAILED)


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who a Forwarder is: what it writes into the list of free Forwarders, and its keys."""

    name: str
    hostname: str
    ip: str
    consume_queue: str
    presence_key: str

    @property
    def component(self) -> str:
        """The name it gives itself in its acknowledgements."""
        return f"{self.ip}:{self.hostname}"


@dataclasses.dataclass(frozen=True)
class Misbehaviour:
    """What a Forwarder does wrong on purpose.

    Parameters
    ----------
    ack_delay : `float`
        Seconds between receiving a message and acknowledging it.
    mute : `frozenset` [`str`]
        Types of messages that are never acknowledged, though acted on.
    fail_code : `int` or `None`
        The failure to report for every image instead of delivering it.
    die_after : `str` or `None`
        The type of message on whose receipt the process ends at once.
    die_mid_transfer : `int` or `None`
        After how many files of an image the process ends at once.
    duplicate_telemetry : `bool`
        Send every report about a file twice.
    """

    ack_delay: float = 0.0
    mute: frozenset[str] = frozenset()
    fail_code: int | None = None
    die_after: str | None = None
    die_mid_transfer: int | None = None
    duplicate_telemetry: bool = False


@dataclasses.dataclass(frozen=True)
class ForwarderOptions:
    """Everything a Forwarder is told on its command line."""

    identity: Identity
    misbehaviour: Misbehaviour
    redis_db: int
    wait_for_queue: bool
    work_dir: Path
