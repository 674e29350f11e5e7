"""``ccarchiver status``: the session, the workers, what is unfinished and who owes the next step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from redis.exceptions import ResponseError

from ccarchiver_core import keys, ledger
from ccarchiver_core.session import read_session
from ccarchiver_core.vitals import read_vitals

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.settings import Settings

SHOWN = 20
"""Unfinished images listed: what fits on a screen."""

MEGABYTE = 1_000_000


async def why_no_writes(redis: Redis) -> str:
    """Say why a Redis that can be read refuses writes; empty if it does not, as far as it tells."""
    try:
        state: dict[str, Any] = await redis.info()
    except ResponseError:  # a site may keep INFO from this user
        return ""
    if state.get("aof_last_write_status", "ok") != "ok":
        return "it cannot write its append-only file: its disk is full or read-only; free some, it goes on by itself"
    limit = int(state.get("maxmemory", 0))
    if limit and int(state.get("used_memory", 0)) > limit and state.get("maxmemory_policy") == "noeviction":
        return f"it holds more than its maxmemory of {limit} bytes; raise that, it goes on by itself"
    return ""


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
        "redis_refuses_writes": await why_no_writes(redis),
        "dead_letters": await redis.xlen(keys.DEAD_LETTERS),
    }


def show(status: dict[str, Any], *, as_json: bool) -> bool:
    """Print a status for a person, or as JSON; the value is whether all workers show life.

    Lines, not a table: they are as readable in a narrow terminal, over ssh or in a pipe.
    """
    if as_json:
        typer.echo(json.dumps(status, indent=2))
        return all(status["workers"].values())
    session = status["session"]
    forwarder = session["forwarder"]
    typer.echo(f"session    {session['id'] or 'none'}{'' if session['wanted'] else ' (ended)'}")
    typer.echo(f"Forwarder  {forwarder['hostname'] + ' on ' + forwarder['consume_queue'] if forwarder else 'none'}")
    if status["redis_refuses_writes"]:
        typer.echo(f"Redis      REFUSES WRITES: {status['redis_refuses_writes']}")
    for name, vitals in status["workers"].items():
        if vitals is None:
            typer.echo(f"{name:<10} AWAY; look: supervisorctl status, restart: supervisorctl restart ccarchiver:{name}")
            continue
        typer.echo(f"{name:<10} {vitals['state']}")
        typer.echo(
            f"           pid {vitals['pid']} on {vitals['host']}, version {vitals['version']}\n"
            f"           since {vitals['started']}\n"
            f"           {vitals['rss_bytes'] / MEGABYTE:.0f} MB, CPU {vitals['cpu_share'] * 100:.0f} %, "
            f"{vitals['threads']} threads, {vitals['open_files']} files, {vitals['mailbox_depth']} letters"
        )
    typer.echo(f"unfinished {status['unfinished']} images")
    for image in status["images"]:
        typer.echo(f"           {image['image']}  {image['state']}, waits for {image['waits_for']}")
    typer.echo(
        f"dead       {status['dead_letters']} letters{'; ccarchiver deadletter list' * bool(status['dead_letters'])}"
    )
    return all(status["workers"].values())
