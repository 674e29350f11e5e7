"""The answer of a Forwarder to a scan: the list of names in Redis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from redis.exceptions import ResponseError

from ccarchiver_core import keys
from ccarchiver_core.redis.replies import is_wrong_type

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_NAMES = 5000
"""Names that are read of one answer; the camera's data acquisition keeps two nights of 1,000."""

MAX_LIST_BYTES = 4_000_000
"""Largest list that is read. `MAX_NAMES` real names take a tenth of it."""

KEPT_SCANS = 5
"""Scans whose lists are still read and deleted: an answer can be late."""


@dataclass
class Answer:
    """The lists of the last scans; they are deleted in the transaction that records the result."""

    keys: list[str] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    unread: int = 0
    """Names that are not read because there are too many."""
    defect: str = ""
    """Why a list cannot be used; empty if all can be used."""


async def read_answer(redis: Redis, number: int) -> Answer:
    """Return the names that Forwarders have pushed for the last scans, up to a scan's number."""
    answer = Answer()
    for one in range(max(1, number - KEPT_SCANS + 1), number + 1):
        key = keys.scan_names(one)
        if not await redis.exists(key):
            continue
        answer.keys.append(key)
        try:
            await _read_list(redis, key, answer)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            answer.defect = f"{key} is not a list"
    return answer


async def _read_list(redis: Redis, key: str, answer: Answer) -> None:
    count = int(await redis.llen(key))
    size_bytes = int(await redis.memory_usage(key, samples=0) or 0)
    if size_bytes > MAX_LIST_BYTES:
        answer.defect = f"{key} has {size_bytes} bytes, more than {MAX_LIST_BYTES}"
        answer.unread += count
        return
    room = MAX_NAMES - len(answer.names)
    if room > 0:
        answer.names += cast("list[bytes]", await redis.lrange(key, 0, room - 1))
    answer.unread += max(0, count - room)
