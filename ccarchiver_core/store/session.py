"""The session in Redis: one hash, which every worker reads again after a restart.

SAL begins and ends a session. Meanwhile health writes ``epoch``, ``pairing``, ``forwarder`` and
``loss``. Health also ends the session of a CSC that does not return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.session import ForwarderLoss, PairedForwarder, Pairing, Session
from ccarchiver_core.redis.replies import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


async def read_session(redis: Redis) -> Session:
    """Return the session; an inactive one if Redis has none."""
    raw = await read_hash(redis, keys.SESSION)
    forwarder, loss = raw.get("forwarder"), raw.get("loss")
    return Session(
        id=raw.get("id", ""),
        is_active=raw.get("is_active") == "1",
        epoch=int(raw.get("epoch", "0")),
        pairing=Pairing(raw.get("pairing", Pairing.NONE)),
        forwarder=PairedForwarder.model_validate_json(forwarder) if forwarder else None,
        loss=ForwarderLoss.model_validate_json(loss) if loss else None,
    )


def begin(transaction: Transaction, session_id: str) -> None:
    """Begin a new session, which searches for a Forwarder."""
    transaction.set_fields(
        keys.SESSION, {"id": session_id, "is_active": "1", "pairing": Pairing.SEARCHING}
    )
    transaction.command("HDEL", keys.SESSION, "forwarder", "loss")


def end(transaction: Transaction, association_key: str) -> None:
    """End the session, and delete the association key in the same transaction."""
    transaction.set_fields(keys.SESSION, {"is_active": "0", "pairing": Pairing.NONE})
    transaction.command("HDEL", keys.SESSION, "forwarder", "loss")
    transaction.command("DEL", association_key)


def require_active(transaction: Transaction, session_id: str) -> None:
    """Add the precondition that this session is still active."""
    transaction.require(keys.SESSION, "id", session_id)
    transaction.require(keys.SESSION, "is_active", "1")
