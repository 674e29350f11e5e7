"""What supervisord said last of each of its programs, as our event listener wrote it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ccarchiver_core import keys
from ccarchiver_core.domain.supervised_process import SupervisedProcess
from ccarchiver_core.redis.client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def read_processes(redis: Redis) -> list[SupervisedProcess]:
    """Read them all, by host and name; what cannot be read, as another version may have it, is left out."""
    fields = await read_hash(redis, keys.SUPERVISED_PROCESSES)
    found = (parse_process(text) for _, text in sorted(fields.items()))
    return [program for program in found if program is not None]


def parse_process(text: str) -> SupervisedProcess | None:
    """Read one as it stands in Redis; None if another version wrote it in another way."""
    try:
        return SupervisedProcess.model_validate_json(text)
    except ValidationError:
        return None
