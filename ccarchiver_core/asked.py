"""What came of asking a Forwarder: the list says who registered once, this says who was found there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.redis_client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.step import Step


class Asked(BaseModel):
    """What came of the last question to one Forwarder."""

    at: float
    """Unix time, UTC, seconds."""
    took_pairing: bool
    detail: str = ""
    """Why it was passed over."""


def record(step: Step, queue: str, came_of_it: Asked) -> None:
    """Write it within the step that ends the question; only of Forwarders in `keys.KNOWN`, which bounds it."""
    step.do("HSET", keys.ASKED, queue, came_of_it.model_dump_json())


async def read(redis: Redis) -> dict[str, Asked]:
    """Read what is known, by queue."""
    return {queue: Asked.model_validate_json(text) for queue, text in (await read_hash(redis, keys.ASKED)).items()}
