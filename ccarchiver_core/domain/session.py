"""The session: what the workers should do now, and the pairing with a Forwarder."""

from __future__ import annotations

import datetime as dt
import enum

from pydantic import BaseModel, ConfigDict

from ccarchiver_core.domain.forwarder import ForwarderEntry


class Pairing(enum.StrEnum):
    """How far the pairing is."""

    NONE = "none"
    SEARCHING = "searching"
    PAIRED = "paired"


class PairedForwarder(ForwarderEntry):
    """The Forwarder of this session and the Redis key by which it shows that it lives."""

    presence_key: str
    since: float = 0.0
    """Unix time of the pairing, UTC, seconds."""


class ForwarderLoss(BaseModel):
    """Why the last Forwarder of this session was given up; None in a session that has lost none."""

    model_config = ConfigDict(frozen=True)

    code: int
    report: str
    queue: str
    exclude_from_search: bool
    """It lives but does not answer, or an operator released it: it is not asked while another is looked for."""


class Session(BaseModel):
    """A reading of the session."""

    model_config = ConfigDict(frozen=True)

    id: str = ""
    is_active: bool = False
    epoch: int = 0
    pairing: Pairing = Pairing.NONE
    forwarder: PairedForwarder | None = None
    loss: ForwarderLoss | None = None

    @property
    def is_paired(self) -> bool:
        """Whether images can be sent on."""
        return self.is_active and self.pairing is Pairing.PAIRED and self.forwarder is not None


def new_session_id() -> str:
    """SESSION_ID of a new run: the time in UTC to a microsecond, the form the peers know."""
    return dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d_%H:%M:%S.%f")
