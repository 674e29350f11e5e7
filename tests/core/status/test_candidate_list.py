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


async def candidates_after(server: PrivateRedis, transaction: Transaction) -> CandidateList:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        await LedgerBuilder(redis, settings).write(transaction)
        return await read_candidates(redis, settings)


def listed(transaction: Transaction, *names: str) -> Transaction:
    for name in names:
        transaction.command("LPUSH", keys.FORWARDER_LIST, entry(name).model_dump_json())
    return transaction


async def test_candidate_list_is_empty_without_forwarders(fresh_redis: PrivateRedis) -> None:
    candidates = await candidates_after(fresh_redis, Transaction().command("DEL", "nothing"))

    assert (candidates.candidates, candidates.next, candidates.likely) == ([], None, None)


async def test_candidates_are_the_pairing_candidate_then_listed_then_known(
    fresh_redis: PrivateRedis,
) -> None:
    transaction = listed(Transaction(), "b", "c").command(
        "HSET", keys.KNOWN_FORWARDERS, "d_consume", entry("d").model_dump_json()
    )
    transaction.command("LPUSH", keys.PAIRING_CANDIDATE, entry("a").model_dump_json())

    candidates = await candidates_after(fresh_redis, transaction)

    assert [candidate.hostname for candidate in candidates.candidates] == ["a", "b", "c", "d"]
    assert [candidate.listed for candidate in candidates.candidates] == [True, True, True, False]


async def test_candidate_whose_attempt_failed_is_next_but_not_likely(
    fresh_redis: PrivateRedis,
) -> None:
    transaction = listed(Transaction(), "dead", "alive")
    association_attempts.record(
        transaction,
        "dead_consume",
        AssociationAttempt(attempted_at=5.0, accepted=False, detail="its queue has no consumer"),
    )
    association_attempts.record(
        transaction, "alive_consume", AssociationAttempt(attempted_at=6.0, accepted=True)
    )

    candidates = await candidates_after(fresh_redis, transaction)

    assert candidates.next is not None
    assert candidates.likely is not None
    assert (candidates.next.hostname, candidates.next.stale, candidates.next.attempted_at) == (
        "dead",
        "its queue has no consumer",
        5.0,
    )
    assert (candidates.likely.hostname, candidates.likely.accepted) == ("alive", True)


async def test_forwarder_excluded_from_the_search_is_skipped(fresh_redis: PrivateRedis) -> None:
    loss = ForwarderLoss(code=5755, report="released", queue="a_consume", exclude_from_search=True)
    transaction = listed(Transaction(), "a", "b").command(
        "HSET", keys.SESSION, "loss", loss.model_dump_json()
    )

    candidates = await candidates_after(fresh_redis, transaction)

    assert candidates.next is not None
    assert candidates.next.hostname == "b"
    assert candidates.candidates[0].is_skipped


async def test_invalid_forwarder_list_entry_is_skipped(fresh_redis: PrivateRedis) -> None:
    transaction = listed(Transaction(), "a").command("RPUSH", keys.FORWARDER_LIST, "{}")
    invalid = entry("x").model_copy(update={"consume_queue": "telemetry_queue"})
    transaction.command("RPUSH", keys.FORWARDER_LIST, invalid.model_dump_json())

    candidates = await candidates_after(fresh_redis, transaction)

    assert [candidate.is_skipped for candidate in candidates.candidates] == [True, True, False]
