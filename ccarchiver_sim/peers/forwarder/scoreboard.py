"""A Forwarder's records of the images that it has not delivered yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.peers.forwarder.sensors import Sensor


@dataclass(frozen=True)
class Instruction:
    """Contents of an image's CC_FWDR_XFER_PARAMS."""

    target: str
    session_id: str
    job_num: str
    sensors: tuple[Sensor, ...]


@dataclass
class ImageProgress:
    """One image: its instruction, the CCDs that are read out, and its header file."""

    instruction: Instruction | None = None
    read_out: tuple[Sensor, ...] = ()
    header: Path | None = None


@dataclass
class Scoreboard:
    """All images in progress. Only one thread uses it."""

    images: dict[str, ImageProgress] = field(default_factory=dict)

    def record(self, image_id: str) -> ImageProgress:
        """Return the record of an image; create it if necessary."""
        return self.images.setdefault(image_id, ImageProgress())

    def forget(self, image_id: str) -> None:
        """Remove the record of a delivered image."""
        self.images.pop(image_id, None)
