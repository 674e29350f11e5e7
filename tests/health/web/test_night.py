"""The page of a night as the status page serves it, and what it costs Redis."""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction, SentInstruction
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.images import bounds_of, observing_day
from ccarchiver_core.status.night_view import view
from ccarchiver_core.status.night_view.words import STATE_SYMBOLS
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.testbed.brokers.ports import free_port
from tests.core.redis_helpers import looking_into
from tests.health.web.web_client import page_site, served
from tests.support.ledger_builder import LedgerBuilder

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.store.transaction import Value
    from ccarchiver_sim.testbed.brokers import PrivateRedis

NIGHTS = 14
EXPOSURES = 1000
CADENCE_S = 30.0

MAX_OTHER_COMMANDS = 40
"""Commands besides one for each exposure: the list of nights, the indexes, the CSC's states."""

MAX_RECORD_BYTES = 1500
"""Bytes of Redis' answer for one exposure, on average."""


def image(number: int, day: str = "20261122") -> str:
    return f"CC_O_{day}_{number:06d}"


async def write_nights(redis: Redis, first: dt.date, nights: int, count: int) -> None:
    """Write the index of consecutive nights, and the records of the last one.

    The records have all fields that the page reads. Those of the other nights are never read.
    """
    times: dict[str, float] = {}
    for number in range(nights):
        day = first + dt.timedelta(days=number)
        begin = bounds_of(day)[0] + 3600
        times = {
            image(place + 1, f"{day:%Y%m%d}"): begin + place * CADENCE_S for place in range(count)
        }
        await redis.zadd(keys.IMAGES, times)
    transaction = Transaction()
    for obsid, at in times.items():
        transaction.set_fields(keys.image(obsid), _fields(obsid, at))
    async with redis.pipeline(transaction=False) as pipe:
        for words in transaction.commands:
            pipe.execute_command(*words)
        await pipe.execute()


def _fields(obsid: str, at: float) -> dict[str, Value]:
    sent = SentInstruction(
        ack_id="2026-11-22_08:18:37.932650_1000001000001",
        session_id="2026-11-22_08:18:37.932650",
        epoch=1,
        sent_at=round(at + 0.01, 3),
        acked=True,
        acked_at=round(at + 0.02, 3),
    ).model_dump_json()
    return {
        "obsid": obsid,
        "job": 1,
        "at": at,
        "state": ImageState.COMPLETE,
        "retrieved": 9,
        "ingested": 9,
        "at:retrieved": at + 2,
        "at:ingested": at + 3,
        "at:startIntegration": at,
        "at:endReadout": at + 1,
        "finished": at + 3,
        "at:largeFileObjectAvailable": at + 1,
        **dict.fromkeys(Instruction, sent),
    }


async def cost(redis: Redis) -> tuple[int, int]:
    """Return the number of commands that Redis has processed, and the bytes that it has sent."""
    stats = await redis.info("stats")
    return stats["total_commands_processed"], stats["total_net_output_bytes"]


async def test_page_of_one_of_14_nights_reads_the_records_of_one_night(
    fresh_redis: PrivateRedis,
) -> None:
    settings = page_site(fresh_redis.port)
    first = dt.date(2026, 11, 8)
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        await write_nights(redis, first, NIGHTS, EXPOSURES)
        before = await cost(redis)
        answer = await client.ask("/night")
        after = await cost(redis)

    commands, sent = (now - then for now, then in zip(after, before, strict=True))
    last = first + dt.timedelta(days=NIGHTS - 1)
    assert answer.status == 200
    assert f"<title>Night {last} " in answer.text
    assert len(re.findall(r'<a href="night\?day=', answer.text)) == NIGHTS
    assert answer.text.count('<a href="./#image=CC_O_') == EXPOSURES
    assert EXPOSURES <= commands <= EXPOSURES + MAX_OTHER_COMMANDS
    assert sent <= EXPOSURES * MAX_RECORD_BYTES


async def test_long_night_is_shown_in_parts_and_a_gap_between_them_is_found(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "PART", 3)
    settings = page_site(fresh_redis.port)
    day = dt.date(2026, 11, 22)
    begin = bounds_of(day)[0]
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        builder = LedgerBuilder(redis, settings)
        for number in (1, 2, 3, 5, 6):
            await builder.exposure(image(number), number, begin + number)
        first = (await client.ask(f"/night?day={day}")).text
        second = (await client.ask(f"/night?day={day}&part=2")).text
        beyond = (await client.ask(f"/night?day={day}&part=9")).text

    assert "part=2" in first
    assert "this part: 1 to 3" in first
    assert image(4) not in first
    assert "this part: 4 to 5" in second
    assert f'data-name="{image(4)} {image(4)}"' in second
    assert "this part: 4 to 5" in beyond


async def test_page_shows_external_text_as_text_and_links_to_the_timeline(
    fresh_redis: PrivateRedis,
) -> None:
    settings = page_site(fresh_redis.port)
    name = '<i>"&a=b'
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        await LedgerBuilder(redis, settings).failed(name, 1, time.time(), "<script>x()", 0)
        page = (await client.ask("/night")).text

    assert "<script>x()" not in page
    assert "<i>" not in page
    assert 'href="./#image=%3Ci%3E%22%26a%3Db"' in page


async def test_page_has_a_symbol_for_each_state_and_misses_no_dismissed_image(
    fresh_redis: PrivateRedis,
) -> None:
    assert set(STATE_SYMBOLS) == set(ImageState)
    settings = page_site(fresh_redis.port)
    day = dt.date(2026, 11, 22)
    at = bounds_of(day)[0]
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        builder = LedgerBuilder(redis, settings)
        await builder.unaccepted(image(1), at, ImageState.MISSED)
        transaction = Transaction()
        ImageLedger.dismiss(transaction, [image(1)], "a test")
        await builder.write(transaction)
        answer = await client.ask(f"/night?day={day}")

    assert answer.status == 200
    assert "⊘ dismissed" in answer.text
    assert "its record cannot be read" not in answer.text


@pytest.mark.parametrize("query", ["day=sideways", "day=9999-12-31", "part=0", "part=x", "part=-1"])
async def test_request_for_no_night_is_answered_with_400(
    fresh_redis: PrivateRedis, query: str
) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        answer = await client.ask(f"/night?{query}")
    assert answer.status == 400
    assert "the parameter" in answer.text


async def test_empty_ledger_has_a_page_too(fresh_redis: PrivateRedis) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        answer = await client.ask("/night")
    assert answer.status == 200
    assert f"<title>Night {observing_day(time.time())} " in answer.text


async def test_image_with_a_time_in_the_future_does_not_hide_the_nights(
    fresh_redis: PrivateRedis,
) -> None:
    settings = page_site(fresh_redis.port)
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        await LedgerBuilder(redis, settings).exposure(image(1), 1, time.time() - 60)
        await redis.zadd(keys.IMAGES, {"future": 1e15, "never": float("inf"), "past": -1e15})
        answer = await client.ask("/night")
    assert answer.status == 200
    assert image(1) in answer.text


async def test_page_is_not_available_without_redis() -> None:
    async with served(page_site(free_port())) as (_server, client):
        answer = await client.ask("/night")
    assert (answer.status, answer.text) == (503, "Redis does not answer\n")
