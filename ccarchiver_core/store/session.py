"""The session: what should be true now, in one Redis hash that every worker can read again after a restart.

SAL owns ``id`` and ``wanted``; health owns ``epoch``, ``pairing``, ``forwarder`` and ``loss``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.session import ForwarderLoss, PairedForwarder, Pairing, Session
from ccarchiver_core.redis.client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


async def read_session(redis: Redis) -> Session:
    """Read the session; an empty Redis gives one that nobody wants."""
    raw = await read_hash(redis, keys.SESSION)
    forwarder, loss = raw.get("forwarder"), raw.get("loss")
    return Session(
        id=raw.get("id", ""),
        is_active=raw.get("wanted") == "up",
        epoch=int(raw.get("epoch", "0")),
        pairing=Pairing(raw.get("pairing", Pairing.NONE)),
        forwarder=PairedForwarder.model_validate_json(forwarder) if forwarder else None,
        loss=ForwarderLoss.model_validate_json(loss) if loss else None,
    )


def begin(transaction: Transaction, session_id: str) -> None:
    """Write a new session that wants a Forwarder."""
    transaction.set_fields(keys.SESSION, {"id": session_id, "wanted": "up", "pairing": Pairing.SEARCHING})
    transaction.command("HDEL", keys.SESSION, "forwarder", "loss")


def end(transaction: Transaction, association_key: str) -> None:
    """Write that no session is wanted; the association key is gone with the same step."""
    transaction.set_fields(keys.SESSION, {"wanted": "down", "pairing": Pairing.NONE})
    transaction.command("HDEL", keys.SESSION, "forwarder", "loss")
    transaction.command("DEL", association_key)


def require_active(transaction: Transaction, session_id: str) -> None:
    """Let a step be refused when another session, or none, is in force by now."""
    transaction.require(keys.SESSION, "id", session_id)
    transaction.require(keys.SESSION, "wanted", "up")
