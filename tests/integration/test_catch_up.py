"""Exposures that no event announced to the archiver: a scan finds them and delays no other one."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import RequestScan
from ccarchiver_sim import pace
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling
from tests.support.archiver_harness import LIMIT_S, queue_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ccarchiver_sim.testbed.peer_process import Peer
    from tests.support.archiver_harness import ArchiverHarness

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

SCAN_S = 3 * scaled(1.0)
"""Time that a scan takes: longer than both sends of an instruction with the ACK_TIMEOUT of 1 s."""
SETTINGS: dict[str, object] = {"SCAN_TIMEOUT": 60}


@pytest_asyncio.fixture(loop_scope="module")
async def daq(own_archiver: ArchiverHarness, tmp_path: Path) -> AsyncIterator[Path]:
    """Start a camera that fills a folder, which a Forwarder can list."""
    folder = tmp_path / "daq"
    folder.mkdir()
    await own_archiver.rig.start_camera("--daq", str(folder)).wait_ready()
    yield folder
    await own_archiver.rig.end_peers(["camera"])


def missed(harness: ArchiverHarness) -> list[str]:
    """Return the missed images."""
    with harness.redis() as client:
        return list(client.zrange(keys.MISSED, 0, -1))


def set_mode(harness: ArchiverHarness, mode: str) -> None:
    """Change the setting CATCH_UP of the running archiver."""
    harness.rig.write_site(CATCH_UP=mode)
    harness.rig.supervisor.restart("health")


async def scanned(harness: ArchiverHarness, forwarder: Peer, count: int) -> None:
    """Wait until a Forwarder has been sent so many scans."""
    queue = queue_of(forwarder.name)
    await polling.wait_for(
        lambda: len(harness.tap.published("SCAN", queue)) >= count, LIMIT_S, f"{count} SCAN"
    )


async def test_exposures_in_standby_are_missed_and_the_next_one_is_archived(
    own_archiver: ArchiverHarness, daq: Path
) -> None:
    [forwarder] = await own_archiver.set(("--daq", str(daq)))
    names = [own_archiver.rig.take() for _ in range(3)]
    await polling.wait_for(
        lambda: len(list(daq.iterdir())) == 3, LIMIT_S, "three images in the DAQ"
    )

    await own_archiver.enable()
    await scanned(own_archiver, forwarder, 1)
    await polling.wait_for(lambda: missed(own_archiver) == names, LIMIT_S, "three missed images")
    await own_archiver.image()

    assert missed(own_archiver) == names


async def test_missed_exposures_are_archived_by_automatic_catch_up(
    own_archiver: ArchiverHarness, daq: Path
) -> None:
    set_mode(own_archiver, "automatic")
    await own_archiver.set(("--daq", str(daq)))
    names = [own_archiver.rig.take() for _ in range(3)]
    await polling.wait_for(
        lambda: len(list(daq.iterdir())) == 3, LIMIT_S, "three images in the DAQ"
    )

    await own_archiver.enable()
    live = await own_archiver.image()
    for name in names:
        await own_archiver.completed(name)

    with own_archiver.redis() as client:
        states = {name: client.hget(keys.image(name), "state") for name in (*names, live)}
        assert set(states.values()) == {"complete"}, states
        assert client.zcard(keys.MISSED) == 0
    set_mode(own_archiver, "report")


# Extended: tests/sal/test_event_intake.py covers a repeated request, the campaign killed workers.
@pytest.mark.extended
async def test_catch_up_continues_after_the_death_of_each_worker(
    own_archiver: ArchiverHarness, daq: Path
) -> None:
    set_mode(own_archiver, "automatic")
    await own_archiver.set(("--daq", str(daq)))
    names = [own_archiver.rig.take() for _ in range(6)]
    await polling.wait_for(lambda: len(list(daq.iterdir())) == 6, LIMIT_S, "six images in the DAQ")

    await own_archiver.enable()
    for number, worker in enumerate(("health", "bridge", "sal")):
        await own_archiver.completed(names[number])
        own_archiver.rig.supervisor.kill_worker(worker)
    for name in names:
        await own_archiver.completed(name)

    assert missed(own_archiver) == []
    set_mode(own_archiver, "report")


# Extended: tests/bridge/test_forwarder_scan.py covers the deadlines with a short scan.
@pytest.mark.extended
async def test_slow_scan_makes_no_exposure_fail_and_no_forwarder_lost(
    own_archiver: ArchiverHarness, daq: Path
) -> None:
    [forwarder] = await own_archiver.set(("--daq", str(daq), "--scan-time", f"{SCAN_S}"))
    await own_archiver.enable()
    await scanned(own_archiver, forwarder, 1)
    before = await own_archiver.image()
    with own_archiver.redis() as client:
        lost = client.hget(keys.COUNTERS, "forwarders_lost")
        message = RequestScan().model_dump_json()
        client.xadd(keys.Worker.HEALTH.mailbox, {"message": message})
    await scanned(own_archiver, forwarder, 2)

    name = await own_archiver.image()

    with own_archiver.redis() as client:
        assert client.hget(keys.COUNTERS, "forwarders_lost") == lost
        assert client.hget(keys.COUNTERS, "resends") is None
        assert client.hget(keys.image(name), "state") == "complete"
        assert client.hget(keys.image(before), "state") == "complete"
    assert own_archiver.paired() == forwarder.name


# Extended: tests/cli/test_catchup_names.py and tests/health/test_catch_up.py cover both halves.
@pytest.mark.extended
async def test_command_archives_only_the_named_exposure(
    own_archiver: ArchiverHarness, daq: Path
) -> None:
    await own_archiver.set(("--daq", str(daq)))
    names = [own_archiver.rig.take() for _ in range(2)]
    await polling.wait_for(lambda: len(list(daq.iterdir())) == 2, LIMIT_S, "two images in the DAQ")
    await own_archiver.enable()
    await polling.wait_for(lambda: set(names) <= set(missed(own_archiver)), LIMIT_S, "two missed")

    argv = [sys.executable, "-m", "ccarchiver_cli.main", "catchup", names[1]]
    done = await asyncio.to_thread(
        pace.run, argv, LIMIT_S, env=own_archiver.rig.env, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"1 of 1: {names[1]} complete" in done.stdout
    assert names[0] in missed(own_archiver)
    with own_archiver.redis() as client:
        assert client.hget(keys.image(names[1]), "state") == "complete"
