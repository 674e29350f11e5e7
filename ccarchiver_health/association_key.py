"""The association key in Redis, by which a Forwarder sees that the archiver is alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccarchiver_core.domain.session import PairedForwarder
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_core.store.transaction import Transaction


def write_association(
    transaction: Transaction, context: WorkerContext, forwarder: PairedForwarder
) -> None:
    """Add a write of the association key, which shows the Forwarder that the archiver is alive."""
    settings = context.settings
    transaction.command(
        "SETEX", settings.association_key, settings.beacon.seconds_to_expire, forwarder.hostname
    )
