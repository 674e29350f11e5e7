"""Pending acks that cannot be read: their instructions are sent again.

Without its pending ack, the acknowledgement of an instruction has no effect, so the image would
wait without an end. Sent again with the same ACK_ID, the instruction gets a new pending ack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import pending_acks, unreadable
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_core.store.unreadable_fields import move_to_dead_letters

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext
    from ccarchiver_core.store.unreadable import UnreadableRecord

_log = structlog.get_logger(__name__)


async def replay(bridge: BridgeContext) -> None:
    """Move unreadable pending acks to the dead letters, and mark their instructions as not sent."""
    with unreadable.collecting() as found:
        await retry_until_available(lambda: pending_acks.read(bridge.redis))
    broken = {record.field: record for record in found}
    if not broken:
        return
    ledger = ImageLedger(bridge.redis)
    for obsid in await retry_until_available(ledger.open_images):
        await _replay_image(bridge, ledger, obsid, broken)
    for record in broken.values():
        await move_to_dead_letters(bridge.redis, bridge.transactions, bridge.settings, record)


async def _replay_image(
    bridge: BridgeContext, ledger: ImageLedger, obsid: str, broken: dict[str, UnreadableRecord]
) -> None:
    record = await retry_until_available(lambda: ledger.read(obsid))
    if record is None:
        return
    due = [one for one, sent in record.instructions.items() if sent.ack_id in broken]
    if not due:
        return
    transaction = Transaction()
    ImageLedger.replay(transaction, record, due)
    await bridge.transactions.apply(transaction)
    for instruction in due:
        _log.warning(
            "instruction.replayed",
            image=obsid,
            instruction=instruction,
            ack_id=record.instructions[instruction].ack_id,
            reason=f"its pending ack in {keys.PENDING_ACKS} cannot be read",
        )
