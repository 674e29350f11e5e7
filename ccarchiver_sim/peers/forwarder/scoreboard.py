"""What a Forwarder remembers of each image until it has delivered it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.peers.forwarder.sensors import Sensor


@dataclass(frozen=True)
class Order:
    """What CC_FWDR_XFER_PARAMS asked for."""

    target: str
    session_id: str
    job_num: str
    sensors: tuple[Sensor, ...]


@dataclass
class ImageRecord:
    """One image: its order, the CCDs read out, and its header file."""

    order: Order | None = None
    read_out: tuple[Sensor, ...] = ()
    header: Path | None = None


@dataclass
class Scoreboard:
    """All images in work. Used by one thread only."""

    images: dict[str, ImageRecord] = field(default_factory=dict)

    def record(self, image_id: str) -> ImageRecord:
        """Give the record of an image, a new one if there is none."""
        return self.images.setdefault(image_id, ImageRecord())

    def forget(self, image_id: str) -> None:
        """Drop an image that was delivered."""
        self.images.pop(image_id, None)
