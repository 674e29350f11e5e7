"""The CCDs behind each raft electronics board."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

CCDS_PER_BOARD: Final = 3
"""A board reads three CCDs; so ComCam's three boards make nine files an image."""

BOARD: Final = re.compile(r"(?P<raft>\d{2})/(?P<board>[0-2])")
"""A location as RAFT_CCD_LIST names it: raft, slash, board."""


class UnknownBoardError(ValueError):
    """A location that no ComCam has."""


@dataclass(frozen=True)
class Sensor:
    """One CCD: its raft, as in `22`, and its name in the raft, as in `S01`."""

    raft: str
    name: str

    def filename(self, image_id: str) -> str:
        """Name of this CCD's file of an image."""
        return f"{image_id}-R{self.raft}{self.name}.fits"


def sensors_of(location: str) -> list[Sensor]:
    """List the CCDs of one location.

    Raises
    ------
    UnknownBoardError
        If the location is not a raft and a board.
    """
    match = BOARD.fullmatch(location)
    if match is None:
        raise UnknownBoardError(f"location {location!r} is not defined in the partition; it should look like 22/0")
    return [Sensor(raft=match["raft"], name=f"S{match['board']}{ccd}") for ccd in range(CCDS_PER_BOARD)]
