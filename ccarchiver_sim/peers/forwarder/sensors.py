"""The CCDs that each raft electronics board reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccarchiver_core.config.site_sections import Wavefront


class UnknownBoardError(ValueError):
    """A location that the site's camera does not have."""


@dataclass(frozen=True)
class Sensor:
    """One CCD: its raft, for example `22`, and its name in the raft, for example `S01`."""

    raft: str
    name: str

    def filename(self, image_id: str) -> str:
        """Return the file name of this CCD for an image."""
        return f"{image_id}-R{self.raft}{self.name}.fits"


def sensors_of(location: str, camera: Wavefront) -> list[Sensor]:
    """Return the CCDs of one location in RAFT_CCD_LIST, written raft, slash, board.

    Raises
    ------
    UnknownBoardError
        If the site's camera has no such board.
    """
    if location not in camera.ccds:
        known = ", ".join(camera.ccds)
        raise UnknownBoardError(
            f"location {location!r} is not defined in the partition, which has {known}"
        )
    return [Sensor(raft=raft, name=name) for raft, name in camera.sensors_of(location)]
