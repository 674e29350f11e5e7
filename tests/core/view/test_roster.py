from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.session import ForwarderLoss
from ccarchiver_core.status.candidate_list import CandidateList, read_candidates
from ccarchiver_core.store import association_attempts
from ccarchiver_core.store.association_attempts import AssociationAttempt
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import looking_into, site
from tests.health.harness import entry
from tests.support.ledger_builder import LedgerBuilder

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis


async def roster_after(server: PrivateRedis, transaction: Transaction) -> CandidateList:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        await LedgerBuilder(redis, settings).write(transaction)
        return await read_candidates(redis, settings)


def listed(transaction: Transaction, *names: str) -> Transaction:
    for name in names:
        transaction.command("LPUSH", keys.FORWARDER_LIST, entry(name).model_dump_json())
    return transaction


async def test_nobody(fresh_redis: PrivateRedis) -> None:
    roster = await roster_after(fresh_redis, Transaction().command("DEL", "nothing"))

    assert (roster.candidates, roster.next, roster.likely) == ([], None, None)


async def test_the_one_in_hand_comes_before_the_list_and_that_before_the_known(fresh_redis: PrivateRedis) -> None:
    transaction = listed(Transaction(), "b", "c").command(
        "HSET", keys.KNOWN_FORWARDERS, "d_consume", entry("d").model_dump_json()
    )
    transaction.command("LPUSH", keys.PAIRING_CANDIDATE, entry("a").model_dump_json())

    roster = await roster_after(fresh_redis, transaction)

    assert [one.hostname for one in roster.candidates] == ["a", "b", "c", "d"]
    assert [one.listed for one in roster.candidates] == [True, True, True, False]


async def test_who_was_asked_in_vain_is_asked_again_but_nobody_counts_on_it(fresh_redis: PrivateRedis) -> None:
    transaction = listed(Transaction(), "dead", "alive")
    association_attempts.record(
        transaction,
        "dead_consume",
        AssociationAttempt(attempted_at=5.0, accepted=False, detail="nobody consumes its queue"),
    )
    association_attempts.record(transaction, "alive_consume", AssociationAttempt(attempted_at=6.0, accepted=True))

    roster = await roster_after(fresh_redis, transaction)

    assert roster.next is not None
    assert roster.likely is not None
    assert (roster.next.hostname, roster.next.stale, roster.next.attempted_at) == (
        "dead",
        "nobody consumes its queue",
        5.0,
    )
    assert (roster.likely.hostname, roster.likely.accepted) == ("alive", True)


async def test_who_was_just_given_up_is_passed_over(fresh_redis: PrivateRedis) -> None:
    loss = ForwarderLoss(code=5755, report="released", queue="a_consume", exclude_from_search=True)
    transaction = listed(Transaction(), "a", "b").command("HSET", keys.SESSION, "loss", loss.model_dump_json())

    roster = await roster_after(fresh_redis, transaction)

    assert roster.next is not None
    assert roster.next.hostname == "b"
    assert roster.candidates[0].is_skipped


async def test_what_is_no_forwarders_entry_is_passed_over(fresh_redis: PrivateRedis) -> None:
    transaction = listed(Transaction(), "a").command("RPUSH", keys.FORWARDER_LIST, "{}")
    somebody = entry("x").model_copy(update={"consume_queue": "telemetry_queue"})
    transaction.command("RPUSH", keys.FORWARDER_LIST, somebody.model_dump_json())

    roster = await roster_after(fresh_redis, transaction)

    assert [one.is_skipped for one in roster.candidates] == [True, True, False]
