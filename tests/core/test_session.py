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
    hostname="fakefwd",
    ip_address="127.0.0.1",
    consume_queue="f99_consume",
    presence_key="f99_association",
)
LOSS = ForwarderLoss(code=5755, report="gone", queue="f98_consume", exclude_from_search=False)


async def test_empty_redis_has_an_inactive_session(fresh_redis: PrivateRedis) -> None:
    async with looking_into(site(fresh_redis.port)) as redis:
        current = await session.read_session(redis)

    assert not current.is_active
    assert not current.is_paired
    assert current.epoch == 0


async def test_begin_removes_forwarder_and_loss_and_keeps_the_epoch(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.hset(
            keys.SESSION,
            mapping={
                "forwarder": FORWARDER.model_dump_json(),
                "loss": LOSS.model_dump_json(),
                "epoch": 7,
            },
        )
        transaction = Transaction()
        session.begin(transaction, "new")
        await context.transactions.apply(transaction)

        current = await session.read_session(redis)

        assert (current.id, current.is_active, current.pairing) == ("new", True, Pairing.SEARCHING)
        assert current.forwarder is None
        assert current.loss is None
        assert current.epoch == 7, "a smaller epoch would repeat ACK_IDs"


async def test_end_deletes_the_association_key_in_the_same_transaction(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as context, looking_into(settings) as redis:
        await redis.set("the key", "fakefwd")
        await redis.hset(
            keys.SESSION,
            mapping={
                "id": "s",
                "is_active": "1",
                "pairing": "paired",
                "forwarder": FORWARDER.model_dump_json(),
            },
        )
        assert (await session.read_session(redis)).is_paired
        transaction = Transaction()
        session.end(transaction, "the key")
        await context.transactions.apply(transaction)

        current = await session.read_session(redis)

        assert not current.is_active
        assert not current.is_paired
        assert not await redis.exists("the key")


async def test_require_active_fails_in_another_session_and_after_the_end(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.HEALTH, settings) as context:

        async def outcome(session_id: str) -> Outcome:
            transaction = Transaction().count("n")
            session.require_active(transaction, session_id)
            return await context.transactions.apply(transaction)

        assert await outcome("s") is Outcome.PRECONDITION_FAILED, "there is no session"
        begin, end = Transaction(), Transaction()
        session.begin(begin, "s")
        session.end(end, "key")
        await context.transactions.apply(begin)
        assert await outcome("s") is Outcome.APPLIED
        assert await outcome("an older session") is Outcome.PRECONDITION_FAILED
        await context.transactions.apply(end)
        assert await outcome("s") is Outcome.PRECONDITION_FAILED, "it has ended"


def test_session_id_has_the_format_of_the_contract_and_is_unique() -> None:
    ids = {new_session_id() for _ in range(20)}

    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d\.\d{6}", session_id) for session_id in ids
    )
    assert len(ids) == 20
