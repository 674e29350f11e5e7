"""What is in Redis: the archiver's database and the Forwarders' must not be mixed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ccarchiver_cli.doctor.finding import failure, ok, warning
from ccarchiver_cli.doctor.redis_link import cli, query
from ccarchiver_core import keys
from ccarchiver_core.redis.client import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.asyncio import Redis

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.config.settings import Settings

OUR_PREFIX = "ccarchiver:"
"""How all keys begin that only the archiver writes."""

PRESENCE_SUFFIX = "_association"
"""How the keys end by which Forwarders show that they live, in the known releases."""

SCAN_LIMIT = 300_000
"""Keys looked at: more than a full ledger has."""

SCAN_COUNT = 1_000
"""Keys a step of the scan: quick enough not to hold up the workers."""

SHOWN = 3
"""Foreign keys named in the report."""


def database(site: Site) -> Iterator[Finding]:
    """Look for foreign keys in our database, and for ours in the Forwarders'."""
    settings = site.settings
    ours = query(settings, _names)
    theirs = query(settings.model_copy(update={"archiver_redis_db": settings.forwarder_redis_db}), _names)
    yield evaluate_databases(settings, ours, theirs)


def evaluate_databases(settings: Settings, ours: list[str], theirs: list[str]) -> Finding:
    """Judge the names of the keys in both databases."""
    name = "redis.database"
    misplaced = [key for key in theirs if key.startswith(OUR_PREFIX)]
    if misplaced:
        return failure(
            name,
            f"database {settings.forwarder_redis_db}, which Forwarders empty at every start, has records of an "
            f"archiver: {_some(misplaced)}",
            "an archiver runs there, or ran there once: end it, give it a database of its own (ARCHIVER_REDIS_DB)",
        )
    if keys.FORWARDER_LIST in theirs:
        return warning(
            name,
            f"a Forwarder lists itself in database {settings.forwarder_redis_db}, where the archiver does not look",
            f"the Forwarder's configuration has to name database {settings.archiver_redis_db} as the archiver's",
        )
    foreign = [key for key in ours if not _belongs(key, settings)]
    if foreign:
        look = cli(settings, "-n", str(settings.archiver_redis_db), "--scan")
        return warning(
            name,
            f"database {settings.archiver_redis_db} has keys that are not the archiver's ({len(foreign)}): "
            f"{_some(foreign)}; does a Forwarder use it? It would empty it when it starts",
            look,
        )
    return ok(
        name,
        f"{len(ours)} keys in database {settings.archiver_redis_db}, all the archiver's; "
        f"Forwarders have {settings.forwarder_redis_db}",
    )


def _belongs(key: str, settings: Settings) -> bool:
    shared = {keys.FORWARDER_LIST, settings.association_key}
    return key.startswith(OUR_PREFIX) or key in shared or key.endswith(PRESENCE_SUFFIX)


def _some(names: list[str]) -> str:
    return ", ".join(sorted(names)[:SHOWN]) + (" …" if len(names) > SHOWN else "")


async def _names(redis: Redis) -> list[str]:
    """Read the names of the keys in a database; SCAN gives some twice."""
    found: set[str] = set()
    cursor = 0
    while len(found) < SCAN_LIMIT:
        cursor, page = cast("tuple[int, list[bytes]]", await redis.scan(cursor, count=SCAN_COUNT))
        found.update(text(name) for name in page)
        if not cursor:
            break
    return list(found)
