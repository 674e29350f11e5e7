"""``ccarchiver image``: one image's way for a person, and trying a failed one again."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING

from ccarchiver_core import clock, keys, ledger, statuses
from ccarchiver_core.exposure import EventKind, Order, Sent
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.mail import SessionChanged, StatusTopic
from ccarchiver_core.redis_client import transact
from ccarchiver_core.session import read_session

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.settings import Settings


async def read(redis: Redis, settings: Settings, obsid: str) -> tuple[dict[str, str], int]:
    """Read an image's record (empty if there is none) and how many files it should have."""
    return await ledger.read_record(redis, obsid), settings.files_per_image


def describe(record: dict[str, str], files_per_image: int) -> list[str]:
    """Tell an image's way from its ledger record, a line a fact."""
    lines = [
        f"image      {record['obsid']}, job {record['job']}",
        f"state      {record.get('state', '?')}, waits for {ledger.waits_for(record, files_per_image)}",
        f"heard of   {_utc(record['at'])}",
    ]
    if "finished" in record:
        lines.append(f"finished   {_utc(record['finished'])}")
    if "failed" in record:
        lines.append(f"failed     {record['failed']}")
    lines += [f"event      {kind}" for kind in EventKind if kind in record]
    lines += [f"skipped    {name.partition(':')[2]}" for name in record if name.startswith("skipped:")]
    if "target_dir" in record:
        lines.append(f"directory  {record['target_dir']}")
    for order in Order:
        if order in record:
            sent = Sent.model_validate_json(record[order])
            lines.append(f"sent       {order}, {'answered' if sent.acked else 'NOT ANSWERED'} ({sent.ack_id})")
    for topic in StatusTopic:
        good = statuses.count_good(record, topic)
        lines.append(f"files      {good} of {files_per_image} good in {topic}")
    for report in statuses.reports_of(record):
        if report.code != 0:
            what = f"{report.raft} {report.sensor} {report.filename}".strip()
            lines.append(f"bad file   {what}: {report.code} {report.description} ({report.topic})")
    return lines


def _utc(seconds: str) -> str:
    return dt.datetime.fromtimestamp(float(seconds), tz=dt.UTC).isoformat(timespec="seconds")


async def retry(redis: Redis, obsid: str) -> tuple[bool, str]:
    """Give a failed image another try from the start; the value says whether and what was done.

    The bridge asks the Controller for a directory again as soon as it hears of it.
    """
    record = await ledger.read_record(redis, obsid)
    if record.get("state") != ImageState.FAILED:
        return False, f"{obsid}: is {record.get('state', 'not in the ledger')}; only a failed image can be tried again"
    session = await read_session(redis)
    name, now = keys.image(obsid), clock.now()
    began = {field: str(value) for field, value in now.fields(ledger.WAITING).items()}  # its waiting begins anew
    mail = SessionChanged(session_id=session.id).model_dump_json()
    await transact(
        redis,
        ("HDEL", name, "failed", "finished", "target_dir", *Order),
        ("HSET", name, "state", ImageState.ACCEPTED, ledger.RETRIED_AT, str(now.wall)),
        ("HSET", name, *itertools.chain.from_iterable(began.items())),
        ("ZADD", keys.UNFINISHED, int(record["job"]), obsid),
        ("XADD", keys.Worker.BRIDGE.mailbox, "*", "mail", mail),
        ("HINCRBY", keys.COUNTERS, "images_retried", 1),
    )
    return True, f"{obsid}: goes the normal way again{'' if session.wanted else ' when the CSC is started'}"
