from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ccarchiver_core import keys, session
from ccarchiver_core.keys import Worker
from ccarchiver_core.session import Loss, PairedForwarder, Pairing
from ccarchiver_core.step import Outcome, Step
from tests.core.place import holding, looking_into, site

if TYPE_CHECKING:
    from ccarchiver_sim.brokers import PrivateRedis

FORWARDER = PairedForwarder(
    hostname="fakefwd", ip_address="127.0.0.1", consume_queue="f99_consume", presence_key="f99_association"
)
LOSS = Loss(code=5755, report="gone", queue="f98_consume", mute=False)


async def test_an_empty_redis_gives_a_session_nobody_wants(fresh_redis: PrivateRedis) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        current = await session.read_session(redis)

    assert not current.wanted
    assert not current.paired
    assert current.epoch == 0


async def test_a_session_begins_without_what_is_left_of_the_last_one_but_its_epoch(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.hset(
            keys.SESSION,
            mapping={"forwarder": FORWARDER.model_dump_json(), "loss": LOSS.model_dump_json(), "epoch": 7},
        )
        step = Step()
        session.begin(step, "new")
        await context.runner.apply(step)

        current = await session.read_session(redis)

        assert (current.id, current.wanted, current.pairing) == ("new", True, Pairing.SEARCHING)
        assert current.forwarder is None
        assert current.loss is None
        assert current.epoch == 7, "an epoch set back would repeat ACK_IDs"


async def test_when_a_session_ends_its_association_key_is_gone_with_the_same_step(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.set("the key", "fakefwd")
        await redis.hset(
            keys.SESSION,
            mapping={"id": "s", "wanted": "up", "pairing": "paired", "forwarder": FORWARDER.model_dump_json()},
        )
        assert (await session.read_session(redis)).paired
        step = Step()
        session.end(step, "the key")
        await context.runner.apply(step)

        current = await session.read_session(redis)

        assert not current.wanted
        assert not current.paired
        assert not await redis.exists("the key")


async def test_a_step_for_a_session_is_refused_in_another_one_and_after_its_end(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.HEALTH, settings) as context:

        async def outcome(session_id: str) -> Outcome:
            step = Step().count("n")
            session.only_during(step, session_id)
            return await context.runner.apply(step)

        assert await outcome("s") is Outcome.REFUSED, "there is none"
        begin, end = Step(), Step()
        session.begin(begin, "s")
        session.end(end, "key")
        await context.runner.apply(begin)
        assert await outcome("s") is Outcome.APPLIED
        assert await outcome("an older one") is Outcome.REFUSED
        await context.runner.apply(end)
        assert await outcome("s") is Outcome.REFUSED, "it has ended"


def test_a_session_id_has_the_form_the_peers_know_and_is_new_each_time() -> None:
    ids = {session.new_session_id() for _ in range(20)}

    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d\.\d{6}", one) for one in ids)
    assert len(ids) == 20
