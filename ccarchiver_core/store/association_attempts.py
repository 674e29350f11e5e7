"""The result of the last association attempt with each Forwarder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core import keys
from ccarchiver_core.domain.record_types import UnixTime
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store.field_parser import FieldParser

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


class AssociationAttempt(BaseModel):
    """The last association attempt with one Forwarder."""

    attempted_at: UnixTime
    """Unix time, UTC, seconds."""
    accepted: bool
    detail: str = ""
    """Why the association failed; empty if the Forwarder accepted."""


def record(transaction: Transaction, queue: str, attempt: AssociationAttempt) -> None:
    """Add the record of an attempt to the transaction that ends it.

    Only Forwarders of `keys.KNOWN_FORWARDERS` are recorded, so their number is bounded.
    """
    transaction.command("HSET", keys.ASSOCIATION_ATTEMPTS, queue, attempt.model_dump_json())


async def read(redis: Redis) -> dict[str, AssociationAttempt]:
    """Return the last attempt with each Forwarder, by queue."""
    fields = await read_hash(redis, keys.ASSOCIATION_ATTEMPTS)
    return FieldParser(keys.ASSOCIATION_ATTEMPTS, fields).models(AssociationAttempt)
