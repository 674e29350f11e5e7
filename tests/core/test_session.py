from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.session import ForwarderLoss, PairedForwarder, Pairing, new_session_id
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import session
from ccarchiver_core.store.transaction import Outcome, Transaction
from tests.core.redis_helpers import holding, looking_into, site

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

FORWARDER = PairedForwarder(
    hostname="fakefwd", ip_address="127.0.0.1", consume_queue="f99_consume", presence_key="f99_association"
)
LOSS = ForwarderLoss(code=5755, report="gone", queue="f98_consume", exclude_from_search=False)


async def test_an_empty_redis_gives_a_session_nobody_wants(fresh_redis: PrivateRedis) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        current = await session.read_session(redis)

    assert not current.is_active
    assert not current.is_paired
    assert current.epoch == 0


async def test_a_session_begins_without_what_is_left_of_the_last_one_but_its_epoch(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.hset(
            keys.SESSION,
            mapping={"forwarder": FORWARDER.model_dump_json(), "loss": LOSS.model_dump_json(), "epoch": 7},
        )
        transaction = Transaction()
        session.begin(transaction, "new")
        await context.transactions.apply(transaction)

        current = await session.read_session(redis)

        assert (current.id, current.is_active, current.pairing) == ("new", True, Pairing.SEARCHING)
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
        assert (await session.read_session(redis)).is_paired
        transaction = Transaction()
        session.end(transaction, "the key")
        await context.transactions.apply(transaction)

        current = await session.read_session(redis)

        assert not current.is_active
        assert not current.is_paired
        assert not await redis.exists("the key")


async def test_a_step_for_a_session_is_refused_in_another_one_and_after_its_end(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.HEALTH, settings) as context:

        async def outcome(session_id: str) -> Outcome:
            transaction = Transaction().count("n")
            session.require_active(transaction, session_id)
            return await context.transactions.apply(transaction)

        assert await outcome("s") is Outcome.PRECONDITION_FAILED, "there is none"
        begin, end = Transaction(), Transaction()
        session.begin(begin, "s")
        session.end(end, "key")
        await context.transactions.apply(begin)
        assert await outcome("s") is Outcome.APPLIED
        assert await outcome("an older one") is Outcome.PRECONDITION_FAILED
        await context.transactions.apply(end)
        assert await outcome("s") is Outcome.PRECONDITION_FAILED, "it has ended"


def test_a_session_id_has_the_form_the_peers_know_and_is_new_each_time() -> None:
    ids = {new_session_id() for _ in range(20)}

    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d\.\d{6}", one) for one in ids)
    assert len(ids) == 20
