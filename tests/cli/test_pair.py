from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import asked, keys
from ccarchiver_core.asked import Asked
from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import ForwarderSuspect, Suspicion
from ccarchiver_core.step import Step
from tests.core.place import mail_in
from tests.health.desk import entry
from tests.support.scribe import EPOCH, SESSION

if TYPE_CHECKING:
    from tests.cli.operator import Operator


async def list_forwarders(operator: Operator, *names: str) -> None:
    for name in names:
        await operator.redis.lpush(keys.FORWARDER_LIST, entry(name).model_dump_json())


async def know(operator: Operator, name: str, came_of_it: Asked | None = None) -> None:
    step = Step().do("HSET", keys.KNOWN, f"{name}_consume", entry(name).model_dump_json())
    if came_of_it is not None:
        asked.record(step, f"{name}_consume", came_of_it)
    await operator.scribe.write(step)


async def test_the_roster_is_shown_in_the_order_health_asks(operator: Operator) -> None:
    await operator.pair("fwd1")
    await list_forwarders(operator, "fwd2", "fwd3", "fwd2")
    await operator.redis.rpush(keys.FORWARDER_LIST, "not JSON")
    await know(operator, "fwd1")
    await know(operator, "fwd4", Asked(at=time.time() - 60, took_pairing=False, detail="nobody consumes queue fwd4"))

    answer = await operator.types("pair", "show")
    shown = (await operator.types("pair", "show", "--json")).json

    assert answer.code == 0
    assert "fwd1 on queue fwd1_consume, epoch 1" in answer.words
    assert "stale? nobody consumes" in answer.words
    assert [one["hostname"] for one in shown["candidates"]] == ["not JSON", "fwd2", "fwd3", "fwd2", "fwd1", "fwd4"]
    assert [one["passed"] for one in shown["candidates"]] == [True, False, False, False, True, False]
    assert [bool(one["stale"]) for one in shown["candidates"]] == [True, True, False, False, False, True]
    assert shown["next"] == "fwd2_consume"


async def test_a_wanted_forwarder_that_is_missing_is_not_well(operator: Operator) -> None:
    await operator.pair()
    await operator.redis.hset(keys.SESSION, "pairing", "searching")
    await operator.redis.hdel(keys.SESSION, "forwarder")

    answer = await operator.types("pair", "show")

    assert answer.code == 1
    assert "searching, epoch 1" in answer.words
    assert "no Forwarder is listed or known" in answer.words


async def test_release_tells_health(operator: Operator) -> None:
    await operator.pair("fwd1")
    await operator.show_life(Worker.HEALTH)
    await list_forwarders(operator, "fwd2")

    answer = await operator.types("pair", "release", "--no-wait")
    as_json = (await operator.types("pair", "release", "--no-wait", "--json")).json

    assert as_json == {"released": "fwd1", "health_lives": True, "paired": None}
    assert answer.code == 0
    assert "fwd1: released" in answer.words
    [letter, _] = await mail_in(operator.redis, Worker.HEALTH)
    assert isinstance(letter, ForwarderSuspect)
    assert (letter.session_id, letter.epoch, letter.suspicion) == (SESSION, EPOCH, Suspicion.RELEASED)
    assert "fwd1" in letter.report


async def test_release_is_refused_when_none_is_paired(operator: Operator) -> None:
    without_session = await operator.types("pair", "release")
    await operator.pair()
    await operator.redis.hset(keys.SESSION, "pairing", "searching")
    await operator.redis.hdel(keys.SESSION, "forwarder")
    searching = await operator.types("pair", "release")

    assert (without_session.code, searching.code) == (1, 1)
    assert "no session is wanted" in without_session.err
    assert "looking for one already" in searching.err
    assert await mail_in(operator.redis, Worker.HEALTH) == []


async def test_release_is_refused_when_nobody_could_take_over_unless_forced(operator: Operator) -> None:
    await operator.pair("fwd1")
    await know(operator, "fwd1")

    refused = await operator.types("pair", "release", "--no-wait")
    forced = await operator.types("pair", "release", "--no-wait", "--force")

    assert refused.code == 1
    assert "FAULT" in refused.err
    assert forced.code == 0
    assert "health shows no life" in forced.words
    assert len(await mail_in(operator.redis, Worker.HEALTH)) == 1


async def test_a_named_forwarder_is_put_before_all_others(operator: Operator) -> None:
    await operator.pair("fwd1")
    await list_forwarders(operator, "fwd2", "fwd3")
    await know(operator, "fwd4")

    await operator.types("pair", "next", "fwd3")
    assert (await operator.types("pair", "next", "--json")).json["next"] == "fwd3_consume"
    answer = await operator.types("pair", "next", "fwd4_consume")

    assert answer.code == 0
    shown = (await operator.types("pair", "next", "--json")).json
    assert [one["hostname"] for one in shown["candidates"]] == ["fwd4", "fwd3", "fwd2"]


async def test_the_paired_forwarder_is_never_listed_by_hand(operator: Operator) -> None:
    """Health would take it for one that has been restarted."""
    await operator.pair("fwd1")
    await know(operator, "fwd1")

    answer = await operator.types("pair", "next", "fwd1")

    assert answer.code == 1
    assert "is paired" in answer.err
    assert await operator.redis.llen(keys.FORWARDER_LIST) == 0


async def test_nobody_next_and_nobody_of_that_name(operator: Operator) -> None:
    assert (await operator.types("pair", "next")).code == 1
    assert "no Forwarder nobody" in (await operator.types("pair", "next", "nobody")).err
