"""Check of the Redis databases: the archiver and the Forwarders must use different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_cli.doctor.redis_link import cli, query
from ccarchiver_core import keys
from ccarchiver_core.redis.replies import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings

OUR_PREFIX = "ccarchiver:"
"""Prefix of all keys that only the archiver writes."""

PRESENCE_SUFFIX = "_association"
"""Suffix of the Forwarders' presence keys in the known releases."""

SCAN_LIMIT = 300_000
"""Number of keys to read; a full ledger has fewer."""

SCAN_COUNT = 1_000
"""Keys in one SCAN command, few enough not to delay the workers."""

SHOWN = 3
"""Foreign keys that the finding names."""


def database(site: Site) -> Iterator[Finding]:
    """Check for foreign keys in the archiver's database, and for ours in the Forwarders'."""
    settings = site.settings
    ours = query(settings, _names)
    update = {"archiver_redis_db": settings.forwarder_redis_db}
    theirs = query(settings.model_copy(update=update), _names)
    yield evaluate_databases(settings, ours, theirs)


def evaluate_databases(settings: Settings, ours: list[str], theirs: list[str]) -> Finding:
    """Evaluate the names of the keys in both databases."""
    name = "redis.database"
    misplaced = [key for key in theirs if key.startswith(OUR_PREFIX)]
    if misplaced:
        return failure(
            name,
            f"database {settings.forwarder_redis_db}, which Forwarders empty at every start, has "
            f"records of an archiver: {_some(misplaced)}",
            "an archiver runs there, or ran there earlier: stop it, and give it a database of its "
            "own (ARCHIVER_REDIS_DB)",
        )
    if keys.FORWARDER_LIST in theirs:
        return warning(
            name,
            f"a Forwarder registers in database {settings.forwarder_redis_db}, "
            "which the archiver does not read",
            f"set database {settings.archiver_redis_db} as the archiver's "
            "in the Forwarder's configuration",
        )
    foreign = [key for key in ours if not _belongs(key, settings)]
    if foreign:
        remedy = cli(settings, "-n", str(settings.archiver_redis_db), "--scan")
        return warning(
            name,
            f"database {settings.archiver_redis_db} has keys that are not the archiver's "
            f"({len(foreign)}): {_some(foreign)}; a Forwarder that uses this database would empty "
            "it at its start",
            remedy,
        )
    return ok(
        name,
        f"{len(ours)} keys in database {settings.archiver_redis_db}, all the archiver's; "
        f"Forwarders use {settings.forwarder_redis_db}",
    )


def _belongs(key: str, settings: Settings) -> bool:
    shared = {keys.FORWARDER_LIST, settings.association_key}
    return key.startswith(OUR_PREFIX) or key in shared or key.endswith(PRESENCE_SUFFIX)


def _some(names: list[str]) -> str:
    return ", ".join(sorted(names)[:SHOWN]) + (" …" if len(names) > SHOWN else "")


async def _names(redis: Redis) -> list[str]:
    """Return the names of the keys in a database; SCAN returns some of them twice."""
    found: set[str] = set()
    cursor = 0
    while len(found) < SCAN_LIMIT:
        cursor, page = cast("tuple[int, list[bytes]]", await redis.scan(cursor, count=SCAN_COUNT))
        found.update(text(name) for name in page)
        if not cursor:
            break
    return list(found)
