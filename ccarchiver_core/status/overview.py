"""The overview of the archiver for an operator, read from Redis in a few round trips."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel

from ccarchiver_core import __version__, keys
from ccarchiver_core.domain.image_record import UNACCEPTED_STATES, ImageState
from ccarchiver_core.domain.image_summary import ImageSummary
from ccarchiver_core.domain.refused_exposure import NamedRefusal
from ccarchiver_core.domain.session import Pairing, Session
from ccarchiver_core.domain.supervised_process import SupervisedProcess
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_core.redis.replies import read_length, text, unless_wrong_type
from ccarchiver_core.runtime.heartbeat import Heartbeat, read_heartbeat
from ccarchiver_core.runtime.lease import read_standby
from ccarchiver_core.status import record_audit
from ccarchiver_core.status.ccds import Ccd, ccds_of
from ccarchiver_core.status.images import names_between, newest_names
from ccarchiver_core.status.missed import KEPT_BY_DAQ_S
from ccarchiver_core.status.write_rejection import write_rejection_reason
from ccarchiver_core.store import unreadable
from ccarchiver_core.store.counters import read_counters
from ccarchiver_core.store.csc_state import CscState, read_csc_state
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.scans import Scan, read_scan
from ccarchiver_core.store.session import read_session
from ccarchiver_core.store.supervised_processes import read_processes
from ccarchiver_core.store.unreadable import UnreadableRecord

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

SHOWN = 20
"""Unfinished images that are listed: as many as fit on a screen."""

RECENT = 12
"""Recent images shown with their CCDs: some minutes of a usual night."""

SHOWN_REASON = 100
"""Characters of the newest dead letter's reason that an alarm shows."""

HOUR_S = 3600.0

MAX_REFUSED = 100
"""Refused exposures of the last hour that are read; an alarm counts them."""


class WorkerView(BaseModel):
    """One worker: its heartbeat, None if it has expired, and its mailbox."""

    worker: keys.Worker
    heartbeat: Heartbeat | None
    mailbox_depth: int
    mailbox_oldest_s: float
    """Age of the oldest message in its mailbox; 0 if the mailbox is empty."""
    standby: str = ""
    """Host of its standby; empty if there is none."""


class RedisView(BaseModel):
    """State of Redis."""

    address: str
    answers: bool
    error: str = ""
    """Why it does not answer. The text continues a sentence that begins "Redis at ADDRESS"."""
    latency_s: float = 0.0
    version: str = ""
    durability: str = ""
    """What a crash of Redis can cost, by its own settings; empty if Redis is unavailable."""
    is_durable: bool = True
    write_rejection: str = ""
    """Why Redis rejects writes, for example because its disk is full; empty if it accepts them."""
    used_memory_bytes: int = 0


class BrokerView(BaseModel):
    """RabbitMQ as the bridge sees it; times are Unix seconds in UTC."""

    address: str
    is_bridge_alive: bool = False
    """Whether the bridge has a heartbeat. Without it the state of RabbitMQ is unknown."""
    since: float | None = None
    """Time of the connection; None if there is none, for example because no session is active."""
    published_at: float | None = None
    """Time at which RabbitMQ last confirmed a message on this connection."""
    publish_s: float | None = None
    """Seconds that this confirmation took."""
    degraded_reason: str = ""


class PairingView(BaseModel):
    """The session and its Forwarder."""

    is_active: bool
    session_id: str
    pairing: Pairing
    epoch: int
    hostname: str = ""
    queue: str = ""
    since: float = 0.0
    """Unix time of the pairing, UTC, seconds."""
    presence_key: str = ""
    presence_ttl_s: float | None = None
    """Seconds until the Forwarder's presence key expires; None if the key does not exist."""
    loss: str = ""
    """Why the session lost its last Forwarder, while health searches for another one."""


class WaitingImage(BaseModel):
    """An unfinished image and the component that must act next."""

    obsid: str
    state: ImageState
    since: float
    """Unix time (UTC, seconds) from which its waiting time counts."""
    waiting_on: str
    """The component that must act next, and its action."""
    last_progress_at: float = 0.0
    """Unix time (UTC, seconds) of its last stage, from which the next one is due."""


class RecentImage(BaseModel):
    """One recent image with its CCDs."""

    summary: ImageSummary
    ccds: list[Ccd]
    waiting_on: str


class Rates(BaseModel):
    """Numbers of the images first seen in the last hour, by state."""

    accepted: int = 0
    complete: int = 0
    failed: int = 0
    skipped: int = 0
    missed: int = 0
    stalled: int = 0


class MissedView(BaseModel):
    """The missed images that the camera's data acquisition may still have."""

    count: int = 0
    newest: str = ""
    """Name of the newest one."""
    newest_by: str = ""
    """What has shown it, see `ccarchiver_core.domain.image_record.MissedBy`."""


class Overview(BaseModel):
    """The overview. While Redis is unavailable, only the fields that need no Redis are set."""

    at: float
    """Unix time of the reading, UTC, seconds."""
    version: str
    archiver: str
    redis: RedisView
    csc: CscState | None = None
    rabbitmq: str = ""
    """Address of RabbitMQ."""
    broker: BrokerView | None = None
    workers: list[WorkerView] = []
    has_second_host: bool = False
    """Whether the site is configured to have a standby on a second host."""
    processes: list[SupervisedProcess] = []
    """Last state of each program under supervisord."""
    pairing: PairingView | None = None
    unfinished: int = 0
    waiting: list[WaitingImage] = []
    """The oldest unfinished images."""
    recent: list[RecentImage] = []
    """The newest images, newest first."""
    refused: list[NamedRefusal] = []
    """Exposures of the last hour that were refused because of their name, oldest first."""
    missed: MissedView = MissedView()
    scan: Scan = Scan()
    """The last scan of the camera's images."""
    dead_letters: int = 0
    newest_dead_letter_at: float | None = None
    newest_dead_letter: str = ""
    """Its origin and reason, shortened."""
    """Unix time, UTC, seconds."""
    rates: Rates = Rates()
    counters: dict[str, int] = {}
    unreadable: list[UnreadableRecord] = []
    """Records that this version cannot read, among those that were read for this overview."""

    def worker(self, worker: keys.Worker) -> WorkerView | None:
        """Return the view of one worker; None if there is none."""
        return next((view for view in self.workers if view.worker is worker), None)


def without_redis(settings: Settings, error: str) -> Overview:
    """Return the overview of an archiver whose Redis is unavailable, with the error."""
    return Overview(
        at=time.time(),
        version=__version__,
        archiver=settings.archiver_name,
        redis=RedisView(address=settings.redis_address, answers=False, error=error),
        rabbitmq=settings.broker_text,
        has_second_host=settings.standby,
    )


async def collect(redis: Redis, settings: Settings) -> Overview:
    """Return the overview.

    If Redis is unavailable this does not raise: the overview then contains the error.
    """
    view = without_redis(settings, "")
    with unreadable.collecting() as found:
        await _collect(view, redis, settings)
        view.unreadable = list(found)
    return view


async def _collect(view: Overview, redis: Redis, settings: Settings) -> None:
    try:
        view.redis = await _redis(redis, settings)
        view.csc = await read_csc_state(redis)
        view.workers = [await _worker(redis, worker) for worker in keys.Worker]
        view.processes = await read_processes(redis)
        view.broker = _broker(settings, view.worker(keys.Worker.BRIDGE))
        view.pairing = await read_pairing(redis, await read_session(redis))
        await _images(view, redis, settings)
        await _dead_letters(view, redis)
        view.refused = await _refused(view, redis)
        view.missed = await _missed(view, redis)
        view.scan = await read_scan(redis)
        view.counters = await read_counters(redis)
        await record_audit.read_fixed(redis)
    except UNAVAILABLE_ERRORS as error:
        view.redis = RedisView(address=settings.redis_address, answers=False, error=describe(error))


async def _redis(redis: Redis, settings: Settings) -> RedisView:
    began = time.monotonic()
    await redis.ping()
    latency = time.monotonic() - began
    info = cast("dict[str, object]", await redis.info())
    durability, is_durable = await _durability(redis, info)
    return RedisView(
        address=settings.redis_address,
        answers=True,
        latency_s=latency,
        version=str(info.get("redis_version", "")),
        durability=durability,
        is_durable=is_durable,
        used_memory_bytes=int(str(info.get("used_memory", 0))),
        write_rejection=await write_rejection_reason(redis),
    )


async def _durability(redis: Redis, info: dict[str, object]) -> tuple[str, bool]:
    """Return what a crash of Redis can cost, and whether Redis counts as durable.

    A site may forbid CONFIG. Then the fsync policy is unknown.
    """
    if not int(str(info.get("aof_enabled", 0))):
        cost = "a crash of Redis loses what was accepted since its last snapshot"
        return f"not append-only: {cost}", False
    if info.get("aof_last_write_status") != "ok":
        return "append-only, but its last write FAILED: check its disk", False
    try:
        found = cast("dict[str, str]", await redis.config_get("appendfsync"))
    except UNAVAILABLE_ERRORS:
        raise
    except Exception:  # noqa: BLE001  NOPERM or an unknown command; the texts differ by version
        return "append-only", True
    policy = found.get("appendfsync", "")
    costs = {
        "always": "a crash loses nothing",
        "everysec": "a power failure may lose the last second",
    }
    cost = costs.get(policy, "a power failure may lose half a minute")
    return f"append-only, fsync {policy}: {cost}", policy != "no"


async def _worker(redis: Redis, worker: keys.Worker) -> WorkerView:
    depth = await read_length(redis, worker.mailbox)
    reply = redis.xrange(worker.mailbox, count=1)
    oldest = await unless_wrong_type(reply, list[tuple[bytes, object]]())
    age_s = time.time() - _stream_time(oldest[0][0]) if oldest else 0.0
    heartbeat = await read_heartbeat(redis, worker)
    return WorkerView(
        worker=worker,
        heartbeat=heartbeat,
        mailbox_depth=depth,
        mailbox_oldest_s=max(0.0, age_s),
        standby=await read_standby(redis, worker),
    )


def _stream_time(entry_id: bytes) -> float:
    """Return the Unix time (UTC, seconds) at which Redis added a stream entry."""
    return int(entry_id.partition(b"-")[0]) / 1000


def _broker(settings: Settings, bridge: WorkerView | None) -> BrokerView:
    view, heartbeat = BrokerView(address=settings.broker_text), bridge.heartbeat if bridge else None
    if heartbeat is not None:
        view.is_bridge_alive, view.degraded_reason = True, heartbeat.degraded_reason
        view.since = heartbeat.link_since or None
        view.published_at = heartbeat.published_at or None
        view.publish_s = heartbeat.publish_s if heartbeat.published_at else None
    return view


async def read_pairing(redis: Redis, session: Session) -> PairingView:
    """Return the pairing of a session, with the remaining time of its presence key."""
    forwarder = session.forwarder
    view = PairingView(
        is_active=session.is_active,
        session_id=session.id,
        pairing=session.pairing,
        epoch=session.epoch,
        loss=session.loss.report if session.loss else "",
    )
    if forwarder is not None:
        left_ms = int(await redis.pttl(forwarder.presence_key))
        view.hostname, view.queue = forwarder.hostname, forwarder.consume_queue
        view.since, view.presence_key = forwarder.since, forwarder.presence_key
        view.presence_ttl_s = left_ms / 1000 if left_ms >= 0 else None
    return view


async def _images(view: Overview, redis: Redis, settings: Settings) -> None:
    ledger = ImageLedger(redis)
    names = await ledger.open_images()
    view.unfinished = len(names)
    for obsid in names[:SHOWN]:
        record = await ledger.read(obsid)
        if record is None:
            continue  # finished and pruned meanwhile
        view.waiting.append(
            WaitingImage(
                obsid=obsid,
                state=record.state,
                since=record.waiting_from,
                waiting_on=record.waiting_on(settings.files_per_image),
                last_progress_at=record.last_progress_at,
            )
        )
    for summary in await ledger.read_summaries(await newest_names(redis, RECENT)):
        record = await ledger.read(summary.obsid)
        if record is not None:
            waiting_on = record.waiting_on(settings.files_per_image)
            ccds = ccds_of(record, settings)
            view.recent.append(RecentImage(summary=summary, ccds=ccds, waiting_on=waiting_on))
    last_hour = await names_between(redis, view.at - HOUR_S, view.at)
    states = [image.state for image in await ledger.read_summaries(last_hour)]
    view.rates = Rates(
        accepted=sum(state not in UNACCEPTED_STATES for state in states),
        complete=states.count(ImageState.COMPLETE),
        failed=states.count(ImageState.FAILED),
        skipped=states.count(ImageState.SKIPPED),
        missed=states.count(ImageState.MISSED),
        stalled=states.count(ImageState.STALLED),
    )


async def _refused(view: Overview, redis: Redis) -> list[NamedRefusal]:
    begin, end = view.at - HOUR_S, view.at + HOUR_S  # the clock of the CSC's host may be ahead
    found = await ImageLedger(redis).read_refused(begin, end, MAX_REFUSED)
    return [refusal for refusal in found if not refusal.exposure.is_skipped]


async def _missed(view: Overview, redis: Redis) -> MissedView:
    begin = view.at - KEPT_BY_DAQ_S
    count = await unless_wrong_type(redis.zcount(keys.MISSED, begin, "+inf"), 0)
    if not count:
        return MissedView()
    newest = await unless_wrong_type(redis.zrevrange(keys.MISSED, 0, 0), list[bytes]())
    if not newest:
        return MissedView(count=count)
    name = text(newest[0])
    images = await ImageLedger(redis).read_summaries([name])
    return MissedView(count=count, newest=name, newest_by=images[0].missed_by if images else "")


async def _dead_letters(view: Overview, redis: Redis) -> None:
    view.dead_letters = await read_length(redis, keys.DEAD_LETTERS)
    reply = redis.xrevrange(keys.DEAD_LETTERS, count=1)
    newest = await unless_wrong_type(reply, list[tuple[bytes, dict[bytes, bytes]]]())
    if not newest:
        return
    entry_id, fields = newest[0]
    view.newest_dead_letter_at = _stream_time(entry_id)
    reason = text(fields.get(b"reason", b""))[:SHOWN_REASON]
    view.newest_dead_letter = f"{text(fields.get(b'origin', b''))}: {reason}"
