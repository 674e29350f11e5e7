"""The CSC's state in Redis, for the other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter

from ccarchiver_core import keys
from ccarchiver_core.domain.record_types import Code, Finite
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store.field_parser import FieldParser, parse_count

if TYPE_CHECKING:
    from redis.asyncio import Redis

STATE_NAMES = {1: "DISABLED", 2: "ENABLED", 3: "FAULT", 4: "OFFLINE", 5: "STANDBY"}
"""SAL's summary states; the numbers are those of the summaryState event."""

WATERMARK_PREFIX = "watermark:"
"""Prefix of fields: for each topic the watermarks of its senders, as JSON."""

_WATERMARKS: TypeAdapter[dict[str, tuple[Code, Finite]]] = TypeAdapter(
    dict[str, tuple[Code, Finite]]
)

UNREADABLE = "unreadable"
"""Name of a state that this version cannot read."""

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
    parser = FieldParser(keys.CSC, fields)
    return CscState(
        state=parser.read("state", _state_name) or UNREADABLE,
        error_code=parser.integer("error_code"),
        error_report=fields.get("error_report", ""),
        seen_at=parser.time("alive_at"),
    )


def _state_name(text: str) -> str:
    try:
        return STATE_NAMES[parse_count(text)]
    except KeyError:
        raise ValueError(f"not a summary state: {text}") from None


def read_watermarks(fields: dict[str, str]) -> dict[str, dict[str, tuple[int, float]]]:
    """Return the watermarks in the CSC's hash: number and time of sending, by topic and sender.

    A topic whose watermarks cannot be read has none: then all events of the topic that DDS has kept
    count as new. Those that are in the ledger are recognized there.
    """
    parser = FieldParser(keys.CSC, fields)
    return {
        name.removeprefix(WATERMARK_PREFIX): parser.read(name, _WATERMARKS.validate_json) or {}
        for name in fields
        if name.startswith(WATERMARK_PREFIX)
    }
