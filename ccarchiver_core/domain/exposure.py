"""One exposure: its SAL events, its instructions, and which instruction is the next one.

This module does no I/O. The order of the instructions is a pure function of the image record, so
every interleaving can be tested. An END_READOUT that reaches a Forwarder before the image's
XFER_PARAMS loses the image. END_READOUT and HEADER_READY may come in either order.
"""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ccarchiver_core.domain.record_types import (
    Code,
    UnixTime,
)


class EventKind(enum.StrEnum):
    """The three SAL events of an image; the values are also the fields of the image record."""

    START = "startIntegration"
    END = "endReadout"
    HEADER = "largeFileObjectAvailable"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")  # a camera may send NaN

    sent_at: float = 0.0
    """Time at which the event was put, by its sender's clock (TAI, Unix s); 0 if not known."""


class StartIntegration(_Event):
    """The fields of CCCamera's startIntegration that the archiver uses; times in seconds."""

    kind: Literal[EventKind.START] = EventKind.START
    image_name: str
    image_index: int
    images_in_sequence: int
    image_date: str
    exposure_time: float
    acquisition_start: float = 0.0
    """timestampAcquisitionStart: the start of the exposure (TAI, Unix s); 0 if not known."""


class EndReadout(_Event):
    """The fields of CCCamera's endReadout that the archiver uses."""

    kind: Literal[EventKind.END] = EventKind.END
    image_name: str
    image_index: int
    images_in_sequence: int
    image_date: str = ""
    acquisition_start: float = 0.0
    """timestampAcquisitionStart, as in startIntegration."""
    end_of_readout: float = 0.0
    """timestampEndOfReadout (TAI, Unix s); 0 if not known."""


class HeaderReady(_Event):
    """CCHeaderService's largeFileObjectAvailable, with the URL of the header file."""

    kind: Literal[EventKind.HEADER] = EventKind.HEADER
    url: str
    checksum: str = ""


ExposureEvent = Annotated[StartIntegration | EndReadout | HeaderReady, Field(discriminator="kind")]


class Instruction(enum.StrEnum):
    """An instruction about an image to a peer; the value is its field in the image record."""

    NEW_ITEM = "new_item"
    XFER_PARAMS = "xfer_params"
    END_READOUT = "end_readout"
    HEADER_READY = "header_ready"

    @property
    def digit(self) -> int:
        """Last digit of the number in the ACK_ID."""
        return _DIGITS[self]


_DIGITS = {
    Instruction.NEW_ITEM: 1,
    Instruction.XFER_PARAMS: 2,
    Instruction.END_READOUT: 3,
    Instruction.HEADER_READY: 4,
}


class SentInstruction(BaseModel):
    """An instruction that RabbitMQ has confirmed. Times are Unix times, UTC, seconds, or 0."""

    model_config = ConfigDict(frozen=True)

    ack_id: str
    session_id: str
    epoch: Code
    acked: bool = False
    sent_at: UnixTime = 0.0
    """Time of RabbitMQ's confirmation."""
    resent_at: UnixTime = 0.0
    """Time at which it was sent again, with the same ACK_ID."""
    acked_at: UnixTime = 0.0
    """Time of the acknowledgement."""


class Exposure(BaseModel):
    """The part of an image record that the bridge needs."""

    obsid: str
    job: int
    start: StartIntegration | None = None
    end: EndReadout | None = None
    header: HeaderReady | None = None
    target_dir: str = ""
    failure_reason: str = ""
    retrieved: bool = False
    """Whether all files are retrieved; then no Forwarder needs another instruction."""
    sent: dict[Instruction, SentInstruction] = Field(default_factory=dict)
    received_at: dict[EventKind, float] = Field(default_factory=dict)
    """Time at which each event arrived: Unix time, UTC, seconds; for measurements only."""

    def apply(self, event: StartIntegration | EndReadout | HeaderReady, at: float = 0.0) -> None:
        """Apply an event; later ones of the same kind are ignored, so it is safe to repeat.

        Parameters
        ----------
        event : `StartIntegration`, `EndReadout` or `HeaderReady`
            The event.
        at : `float`
            Time at which it arrived: Unix time, UTC, seconds.
        """
        self.received_at.setdefault(event.kind, at)
        match event:
            case StartIntegration():
                self.start = self.start or event
            case EndReadout():
                self.end = self.end or event
            case HeaderReady():
                self.header = self.header or event

    def next_instruction(self, session_id: str, epoch: int) -> Instruction | None:
        """Return the instruction that must be sent now; None if there is none at present.

        Parameters
        ----------
        session_id : `str`
            The current session.
        epoch : `int`
            The current pairing. An instruction of an earlier pairing was sent to a Forwarder that
            is no longer paired, so it counts as not sent.
        """
        if self.failure_reason or self.retrieved or self.start is None:
            return None
        if not self.target_dir:
            sent = self.sent.get(Instruction.NEW_ITEM)
            is_current = sent is not None and sent.session_id == session_id
            return None if is_current else Instruction.NEW_ITEM
        if not self._has_sent(Instruction.XFER_PARAMS, epoch):
            return Instruction.XFER_PARAMS
        if self.end is not None and not self._has_sent(Instruction.END_READOUT, epoch):
            return Instruction.END_READOUT
        if self.header is not None and not self._has_sent(Instruction.HEADER_READY, epoch):
            return Instruction.HEADER_READY
        return None

    def ready_at(self, instruction: Instruction) -> float | None:
        """Return the time from which an instruction could be sent; None if it is not known.

        The archiver's own latency is measured from this time, so it includes no time of the camera
        or of a peer.

        Returns
        -------
        ready_at
            Unix time, UTC, seconds.
        """
        new_item, params = (
            self.sent.get(Instruction.NEW_ITEM),
            self.sent.get(Instruction.XFER_PARAMS),
        )
        params_at = params.sent_at if params else None
        needed = {
            Instruction.NEW_ITEM: [self.received_at.get(EventKind.START)],
            Instruction.XFER_PARAMS: [new_item.acked_at if new_item else None],
            Instruction.END_READOUT: [params_at, self.received_at.get(EventKind.END)],
            Instruction.HEADER_READY: [params_at, self.received_at.get(EventKind.HEADER)],
        }[instruction]
        known = [time for time in needed if time]
        return max(known) if len(known) == len(needed) else None

    def _has_sent(self, instruction: Instruction, epoch: int) -> bool:
        sent = self.sent.get(instruction)
        return sent is not None and sent.epoch == epoch


EPOCH_SPAN = 1_000_000
"""Maximum number of pairings in a session.

Health needs at least half a second for each, so this is enough for six days of continuous pairing.
"""


def ack_number(job: int, epoch: int, digit: int) -> int:
    """Return the number in an ACK_ID; it is the same when a message is sent again.

    Parameters
    ----------
    job : `int`
        JOB_NUM of the image; 0 if the message belongs to no image.
    epoch : `int`
        The pairing, for messages to a Forwarder; 0 for other messages.
    digit : `int`
        Type of the message, 0 to 9.
    """
    return (job * EPOCH_SPAN + epoch % EPOCH_SPAN) * 10 + digit
