"""Check of the records in Redis: this version must be able to read each one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import ok, warning
from ccarchiver_cli.doctor.redis_link import query
from ccarchiver_core.status import record_audit
from ccarchiver_core.store import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.store.unreadable import UnreadableRecord

NAME = "redis.records"

SHOWN = 20
"""Unreadable records that are printed, one line each."""


def check(site: Site) -> Iterator[Finding]:
    """Check whether all records can be read."""
    found, images = query(site.settings, _read)
    for record in found[:SHOWN]:
        yield warning(NAME, record.text, remedy_of(record))
    if len(found) > SHOWN:
        yield warning(NAME, f"{len(found) - SHOWN} more records cannot be read", "")
    if not found:
        yield ok(NAME, f"all records can be read, {images} of them of images")


async def _read(redis: Redis) -> tuple[list[UnreadableRecord], int]:
    with unreadable.collecting() as found:
        images = await record_audit.read_all(redis)
    return list(found), images


def remedy_of(record: UnreadableRecord) -> str:
    """Return what an operator can do about a record."""
    if record.field:
        return (
            f"redis-cli hget {record.key} '{record.field}'; if another version wrote it, install "
            "that version; otherwise write the correct value with redis-cli hset"
        )
    return f"redis-cli type {record.key}; write it again, or move it away with redis-cli rename"
