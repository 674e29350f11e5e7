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


class Order(enum.StrEnum):
    """What the archiver tells a peer about an image; the value is the ledger field that records it."""

    NEW_ITEM = "new_item"
    XFER_PARAMS = "xfer_params"
    END_READOUT = "end_readout"
    HEADER_READY = "header_ready"

    @property
    def digit(self) -> int:
        """The last digit of its ACK_ID's number."""
        return _DIGITS[self]


_DIGITS = {Order.NEW_ITEM: 1, Order.XFER_PARAMS: 2, Order.END_READOUT: 3, Order.HEADER_READY: 4}


class Sent(BaseModel):
    """An order that RabbitMQ has confirmed."""

    model_config = ConfigDict(frozen=True)

    ack_id: str
    session_id: str
    epoch: int
    acked: bool = False
    at: float = 0.0
    """Unix time of RabbitMQ's confirmation; this and the next two are UTC, seconds, 0 if it has not been."""
    again_at: float = 0.0
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
    failed: str = ""
    retrieved: bool = False
    """Whether every file has been reported as retrieved: there is nothing left to tell a Forwarder."""
    sent: dict[Order, Sent] = Field(default_factory=dict)
    heard_at: dict[EventKind, float] = Field(default_factory=dict)
    """When its events came, Unix time in UTC, seconds; for measuring only."""

    def note(self, event: StartIntegration | EndReadout | HeaderReady, at: float = 0.0) -> None:
        """Take in an event that came at a time; the first of each kind counts, safe to repeat."""
        self.heard_at.setdefault(event.kind, at)
        match event:
            case StartIntegration():
                self.start = self.start or event
            case EndReadout():
                self.end = self.end or event
            case HeaderReady():
                self.header = self.header or event

    def next_order(self, session_id: str, epoch: int) -> Order | None:
        """Say which message must go out now, or None if the image waits for somebody.

        Parameters
        ----------
        session_id : `str`
            The session in force.
        epoch : `int`
            The pairing in force; an order sent under an older one went to a Forwarder that is gone.
        """
        if self.failed or self.retrieved or self.start is None:
            return None
        if not self.target_dir:
            asked = self.sent.get(Order.NEW_ITEM)
            return None if asked is not None and asked.session_id == session_id else Order.NEW_ITEM
        if not self._told(Order.XFER_PARAMS, epoch):
            return Order.XFER_PARAMS
        if self.end is not None and not self._told(Order.END_READOUT, epoch):
            return Order.END_READOUT
        if self.header is not None and not self._told(Order.HEADER_READY, epoch):
            return Order.HEADER_READY
        return None

    def possible_since(self, order: Order) -> float | None:
        """Say since when an order could be sent (Unix time, UTC, seconds); None if that is not known.

        What the archiver itself took for it is measured from here: neither the camera's time nor a peer's is in it.
        """
        new_item, params = self.sent.get(Order.NEW_ITEM), self.sent.get(Order.XFER_PARAMS)
        possible = params.at if params else None
        needed = {
            Order.NEW_ITEM: [self.heard_at.get(EventKind.START)],
            Order.XFER_PARAMS: [new_item.acked_at if new_item else None],
            Order.END_READOUT: [possible, self.heard_at.get(EventKind.END)],
            Order.HEADER_READY: [possible, self.heard_at.get(EventKind.HEADER)],
        }[order]
        known = [at for at in needed if at]
        return max(known) if len(known) == len(needed) else None

    def _told(self, order: Order, epoch: int) -> bool:
        sent = self.sent.get(order)
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
