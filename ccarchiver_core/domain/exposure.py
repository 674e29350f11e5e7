"""One exposure: the SAL events that describe it, the messages it needs, and which of them is next.

Nothing here talks to anybody; the order within an image is a pure function of its record, so it can be tested
with every interleaving. Facts: an END_READOUT that reaches a Forwarder before the image's XFER_PARAMS loses the
image; END_READOUT and HEADER_READY may come in either order.
"""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class EventKind(enum.StrEnum):
    """The three SAL events of an image; also the fields of its ledger record that hold them."""

    START = "startIntegration"
    END = "endReadout"
    HEADER = "largeFileObjectAvailable"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")  # a camera may send NaN


class StartIntegration(_Event):
    """CCCamera's startIntegration, as far as the archiver needs it; exposure time in seconds."""

    kind: Literal[EventKind.START] = EventKind.START
    image_name: str
    image_index: int
    images_in_sequence: int
    image_date: str
    exposure_time: float


class EndReadout(_Event):
    """CCCamera's endReadout."""

    kind: Literal[EventKind.END] = EventKind.END
    image_name: str
    image_index: int
    images_in_sequence: int


class HeaderReady(_Event):
    """CCHeaderService's largeFileObjectAvailable: the header file is at this URL."""

    kind: Literal[EventKind.HEADER] = EventKind.HEADER
    url: str


ExposureEvent = Annotated[StartIntegration | EndReadout | HeaderReady, Field(discriminator="kind")]


class Instruction(enum.StrEnum):
    """What the archiver tells a peer about an image; the value is the ledger field that records it."""

    NEW_ITEM = "new_item"
    XFER_PARAMS = "xfer_params"
    END_READOUT = "end_readout"
    HEADER_READY = "header_ready"

    @property
    def digit(self) -> int:
        """The last digit of its ACK_ID's number."""
        return _DIGITS[self]


_DIGITS = {Instruction.NEW_ITEM: 1, Instruction.XFER_PARAMS: 2, Instruction.END_READOUT: 3, Instruction.HEADER_READY: 4}


class SentInstruction(BaseModel):
    """An order that RabbitMQ has confirmed."""

    model_config = ConfigDict(frozen=True)

    ack_id: str
    session_id: str
    epoch: int
    acked: bool = False
    sent_at: float = 0.0
    """Unix time of RabbitMQ's confirmation; this and the next two are UTC, seconds, 0 if it has not been."""
    resent_at: float = 0.0
    """When it was sent again, with the same ACK_ID."""
    acked_at: float = 0.0


class Exposure(BaseModel):
    """What the bridge knows of one image."""

    obsid: str
    job: int
    start: StartIntegration | None = None
    end: EndReadout | None = None
    header: HeaderReady | None = None
    target_dir: str = ""
    failure_reason: str = ""
    retrieved: bool = False
    """Whether every file has been reported as retrieved: there is nothing left to tell a Forwarder."""
    sent: dict[Instruction, SentInstruction] = Field(default_factory=dict)
    received_at: dict[EventKind, float] = Field(default_factory=dict)
    """When its events came, Unix time in UTC, seconds; for measuring only."""

    def apply(self, event: StartIntegration | EndReadout | HeaderReady, at: float = 0.0) -> None:
        """Take in an event that came at a time; the first of each kind counts, safe to repeat."""
        self.received_at.setdefault(event.kind, at)
        match event:
            case StartIntegration():
                self.start = self.start or event
            case EndReadout():
                self.end = self.end or event
            case HeaderReady():
                self.header = self.header or event

    def next_instruction(self, session_id: str, epoch: int) -> Instruction | None:
        """Say which message must go out now, or None if the image waits for somebody.

        Parameters
        ----------
        session_id : `str`
            The session in force.
        epoch : `int`
            The pairing in force; an order sent under an older one went to a Forwarder that is gone.
        """
        if self.failure_reason or self.retrieved or self.start is None:
            return None
        if not self.target_dir:
            asked = self.sent.get(Instruction.NEW_ITEM)
            return None if asked is not None and asked.session_id == session_id else Instruction.NEW_ITEM
        if not self._has_sent(Instruction.XFER_PARAMS, epoch):
            return Instruction.XFER_PARAMS
        if self.end is not None and not self._has_sent(Instruction.END_READOUT, epoch):
            return Instruction.END_READOUT
        if self.header is not None and not self._has_sent(Instruction.HEADER_READY, epoch):
            return Instruction.HEADER_READY
        return None

    def ready_at(self, instruction: Instruction) -> float | None:
        """Say since when an order could be sent (Unix time, UTC, seconds); None if that is not known.

        What the archiver itself took for it is measured from here: neither the camera's time nor a peer's is in it.
        """
        new_item, params = self.sent.get(Instruction.NEW_ITEM), self.sent.get(Instruction.XFER_PARAMS)
        possible = params.sent_at if params else None
        needed = {
            Instruction.NEW_ITEM: [self.received_at.get(EventKind.START)],
            Instruction.XFER_PARAMS: [new_item.acked_at if new_item else None],
            Instruction.END_READOUT: [possible, self.received_at.get(EventKind.END)],
            Instruction.HEADER_READY: [possible, self.received_at.get(EventKind.HEADER)],
        }[instruction]
        known = [at for at in needed if at]
        return max(known) if len(known) == len(needed) else None

    def _has_sent(self, instruction: Instruction, epoch: int) -> bool:
        sent = self.sent.get(instruction)
        return sent is not None and sent.epoch == epoch


EPOCH_SPAN = 1_000_000
"""Pairings a session may have; health takes at least half a second for each, so six days of nothing else."""


def ack_number(job: int, epoch: int, digit: int) -> int:
    """Make the number of an ACK_ID, the same whenever the same order is sent again.

    Parameters
    ----------
    job : `int`
        The image's JOB_NUM, 0 if it belongs to none.
    epoch : `int`
        The pairing, for what goes to a Forwarder; 0 for what does not.
    digit : `int`
        Which message, 0 to 9.
    """
    return (job * EPOCH_SPAN + epoch % EPOCH_SPAN) * 10 + digit
