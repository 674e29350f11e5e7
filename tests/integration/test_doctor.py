"""``ccarchiver doctor`` on a running archiver: healthy, and with a stopped worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.doctor import Doctor, checks_of

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness
    from tests.support.cli_server import CliServer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def doctor(harness: ArchiverHarness, cli_server: CliServer) -> Doctor:
    """Return the doctor of an archiver that is ENABLED."""
    await harness.set(())
    await harness.enable()
    ready = Doctor(cli_server, harness.rig)
    await ready.settled()
    return ready


async def test_doctor_finds_nothing_wrong_in_a_running_archiver(doctor: Doctor) -> None:
    assert await doctor.report(0) == []


async def test_doctor_fits_a_narrow_terminal_and_shows_no_password(
    harness: ArchiverHarness, doctor: Doctor
) -> None:
    done = await doctor.run()
    assert done.returncode == 0
    assert not done.stderr
    long = [
        line
        for line in done.stdout.splitlines()
        if len(line) > 80 and str(harness.rig.folder.root) not in line
    ]
    assert not long
    assert harness.rig.rabbit.password not in done.stdout
    assert done.stdout.splitlines()[-1].endswith(", failures: 0")


async def test_doctor_reports_a_stopped_worker(harness: ArchiverHarness, doctor: Doctor) -> None:
    await asyncio.to_thread(harness.rig.supervisor.stop_worker, "bridge")
    bad = await doctor.report(1)
    assert checks_of(bad) == {"rabbitmq.consumers", "supervisor", "worker.bridge"}
    [finding] = [one for one in bad if one["check"] == "supervisor"]
    assert finding["remedy"] == "supervisorctl start ccarchiver:bridge"
    await asyncio.to_thread(harness.rig.supervisor.start_worker, "bridge")
    await doctor.settled()
