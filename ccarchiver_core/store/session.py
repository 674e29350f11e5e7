"""The session in Redis: one hash, which every worker reads again after a restart.

SAL begins and ends a session. Meanwhile health writes ``epoch``, ``pairing``, ``forwarder`` and
``loss``. Health also ends the session of a CSC that does not return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.session import ForwarderLoss, PairedForwarder, Pairing, Session
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store import unreadable
from ccarchiver_core.store.field_parser import FieldParser

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Transaction


async def read_session(redis: Redis) -> Session:
    """Return the session; an inactive one if Redis has none.

    A session whose pairing cannot be read counts as searching: nothing is sent to a Forwarder that
    is not certain. Health writes such a session again (`repair`).
    """
    raw = await read_hash(redis, keys.SESSION)
    parser = FieldParser(keys.SESSION, raw)
    epoch = parser.integer("epoch")
    pairing = parser.read("pairing", Pairing) or Pairing.NONE
    forwarder = parser.model("forwarder", PairedForwarder)
    loss = parser.model("loss", ForwarderLoss)
    is_active = raw.get("is_active") == "1"
    if pairing is Pairing.PAIRED and forwarder is None:
        if "forwarder" not in parser.unreadable:
            unreadable.report(keys.SESSION, "forwarder", "missing, although pairing is paired")
        parser.unreadable.append("forwarder")
    if is_active and {*parser.unreadable} - {"loss"}:
        pairing, forwarder = Pairing.SEARCHING, None
    return Session(
        id=raw.get("id", ""),
        is_active=is_active,
        epoch=epoch,
        pairing=pairing,
        forwarder=forwarder,
        loss=loss,
        unreadable=tuple(parser.unreadable),
    )


def repair(transaction: Transaction, current: Session, epoch: int) -> None:
    """Write the pairing of an active session again, without a Forwarder; or remove only the loss.

    Parameters
    ----------
    transaction : `Transaction`
        Gets the writes.
    current : `Session`
        The session as read; some of its fields are unreadable.
    epoch : `int`
        An epoch that is higher than each one under which an instruction was sent.
    """
    require_active(transaction, current.id)
    if "loss" in current.unreadable:
        transaction.command("HDEL", keys.SESSION, "loss")
    if current.unreadable == ("loss",):
        return
    transaction.command("HDEL", keys.SESSION, "forwarder")
    transaction.set_fields(keys.SESSION, {"epoch": epoch, "pairing": Pairing.SEARCHING})


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
