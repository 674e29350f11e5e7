from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.domain.exposure import Instruction, SentInstruction, StartIntegration
from ccarchiver_core.domain.image_record import ImageState, ReceivedEvent
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.image_ledger import WAITING_PREFIX, ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.housekeeping import Housekeeping
from ccarchiver_health.presence import PresenceMonitor
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.core.redis_helpers import (
    counter,
    holding,
    looking_into,
    plain_client,
    read_dead_letters,
    read_exposure,
    read_fields,
    site,
)

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_core.runtime.worker import WorkerContext

START = StartIntegration(
    image_name="i", image_index=0, images_in_sequence=1, image_date="20261122", exposure_time=1.0
)
DAY = 86400.0


async def accept(
    context: WorkerContext,
    obsid: str,
    job: int,
    age_s: float,
    state: ImageState,
    event: StartIntegration = START,
) -> None:
    """Write an image to the ledger that was accepted some time ago."""
    transaction = Transaction()
    ImageLedger.record_event(
        transaction,
        ReceivedEvent(obsid, job, "s", event, time.time() - age_s),
        ImageState.ACCEPTED,
        is_new=True,
    )
    if state is not ImageState.ACCEPTED:
        ImageLedger.finish(transaction, obsid, state)
    now = clock.now()
    then = clock.Instant(now.wall - age_s, now.boot, now.uptime - age_s)
    transaction.set_fields(keys.image(obsid), then.fields(WAITING_PREFIX)).command(
        "ZADD", keys.IMAGES, then.wall, obsid
    )
    await context.transactions.apply(transaction)


async def state_of(redis: Redis, obsid: str) -> str | None:
    return (await read_fields(redis, obsid)).get("state")


async def test_image_that_waits_too_long_is_stalled_once_and_stays_unfinished(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, STALLED_AFTER=60)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        await accept(context, "old", 1, 61, ImageState.ACCEPTED)
        await accept(context, "young", 2, 1, ImageState.ACCEPTED)
        await accept(context, "done", 3, 61, ImageState.COMPLETE)
        housekeeping = Housekeeping(context)

        await housekeeping.report_stalled()
        await housekeeping.report_stalled()

        assert await state_of(redis, "old") == ImageState.STALLED
        assert await state_of(redis, "young") == ImageState.ACCEPTED
        assert await state_of(redis, "done") == ImageState.COMPLETE
        assert await counter(redis, "images_stalled") == 1
        assert await ImageLedger(redis).open_images() == ["old", "young"]
        assert await read_exposure(redis, "old", 9) is not None, (
            "a stalled image continues when the awaited event arrives"
        )


async def test_images_behind_many_stalled_ones_are_checked_too(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccarchiver_health.housekeeping.BATCH", 2)
    settings = site(fresh_redis.port, STALLED_AFTER=60)
    names = ["a", "b", "c", "d", "e"]
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        for job, obsid in enumerate(names, start=1):
            await accept(context, obsid, job, 61, ImageState.ACCEPTED)
        housekeeping = Housekeeping(context)

        for _ in range(3):
            await housekeeping.report_stalled()

        assert [await state_of(redis, obsid) for obsid in names] == [ImageState.STALLED] * 5
        await accept(context, "f", 6, 61, ImageState.ACCEPTED)
        for _ in range(3):
            await housekeeping.report_stalled()
        assert await state_of(redis, "f") == ImageState.STALLED, "a pass begins again"


async def test_image_with_recent_progress_is_not_stalled(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, STALLED_AFTER=60)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        for obsid, job, idle_s in (("moving", 1, 20), ("idle", 2, 100)):
            await accept(context, obsid, job, 200, ImageState.ACCEPTED)
            sent = SentInstruction(
                ack_id="ack", session_id="s", epoch=0, sent_at=time.time() - idle_s
            )
            transaction = Transaction()
            ImageLedger.record_instruction(transaction, obsid, Instruction.NEW_ITEM, sent)
            await context.transactions.apply(transaction)

        await Housekeeping(context).report_stalled()

        assert await state_of(redis, "moving") == ImageState.ACCEPTED
        assert await state_of(redis, "idle") == ImageState.STALLED


@pytest.mark.parametrize(
    ("exposure_time", "expected"),
    [(170.0, ImageState.ACCEPTED), (100.0, ImageState.STALLED), (float("nan"), ImageState.STALLED)],
)
async def test_long_exposure_is_not_stalled_while_the_shutter_is_open(
    fresh_redis: PrivateRedis, exposure_time: float, expected: ImageState
) -> None:
    settings = site(fresh_redis.port, STALLED_AFTER=60)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        event = START.model_copy(update={"exposure_time": exposure_time})
        await accept(context, "dark", 1, 200, ImageState.ACCEPTED, event)

        await Housekeeping(context).report_stalled()

        assert await state_of(redis, "dark") == expected


async def test_old_finished_images_are_pruned_but_unfinished_ones_are_not(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, LEDGER_RETENTION_DAYS=30)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        await accept(context, "oldest, unfinished", 1, 40 * DAY, ImageState.ACCEPTED)
        await accept(context, "old, complete", 2, 31 * DAY, ImageState.COMPLETE)
        await accept(context, "old, failed", 3, 31 * DAY, ImageState.FAILED)
        await accept(context, "young", 4, 29 * DAY, ImageState.COMPLETE)

        await Housekeeping(context).prune()

        assert await redis.zrange(keys.IMAGES, 0, -1) == [b"oldest, unfinished", b"young"]
        assert await counter(redis, "images_pruned") == 2
        assert not await redis.exists(keys.image("old, complete"), keys.image("old, failed"))
        assert await state_of(redis, "oldest, unfinished") == ImageState.ACCEPTED


async def test_oldest_finished_images_are_pruned_beyond_max_ledger_images(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, MAX_LEDGER_IMAGES=3)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        await accept(context, "unfinished", 1, 100, ImageState.ACCEPTED)
        for number in range(5):
            await accept(context, f"done {number}", 2 + number, 50 - number, ImageState.COMPLETE)

        await Housekeeping(context).prune()

        assert await redis.zrange(keys.IMAGES, 0, -1) == [b"unfinished", b"done 3", b"done 4"]


async def test_missing_key_is_timed_from_the_first_failed_poll(fresh_redis: PrivateRedis) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        monitor = PresenceMonitor(redis)
        await redis.set("key", "pong")
        assert await monitor.missing_for("key") == 0
        await redis.delete("key")
        assert await monitor.missing_for("key") == 0
        assert await monitor.missing_for("key") > 0
        await redis.set("key", "pong")
        assert await monitor.missing_for("key") == 0
        await redis.delete("key")
        await monitor.missing_for("key")
        monitor.reset()
        assert await monitor.missing_for("key") == 0


@pytest.mark.processes
async def test_key_missing_after_a_redis_outage_counts_only_later(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        redis = plain_client(site(server.port))
        monitor = PresenceMonitor(redis)
        await monitor.missing_for("key")
        server.stop()
        assert await monitor.missing_for("key") == 0
        server.start()

        assert await monitor.missing_for("key") == 0
        assert await monitor.missing_for("key") == 0, "its writer needs time to return"
        await redis.aclose()


@pytest.mark.parametrize("lifetime_ms", [300, 600, 900])
async def test_expiry_of_a_key_is_polled_at_once(
    fresh_redis: PrivateRedis, lifetime_ms: int
) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        monitor = PresenceMonitor(redis)
        await redis.set("key", "f99", px=lifetime_ms)
        await monitor.missing_for("key")
        await monitor.pause()
        assert not await redis.exists("key")


async def test_unfinished_image_becomes_a_dead_letter_after_a_day(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port, ABANDONED_AFTER=3600)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        await accept(context, "old", 1, 3601, ImageState.ACCEPTED)

        await Housekeeping(context).report_stalled()

        assert await state_of(redis, "old") == ImageState.FAILED
        assert await ImageLedger(redis).open_images() == []
        [dead] = await read_dead_letters(redis)
        assert (dead["obsid"], dead["origin"]) == (b"old", keys.UNFINISHED.encode())
        assert b"waits for the Controller" in dead["reason"]


async def test_oldest_dead_letters_are_trimmed_when_the_total_is_too_large(
    fresh_redis: PrivateRedis,
) -> None:
    limit, size, count = 1_000_000, 50_000, 40
    settings = site(fresh_redis.port, DEAD_LETTERS_TOTAL_BYTES=limit)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        for number in range(count):
            transaction = Transaction()
            raw = str(number).encode().ljust(size)
            dead_letters.add(
                transaction, settings, origin="telemetry_queue", reason="too odd", raw=raw
            )
            await context.transactions.apply(transaction)

        await Housekeeping(context).report_bounds()
        left = [int(entry["raw"]) for entry in await read_dead_letters(redis)]
        assert left == list(range(count - len(left), count)), "the oldest were trimmed"
        assert limit / size / 2 < len(left) <= limit / size
        assert await counter(redis, "dead_letters_trimmed") == count - len(left)

        await Housekeeping(context).report_bounds()
        assert len(await read_dead_letters(redis)) == len(left), "nothing more is trimmed"


async def test_clock_jump_does_not_make_a_forwarder_look_lost(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        monitor = PresenceMonitor(redis)
        now = time.time()
        monkeypatch.setattr(
            time, "time", lambda: now + 3600
        )  # Redis would expire every key at this moment
        assert await monitor.missing_for("f99_association") == 0
        await asyncio.sleep(0.1)
        assert await monitor.missing_for("f99_association") == 0


@pytest.mark.parametrize("jump_s", [-2 * DAY, 2 * DAY])
async def test_clock_jump_does_not_make_an_image_look_old(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        await accept(context, "i", 1, 1, ImageState.ACCEPTED)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + jump_s)

        await Housekeeping(context).report_stalled()

        assert await state_of(redis, "i") == ImageState.ACCEPTED
