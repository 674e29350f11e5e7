"""``ccarchiver image``: one image's record, and trying a failed one again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys, ledger
from ccarchiver_core.exposure import Order
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.mail import SessionChanged
from ccarchiver_core.redis_client import transact
from ccarchiver_core.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def retry(redis: Redis, obsid: str) -> str:
    """Give a failed image another try from the start; the value says what was done.

    The bridge asks the Controller for a directory again as soon as it hears of it.
    """
    record = await ledger.read_record(redis, obsid)
    if record.get("state") != ImageState.FAILED:
        return f"{obsid}: is {record.get('state', 'not in the ledger')}; only a failed image can be tried again"
    session = await read_session(redis)
    name = keys.image(obsid)
    mail = SessionChanged(session_id=session.id).model_dump_json()
    await transact(
        redis,
        ("HDEL", name, "failed", "finished", "target_dir", *Order),
        ("HSET", name, "state", ImageState.ACCEPTED, "at", str(time.time())),  # its waiting begins anew
        ("ZADD", keys.UNFINISHED, int(record["job"]), obsid),
        ("XADD", keys.Worker.BRIDGE.mailbox, "*", "mail", mail),
    )
    return f"{obsid}: goes the normal way again{'' if session.wanted else ' when the CSC is started'}"
