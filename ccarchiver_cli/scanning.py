"""Request of a scan, and the wait for its end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.worker_messages import RequestScan
from ccarchiver_core.redis.replies import transact
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.store.scans import ScanState, read_scan
from ccarchiver_core.store.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.store.scans import Scan

POLL_INTERVAL_S = 0.1

MARGIN_S = 5.0
"""Seconds beyond SCAN_TIMEOUT within which health begins and ends a scan."""


async def scan_now(redis: Redis, settings: Settings) -> Scan | None:
    """Request a scan and return its record when it has ended.

    Returns
    -------
    scan : `Scan` or `None`
        None if it has not ended in time, for example because an exposure is in progress. It then
        takes place later.

    Raises
    ------
    RejectedError
        If no scan is possible now; the text contains the remedy.
    """
    if settings.catch_up is CatchUp.OFF:
        raise RejectedError("CATCH_UP is off in the site file: no scan takes place")
    if not (await read_session(redis)).is_paired:
        raise RejectedError(
            "no Forwarder is paired, so none can list images; bring the CSC to DISABLED or "
            "ENABLED, then: ccarchiver pair show"
        )
    if await read_heartbeat(redis, keys.Worker.HEALTH) is None:
        raise RejectedError(
            "ccarchiver:health is down; supervisorctl start ccarchiver:health, then repeat"
        )
    before = await read_scan(redis)
    message = RequestScan().model_dump_json()
    await transact(redis, ("XADD", keys.Worker.HEALTH.mailbox, "*", "message", message))
    deadline = time.monotonic() + settings.scan_timeout + MARGIN_S
    while time.monotonic() < deadline:
        scan = await read_scan(redis)
        is_over = scan.state in (ScanState.ANSWERED, ScanState.UNANSWERED)
        if scan.number > before.number and is_over:
            return scan
        await asyncio.sleep(POLL_INTERVAL_S)
    return None
