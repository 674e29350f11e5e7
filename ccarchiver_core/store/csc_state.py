"""The CSC's state in Redis, for the other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.redis.replies import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

STATE_NAMES = {1: "DISABLED", 2: "ENABLED", 3: "FAULT", 4: "OFFLINE", 5: "STANDBY"}
"""SAL's summary states; the numbers are those of the summaryState event."""

FAULT = "FAULT"
ENABLED = "ENABLED"


class CscState(BaseModel):
    """The state that the CSC last wrote."""

    state: str
    error_code: int = 0
    error_report: str = ""
    seen_at: float = 0.0
    """Time at which the CSC last wrote it: Unix time, UTC, seconds."""


async def read_csc_state(redis: Redis) -> CscState | None:
    """Return the CSC's state; None if no CSC has ever written one."""
    fields = await read_hash(redis, keys.CSC)
    if "state" not in fields:
        return None
    return CscState(
        state=STATE_NAMES.get(int(fields["state"]), fields["state"]),
        error_code=int(fields.get("error_code", "0")),
        error_report=fields.get("error_report", ""),
        seen_at=float(fields.get("alive_at", "0")),
    )
