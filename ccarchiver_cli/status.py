"""``ccarchiver status``: the session, the workers, what is unfinished and who owes the next step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ccarchiver_core import keys, ledger
from ccarchiver_core.session import read_session
from ccarchiver_core.vitals import read_vitals

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.settings import Settings

SHOWN = 20
"""Unfinished images listed: what fits on a screen."""

MEGABYTE = 1_000_000


async def collect(redis: Redis, settings: Settings) -> dict[str, Any]:
    """Read all that ``ccarchiver status`` shows, ready for JSON."""
    session = await read_session(redis)
    workers = {str(worker): await read_vitals(redis, worker) for worker in keys.Worker}
    names = await ledger.unfinished(redis)
    images = []
    for obsid in names[:SHOWN]:
        record = await ledger.read_record(redis, obsid)
        waits_for = ledger.waits_for(record, settings.files_per_image)
        images.append({"image": obsid, "state": record.get("state", "?"), "waits_for": waits_for})
    return {
        "session": session.model_dump(mode="json"),
        "workers": {name: None if vitals is None else vitals.model_dump() for name, vitals in workers.items()},
        "unfinished": len(names),
        "images": images,
        "dead_letters": await redis.xlen(keys.DEAD_LETTERS),
    }


def show(status: dict[str, Any], *, as_json: bool) -> None:
    """Print a status for a person, or as JSON."""
    if as_json:
        print(json.dumps(status, indent=2))  # noqa: T201  the program's output
        return
    console = Console()
    session = status["session"]
    forwarder = session["forwarder"]
    console.print(f"session    {session['id'] or 'none'}{'' if session['wanted'] else ' (ended)'}")
    console.print(f"Forwarder  {forwarder['hostname'] + ' on ' + forwarder['consume_queue'] if forwarder else 'none'}")
    table = Table("worker", "state", "pid", "host", "memory / MB", "CPU / %", "threads", "files", "mailbox")
    for name, vitals in status["workers"].items():
        if vitals is None:
            table.add_row(name, f"AWAY: supervisorctl restart ccarchiver:{name}")
            continue
        table.add_row(
            name,
            vitals["state"],
            str(vitals["pid"]),
            vitals["host"],
            f"{vitals['rss_bytes'] / MEGABYTE:.0f}",
            f"{vitals['cpu_share'] * 100:.0f}",
            str(vitals["threads"]),
            str(vitals["open_files"]),
            str(vitals["mailbox_depth"]),
        )
    console.print(table)
    console.print(f"unfinished images: {status['unfinished']}   dead letters: {status['dead_letters']}")
    for image in status["images"]:
        console.print(f"  {image['image']}  {image['state']}  waits for {image['waits_for']}", markup=False)
