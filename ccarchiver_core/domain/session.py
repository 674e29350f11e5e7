"""The session: the common goal of the workers, and the pairing with a Forwarder."""

from __future__ import annotations

import datetime as dt
import enum

from pydantic import BaseModel, ConfigDict

from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.record_types import (
    Code,
    UnixTime,
)


class Pairing(enum.StrEnum):
    """Progress of the pairing."""

    NONE = "none"
    SEARCHING = "searching"
    PAIRED = "paired"


class PairedForwarder(ForwarderEntry):
    """The Forwarder of this session, with the name of its presence key in Redis."""

    presence_key: str
    since: UnixTime = 0.0
    """Unix time of the pairing, UTC, seconds."""


class ForwarderLoss(BaseModel):
    """Why the session lost its last Forwarder."""

    model_config = ConfigDict(frozen=True)

    code: Code
    report: str
    queue: str
    exclude_from_search: bool
    """Whether the next search leaves out this Forwarder.

    It does so if the Forwarder is alive but does not answer, or if an operator has released it.
    """


class Session(BaseModel):
    """The session as read from Redis; `loss` is None if it has lost no Forwarder."""

    model_config = ConfigDict(frozen=True)

    id: str = ""
    is_active: bool = False
    epoch: int = 0
    pairing: Pairing = Pairing.NONE
    forwarder: PairedForwarder | None = None
    loss: ForwarderLoss | None = None
    unreadable: tuple[str, ...] = ()
    """Fields whose values this version cannot read; the session then counts as not paired."""

    @property
    def is_paired(self) -> bool:
        """Whether instructions can be sent to a Forwarder."""
        return self.is_active and self.pairing is Pairing.PAIRED and self.forwarder is not None


def new_session_id() -> str:
    """Return a new SESSION_ID: the time in UTC to a microsecond, in the form that peers expect."""
    return dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d_%H:%M:%S.%f")
