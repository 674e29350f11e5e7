"""SCAN: the message, its answer, and the acknowledgements that wait meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ccarchiver_bridge import forwarder_scan
from ccarchiver_core import keys
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.domain.worker_messages import ReplaceForwarder, ScanAnswered, ScanForwarder
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.scans import Scan, ScanState, read_scan
from ccarchiver_sim.pace import scaled
from tests.bridge.harness import SESSION, BridgeHarness, bridge_at_work, start_of
from tests.bridge.peer import ACKS, FORWARDER
from tests.core.redis_helpers import counter, enqueue, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

NUMBER = 7


@pytest.fixture
async def scanning(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> AsyncIterator[BridgeHarness]:
    """A bridge with a paired Forwarder; a scan takes at most far longer than ACK_TIMEOUT."""
    limits: dict[str, Any] = {"ACK_TIMEOUT": scaled(0.3), "SCAN_TIMEOUT": scaled(600)}
    async with bridge_at_work(fresh_redis, rabbit_server, fresh_vhost, **limits) as harness:
        await harness.pair()
        await harness.connected()
        yield harness


async def request(harness: BridgeHarness, number: int = NUMBER, epoch: int = 1) -> None:
    """Request a scan as health does."""
    await harness.redis.hset(
        keys.SCAN,
        mapping={
            "number": number,
            "state": ScanState.REQUESTED,
            "queue": FORWARDER,
            "requested_at": unix_time(),
        },
    )
    await enqueue(
        harness.redis,
        Worker.BRIDGE,
        ScanForwarder(session_id=SESSION, epoch=epoch, number=number),
    )


async def scan_in(harness: BridgeHarness, state: ScanState) -> Scan:
    """Wait until the record of the scan has a state."""

    async def reached() -> Scan | None:
        harness.peer.poll()
        scan = await read_scan(harness.redis)
        return scan if scan.state is state else None

    return await eventually(reached, f"a scan that is {state}")


async def answers(harness: BridgeHarness, count: int) -> list[ScanAnswered]:
    """Wait until health is notified of so many answers."""

    async def notified() -> list[ScanAnswered] | None:
        harness.peer.poll()
        found = await harness.messages_to(Worker.HEALTH, ScanAnswered)
        return found if len(found) >= count else None

    return await eventually(notified, "ScanAnswered")


async def test_scan_is_sent_to_the_forwarder_and_health_is_notified_of_the_answer(
    scanning: BridgeHarness,
) -> None:
    await request(scanning)

    message = await scanning.peer.receive("SCAN")
    scan = await scan_in(scanning, ScanState.SENT)
    scanning.peer.send(ACKS, MSG_TYPE="SCAN_ACK")

    assert message.queue == FORWARDER
    assert message.fields == {
        "MSG_TYPE": "SCAN",
        "MINUTES": 24 * 60,
        "KEY": keys.scan_names(NUMBER),
        "REPLY_QUEUE": ACKS,
    }
    assert scan.sent_at >= scan.requested_at
    assert await answers(scanning, 1) == [ScanAnswered()]


async def test_no_acknowledgement_is_late_while_the_forwarder_scans(
    scanning: BridgeHarness,
) -> None:
    await request(scanning)
    await scanning.peer.receive("SCAN")
    await scanning.accept("i", start_of("i"))
    await scanning.controller_answers("i")
    await scanning.peer.receive("CC_FWDR_XFER_PARAMS", "i")
    # A message to the Controller becomes late meanwhile, so the one to the Forwarder would too.
    await scanning.accept("j", start_of("j"))
    await scanning.peer.receive("NEW_CC_ARCHIVE_ITEM", "j", count=2)

    assert scanning.kinds("i").count("CC_FWDR_XFER_PARAMS") == 1
    scanning.peer.send(ACKS, MSG_TYPE="SCAN_ACK")
    await scanning.peer.receive("CC_FWDR_XFER_PARAMS", "i", count=2)


async def test_silent_forwarder_is_replaced_although_a_scan_was_sent(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    limits: dict[str, Any] = {"ACK_TIMEOUT": scaled(0.3), "SCAN_TIMEOUT": scaled(1)}
    async with bridge_at_work(fresh_redis, rabbit_server, fresh_vhost, **limits) as harness:
        await harness.pair()
        await harness.connected()
        await request(harness)
        await harness.peer.receive("SCAN")
        await harness.accept("i", start_of("i"))
        await harness.controller_answers("i")

        async def suspected() -> list[ReplaceForwarder]:
            harness.peer.poll()
            return await harness.messages_to(Worker.HEALTH, ReplaceForwarder)

        [suspect] = await eventually(suspected, "ReplaceForwarder")

    assert suspect.code == 5752


async def test_restarted_bridge_still_waits_for_a_forwarder_that_scans(
    scanning: BridgeHarness,
) -> None:
    await request(scanning)
    await scanning.peer.receive("SCAN")
    await scan_in(scanning, ScanState.SENT)
    await scanning.accept("i", start_of("i"))
    await scanning.controller_answers("i")
    await scanning.peer.receive("CC_FWDR_XFER_PARAMS", "i")
    await scanning.recorded("i", "xfer_params")

    await scanning.stop()
    await scanning.start()
    await scanning.connected()
    await scanning.accept("j", start_of("j"))
    await scanning.peer.receive("NEW_CC_ARCHIVE_ITEM", "j", count=2)

    assert scanning.kinds("i").count("CC_FWDR_XFER_PARAMS") == 1
    assert [message.kind for message in scanning.peer.received].count("SCAN") == 1


async def test_busy_forwarder_gets_no_scan(scanning: BridgeHarness) -> None:
    await scanning.accept("i", start_of("i"))
    await scanning.controller_answers("i")
    await scanning.peer.receive("CC_FWDR_XFER_PARAMS", "i")

    await request(scanning)

    await scan_in(scanning, ScanState.NOT_SENT)
    assert "SCAN" not in [message.kind for message in scanning.peer.received]


async def test_scan_for_an_earlier_pairing_is_not_sent(scanning: BridgeHarness) -> None:
    await request(scanning, epoch=0)

    await scan_in(scanning, ScanState.NOT_SENT)


async def test_scan_that_health_no_longer_waits_for_is_not_sent(scanning: BridgeHarness) -> None:
    await enqueue(
        scanning.redis, Worker.BRIDGE, ScanForwarder(session_id=SESSION, epoch=1, number=NUMBER)
    )
    await request(scanning, NUMBER + 1)

    message = await scanning.peer.receive("SCAN")

    assert message.fields["KEY"] == keys.scan_names(NUMBER + 1)


async def test_health_is_notified_of_few_of_many_answers(
    scanning: BridgeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder_scan, "MAX_ANSWERS", 2)
    await request(scanning)
    await scan_in(scanning, ScanState.SENT)
    for _ in range(5):
        scanning.peer.send(ACKS, MSG_TYPE="SCAN_ACK")

    async def ignored() -> bool:
        scanning.peer.poll()
        return await counter(scanning.redis, "scan_answers_ignored") == 3

    await eventually(ignored, "three ignored answers")
    assert len(await answers(scanning, 2)) == 2
