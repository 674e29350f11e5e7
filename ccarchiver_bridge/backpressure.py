"""Backpressure: while the CSC's mailbox is full, the statuses stay in RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.redis.replies import read_length
from ccarchiver_core.redis.retry import retry_until_available

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext

_log = structlog.get_logger(__name__)


class Backpressure:
    """Free entries of the CSC's mailbox.

    The length of the mailbox is read only when the entries that were free at the last check are
    used up.

    Parameters
    ----------
    bridge : `BridgeContext`
        Settings and Redis.
    """

    def __init__(self, bridge: BridgeContext) -> None:
        self._bridge = bridge
        self._free = 0

    async def reserve(self, count: int) -> None:
        """Wait while the mailbox is full, then reserve entries for some messages.

        A reservation may be larger than the number of free entries, so the mailbox may exceed
        MAX_MAILBOX by a few messages.
        """
        backoff = Backoff()
        limit = self._bridge.settings.max_mailbox
        while self._free <= 0:
            depth = await retry_until_available(
                lambda: read_length(self._bridge.redis, keys.Worker.SAL.mailbox)
            )
            self._free = limit - depth
            if depth >= limit:
                await backoff.wait(
                    _log,
                    "mailbox.full",
                    mailbox="sal",
                    depth=depth,
                    remedy="is ccarchiver:sal running?",
                )
        self._free -= count
