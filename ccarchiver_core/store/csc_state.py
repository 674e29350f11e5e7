"""The CSC's state as the other programs may read it in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.redis.client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

STATE_NAMES = {1: "DISABLED", 2: "ENABLED", 3: "FAULT", 4: "OFFLINE", 5: "STANDBY"}
"""SAL's summary states; the numbers are those of the summaryState event."""

FAULT = "FAULT"
ENABLED = "ENABLED"


class CscState(BaseModel):
    """What the CSC last wrote of itself."""

    state: str
    error_code: int = 0
    error_report: str = ""
    seen_at: float = 0.0
    """Its last sign of life: Unix time, UTC, seconds."""


async def read_csc_state(redis: Redis) -> CscState | None:
    """Read it; None if no CSC ever wrote one here."""
    fields = await read_hash(redis, keys.CSC)
    if "state" not in fields:
        return None
    return CscState(
        state=STATE_NAMES.get(int(fields["state"]), fields["state"]),
        error_code=int(fields.get("error_code", "0")),
        error_report=fields.get("error_report", ""),
        seen_at=float(fields.get("alive_at", "0")),
    )
