"""What came of asking a Forwarder: the list says who registered once, this says who was found there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.redis.client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


class AssociationAttempt(BaseModel):
    """What came of the last question to one Forwarder."""

    attempted_at: float
    """Unix time, UTC, seconds."""
    accepted: bool
    detail: str = ""
    """Why it was passed over."""


def record(transaction: Transaction, queue: str, attempt: AssociationAttempt) -> None:
    """Record the attempt within the transaction that ends it.

    Only Forwarders of `keys.KNOWN_FORWARDERS` are recorded, so their number is bounded.
    """
    transaction.command("HSET", keys.ASSOCIATION_ATTEMPTS, queue, attempt.model_dump_json())


async def read(redis: Redis) -> dict[str, AssociationAttempt]:
    """Read what is known, by queue."""
    return {
        queue: AssociationAttempt.model_validate_json(text)
        for queue, text in (await read_hash(redis, keys.ASSOCIATION_ATTEMPTS)).items()
    }
