"""The session: what should be true now, in one Redis hash that every worker can read again after a restart.

SAL owns ``id`` and ``wanted``; health owns ``epoch``, ``pairing``, ``forwarder`` and ``loss``.
"""

from __future__ import annotations

import datetime as dt
import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ccarchiver_core import keys
from ccarchiver_core.mail import ForwarderEntry
from ccarchiver_core.redis_client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.step import Step


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


class Loss(BaseModel):
    """Why the last Forwarder of this session was given up; None in a session that has lost none."""

    model_config = ConfigDict(frozen=True)

    code: int
    report: str
    queue: str
    mute: bool
    """It lives but does not answer, or an operator released it: it is not asked while another is looked for."""


class Session(BaseModel):
    """A reading of the session."""

    model_config = ConfigDict(frozen=True)

    id: str = ""
    wanted: bool = False
    epoch: int = 0
    pairing: Pairing = Pairing.NONE
    forwarder: PairedForwarder | None = None
    loss: Loss | None = None

    @property
    def paired(self) -> bool:
        """Whether images can be sent on."""
        return self.wanted and self.pairing is Pairing.PAIRED and self.forwarder is not None


async def read_session(redis: Redis) -> Session:
    """Read the session; an empty Redis gives one that nobody wants."""
    raw = await read_hash(redis, keys.SESSION)
    forwarder, loss = raw.get("forwarder"), raw.get("loss")
    return Session(
        id=raw.get("id", ""),
        wanted=raw.get("wanted") == "up",
        epoch=int(raw.get("epoch", "0")),
        pairing=Pairing(raw.get("pairing", Pairing.NONE)),
        forwarder=PairedForwarder.model_validate_json(forwarder) if forwarder else None,
        loss=Loss.model_validate_json(loss) if loss else None,
    )


def new_session_id() -> str:
    """SESSION_ID of a new run: the time in UTC to a microsecond, the form the peers know."""
    return dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d_%H:%M:%S.%f")


def begin(step: Step, session_id: str) -> None:
    """Write a new session that wants a Forwarder."""
    step.set_fields(keys.SESSION, {"id": session_id, "wanted": "up", "pairing": Pairing.SEARCHING})
    step.do("HDEL", keys.SESSION, "forwarder", "loss")


def end(step: Step, association_key: str) -> None:
    """Write that no session is wanted; the association key is gone with the same step."""
    step.set_fields(keys.SESSION, {"wanted": "down", "pairing": Pairing.NONE})
    step.do("HDEL", keys.SESSION, "forwarder", "loss")
    step.do("DEL", association_key)


def only_during(step: Step, session_id: str) -> None:
    """Let a step be refused when another session, or none, is in force by now."""
    step.require(keys.SESSION, "id", session_id)
    step.require(keys.SESSION, "wanted", "up")
