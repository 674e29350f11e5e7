"""RabbitMQ as a cluster, of which nodes die while images are in progress."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from lsst.ts import salobj

from ccarchiver_sim.testbed.brokers import PrivateRabbit
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.wiretap import WireTap
from tests.support.archiver_harness import ArchiverHarness, short
from tests.support.brokers import empty

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRedis

# Extended: test_broker_outages.py covers a dead broker; tests/bridge/amqp a list of addresses.
pytestmark = [pytest.mark.integration, pytest.mark.extended]

MIRRORED: dict[str, object] = {
    "policies": [
        {
            "vhost": "/test_cc",
            "name": "mirrored",
            "pattern": ".*",
            "apply-to": "queues",
            "definition": {"ha-mode": "all", "ha-sync-mode": "automatic"},
        }
    ]
}
"""A policy that replicates every queue on both nodes; peers do not see it."""
WITHOUT_MIRRORS = (4,)
"""Version of RabbitMQ that no longer has mirrored classic queues."""
NO_DELIVERY_LIMIT: dict[str, object] = {
    "policies": [
        {
            "vhost": "/test_cc",
            "name": "unlimited",
            "pattern": ".*",
            "apply-to": "quorum_queues",
            "definition": {"delivery-limit": -1},
        }
    ]
}
"""RabbitMQ 4 otherwise deletes a message that it has delivered twenty times without an ack."""


def set_policy(rabbit: PrivateRabbit, policies: dict[str, object], folder: Path) -> None:
    """Import policies as a site does."""
    path = folder / "policy.json"
    path.write_text(json.dumps(policies), encoding="utf-8")
    rabbit.import_definitions(path)


async def test_archiver_continues_on_the_other_node_without_losing_an_image(
    redis_server: PrivateRedis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty(redis_server)
    folder: Path = tmp_path_factory.mktemp("s")
    with (
        PrivateRabbit(folder / "one") as first,
        PrivateRabbit(folder / "two", joins=first) as second,
    ):
        if first.version >= WITHOUT_MIRRORS:
            pytest.skip("this version of RabbitMQ has no mirrored classic queues")
        set_policy(first, MIRRORED, folder)
        rig = Rig(short(), redis=redis_server, rabbit=second, parent=folder)
        host = rig.add_host("host", BASE_BROKER_ADDR=[first.address, second.address])
        try:
            async with rig:
                host.supervisor.start()
                await rig.observer.wait_for_first_state()
                with WireTap(second, rig.vhost) as tap:
                    harness = ArchiverHarness(rig, tap)
                    await harness.set(())
                    await harness.enable()
                    await harness.image()
                    position = harness.sal.position

                    images = [rig.take(), rig.take()]
                    first.kill()
                    images.append(rig.take())
                    for image in images:
                        await harness.completed(image)

                    await harness.image()
                    assert harness.sal.state == salobj.State.ENABLED
                    assert not harness.sal.error_codes(since=position)
        finally:
            await rig.close()


async def test_no_image_is_lost_when_nodes_with_quorum_queues_die_in_turn_and_return(
    redis_server: PrivateRedis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty(redis_server)
    folder: Path = tmp_path_factory.mktemp("s")
    with (
        PrivateRabbit(folder / "one", queue_type="quorum") as first,
        PrivateRabbit(folder / "two", joins=first) as second,
        PrivateRabbit(folder / "three", joins=first) as third,
    ):
        if first.version >= WITHOUT_MIRRORS:
            set_policy(first, NO_DELIVERY_LIMIT, folder)
        # The peers know one address, so their node stays.
        rig = Rig(short(), redis=redis_server, rabbit=second, parent=folder)
        addresses = [node.address for node in (first, second, third)]
        host = rig.add_host("host", BASE_BROKER_ADDR=addresses)
        try:
            async with rig:
                host.supervisor.start()
                await rig.observer.wait_for_first_state()
                with WireTap(second, rig.vhost) as tap:
                    harness = ArchiverHarness(rig, tap)
                    await harness.set(())
                    await harness.enable()
                    await harness.image()
                    assert queue_types(second) == {"quorum"}
                    position = harness.sal.position

                    for node in (first, third):
                        images = [rig.take(), rig.take()]
                        node.kill()
                        images.append(rig.take())
                        for image in images:
                            await harness.completed(image)
                        node.launch()
                        await asyncio.to_thread(node.wait_ready)
                        await harness.image()

                    assert harness.sal.state == salobj.State.ENABLED
                    assert not harness.sal.error_codes(since=position)
        finally:
            await rig.close()


def queue_types(rabbit: PrivateRabbit) -> set[str]:
    """Return the types of all durable queues."""
    listed = rabbit.control(
        "-p", "/test_cc", "list_queues", "--no-table-headers", "durable", "type"
    )
    rows = [line.split() for line in listed.splitlines()]
    return {queue_type for durable, queue_type in rows if durable == "true"}
