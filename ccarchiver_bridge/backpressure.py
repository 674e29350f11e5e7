"""How much room there is in SAL's mailbox: when it is full, RabbitMQ keeps the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.redis.client import retry_until_available

if TYPE_CHECKING:
    from ccarchiver_bridge.context import BridgeContext

_log = structlog.get_logger(__name__)


class Backpressure:
    """Room for letters to SAL; asked for only when what was there at the last look has been given away.

    Parameters
    ----------
    hub : `Hub`
        Settings and Redis.
    """

    def __init__(self, bridge: BridgeContext) -> None:
        self._bridge = bridge
        self._left = 0

    async def take(self, count: int) -> None:
        """Wait while the mailbox is full, then take room for some letters; together they may be a few too many."""
        backoff = Backoff()
        limit = self._bridge.settings.max_mailbox
        while self._left <= 0:
            depth = await retry_until_available(lambda: self._bridge.redis.xlen(keys.Worker.SAL.mailbox))
            self._left = limit - depth
            if depth >= limit:
                await backoff.wait(
                    _log, "mailbox.full", mailbox="sal", depth=depth, remedy="is ccarchiver:sal running?"
                )
        self._left -= count
