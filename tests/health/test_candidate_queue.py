"""The order in which Forwarders are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.association_attempts import AssociationAttempt
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health import candidate_queue
from ccarchiver_health.candidate_queue import CandidateQueue
from ccarchiver_health.forwarder_list import ForwarderList
from tests.core.redis_helpers import holding, site
from tests.health.harness import entry

if TYPE_CHECKING:
    import pytest

    from ccarchiver_sim.testbed.brokers import PrivateRedis

NAMES = [f"f{number}" for number in range(6)]


async def test_each_known_forwarder_is_tried_although_failed_attempts_take_long(
    fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All are due again at once, as after attempts that take longer than the interval.
    monkeypatch.setattr(candidate_queue, "KNOWN_RETRY_INTERVAL", 0.0)
    async with holding(Worker.HEALTH, site(fresh_redis.port)) as context:
        queue = CandidateQueue(context, ForwarderList(context))
        for name in NAMES:
            await context.redis.hset(
                keys.KNOWN_FORWARDERS, f"{name}_consume", entry(name).model_dump_json()
            )

        tried = []
        for _ in range(2 * len(NAMES)):
            candidate = await queue.next(set())
            assert candidate is not None
            tried.append(candidate.entry.hostname)
            transaction = Transaction()
            failed = AssociationAttempt(attempted_at=unix_time(), accepted=False, detail="dead")
            await queue.complete(transaction, candidate, failed)
            await context.transactions.apply(transaction)

    assert sorted(tried[: len(NAMES)]) == NAMES
    assert tried[len(NAMES) :] == tried[: len(NAMES)]
