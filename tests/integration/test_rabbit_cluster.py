"""RabbitMQ as a cluster of two nodes, of which the connected one dies."""

from __future__ import annotations

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

MIRRORED = {
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


async def test_archiver_continues_on_the_other_node_without_losing_an_image(
    redis_server: PrivateRedis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty(redis_server)
    folder: Path = tmp_path_factory.mktemp("s")
    with (
        PrivateRabbit(folder / "one") as first,
        PrivateRabbit(folder / "two", joins=first) as second,
    ):
        policy = folder / "policy.json"
        policy.write_text(json.dumps(MIRRORED), encoding="utf-8")
        first.import_definitions(policy)
        rig = Rig(short(), redis=redis_server, rabbit=second, parent=folder)
        host = rig.add_host("host", BASE_BROKER_ADDR=[first.address, second.address])
        try:
            async with rig:
                host.supervisor.start()
                await rig.observer.wait_heard()
                with WireTap(second, rig.vhost) as tap:
                    harness = ArchiverHarness(rig, tap)
                    await harness.set(())
                    await harness.enable()
                    await harness.image()
                    mark = harness.sal.mark

                    images = [rig.take(), rig.take()]
                    first.kill()
                    images.append(rig.take())
                    for image in images:
                        await harness.completed(image)

                    await harness.image()
                    assert harness.sal.state == salobj.State.ENABLED
                    assert not harness.sal.error_codes(since=mark)
        finally:
            await rig.close()
