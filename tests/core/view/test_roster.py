from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import asked, keys
from ccarchiver_core.asked import Asked
from ccarchiver_core.session import Loss
from ccarchiver_core.step import Step
from ccarchiver_core.view.roster import Roster, read_roster
from tests.core.place import looking_into, site
from tests.health.desk import entry
from tests.support.scribe import Scribe

if TYPE_CHECKING:
    from ccarchiver_sim.brokers import PrivateRedis


async def roster_after(server: PrivateRedis, step: Step) -> Roster:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        await Scribe(redis, settings).write(step)
        return await read_roster(redis, settings)


def listed(step: Step, *names: str) -> Step:
    for name in names:
        step.do("LPUSH", keys.FORWARDER_LIST, entry(name).model_dump_json())
    return step


async def test_nobody(fresh_redis: PrivateRedis) -> None:
    roster = await roster_after(fresh_redis, Step().do("DEL", "nothing"))

    assert (roster.candidates, roster.next, roster.likely) == ([], None, None)


async def test_the_one_in_hand_comes_before_the_list_and_that_before_the_known(fresh_redis: PrivateRedis) -> None:
    step = listed(Step(), "b", "c").do("HSET", keys.KNOWN, "d_consume", entry("d").model_dump_json())
    step.do("LPUSH", keys.CANDIDATE, entry("a").model_dump_json())

    roster = await roster_after(fresh_redis, step)

    assert [one.hostname for one in roster.candidates] == ["a", "b", "c", "d"]
    assert [one.listed for one in roster.candidates] == [True, True, True, False]


async def test_who_was_asked_in_vain_is_asked_again_but_nobody_counts_on_it(fresh_redis: PrivateRedis) -> None:
    step = listed(Step(), "dead", "alive")
    asked.record(step, "dead_consume", Asked(at=5.0, took_pairing=False, detail="nobody consumes its queue"))
    asked.record(step, "alive_consume", Asked(at=6.0, took_pairing=True))

    roster = await roster_after(fresh_redis, step)

    assert roster.next is not None
    assert roster.likely is not None
    assert (roster.next.hostname, roster.next.stale, roster.next.asked_at) == ("dead", "nobody consumes its queue", 5.0)
    assert (roster.likely.hostname, roster.likely.took_pairing) == ("alive", True)


async def test_who_was_just_given_up_is_passed_over(fresh_redis: PrivateRedis) -> None:
    loss = Loss(code=5755, report="released", queue="a_consume", mute=True)
    step = listed(Step(), "a", "b").do("HSET", keys.SESSION, "loss", loss.model_dump_json())

    roster = await roster_after(fresh_redis, step)

    assert roster.next is not None
    assert roster.next.hostname == "b"
    assert roster.candidates[0].passed


async def test_what_is_no_forwarders_entry_is_passed_over(fresh_redis: PrivateRedis) -> None:
    step = listed(Step(), "a").do("RPUSH", keys.FORWARDER_LIST, "{}")
    somebody = entry("x").model_copy(update={"consume_queue": "telemetry_queue"})
    step.do("RPUSH", keys.FORWARDER_LIST, somebody.model_dump_json())

    roster = await roster_after(fresh_redis, step)

    assert [one.passed for one in roster.candidates] == [True, True, False]
