"""The last state of each program under supervisord, as the event listener recorded it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ccarchiver_core import keys
from ccarchiver_core.domain.supervised_process import SupervisedProcess
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.store.field_parser import FieldParser

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def read_processes(redis: Redis) -> list[SupervisedProcess]:
    """Return all programs, by host and name. Entries of an incompatible version are left out."""
    fields = await read_hash(redis, keys.SUPERVISED_PROCESSES)
    parser = FieldParser(keys.SUPERVISED_PROCESSES, dict(sorted(fields.items())))
    return list(parser.models(SupervisedProcess).values())


def parse_process(text: str) -> SupervisedProcess | None:
    """Return the program that a Redis value holds; None if an incompatible version wrote it."""
    try:
        return SupervisedProcess.model_validate_json(text)
    except ValidationError:
        return None
