"""A request to ingest one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ccarchiver_sim.butler.instrument import full_name
from ccarchiver_sim.peers.common import wire

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.wire import Message


@dataclass(frozen=True)
class Request:
    """A request from the Controller.

    Parameters
    ----------
    message : `dict`
        The message, whose fields the status repeats.
    path : `Path`
        The file.
    obsid : `str`
        Name of its image.
    detector : `str` or `None`
        Full name of its CCD, if the message has it.
    """

    message: Message
    path: Path
    obsid: str
    detector: str | None

    @classmethod
    def of(cls, message: Message) -> Request:
        """Return the request in a message.

        Raises
        ------
        WireError
            If a field is missing.
        """
        raft = wire.optional_text(message, "RAFT")
        sensor = wire.optional_text(message, "SENSOR")
        for key in ("CAMERA", "ARCHIVER"):  # the status repeats them
            wire.text(message, key)
        return cls(
            message=message,
            path=Path(wire.text(message, "FILENAME")),
            obsid=wire.text(message, "OBSID"),
            detector=full_name(f"R{raft}", sensor) if raft and sensor else None,
        )
