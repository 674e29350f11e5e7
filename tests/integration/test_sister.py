"""The archiver as ATArchiver, by its example site file alone: one CCD and other SAL names."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.sal_observer import INGESTED, RETRIEVED
from ccarchiver_sim.testbed.site import settings_of
from tests.support.archiver_harness import LIMIT_S, queue_of

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness

SITE_FILE = Path(__file__).parent.parent.parent / "deploy" / "examples" / "atarchiver_config.yaml"

SETTINGS = settings_of(SITE_FILE)

# Extended: tests/core/test_sisters.py covers the names that each sister reads and sends.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]


async def start(
    own_archiver: ArchiverHarness, program: str, *words: str
) -> asyncio.subprocess.Process:
    """Start a program with the environment of the site."""
    path = shutil.which(program, path=own_archiver.rig.env["PATH"])
    assert path is not None
    pipe, stdout = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    return await asyncio.create_subprocess_exec(
        path, *words, env=own_archiver.rig.env, stdin=pipe, stdout=pipe, stderr=stdout
    )


async def test_two_exposures_of_latiss_are_archived(own_archiver: ArchiverHarness) -> None:
    [forwarder] = await own_archiver.set(())
    await own_archiver.enable()

    names = [await own_archiver.image(), await own_archiver.image()]

    assert own_archiver.expected == 1
    assert own_archiver.sal.csc == "ATArchiver"
    for name in names:
        assert name.startswith("AT_O_")
        for topic in (RETRIEVED, INGESTED):
            [event] = own_archiver.sal.of(topic, obsid=name)
            reported = {
                key: event.fields[key]
                for key in ("camera", "archiverName", "raft", "sensor", "statusCode")
            }
            assert reported == {
                "camera": "LATISS",
                "archiverName": "ATArchiver",
                "raft": "00",
                "sensor": "S00",
                "statusCode": 0,
            }
    [instruction] = own_archiver.tap.published(
        "AT_FWDR_XFER_PARAMS", queue_of(forwarder.name), IMAGE_ID=names[0]
    )
    assert instruction["XFER_PARAMS"]["RAFT_CCD_LIST"] == ["00/0"]
    assert own_archiver.paired() == forwarder.name


async def test_operators_see_the_name_of_the_sister_archiver(own_archiver: ArchiverHarness) -> None:
    status = await start(own_archiver, "ccarchiver", "status", "--json")
    overview = json.loads((await status.communicate())[0])
    assert overview["archiver"] == "ATArchiver"
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{own_archiver.rig.status_url}api/snapshot") as answer,
    ):
        snapshot = await answer.json()
    assert snapshot["overview"]["archiver"] == "ATArchiver"
    assert [ccd["sensor"] for ccd in snapshot["overview"]["recent"][0]["ccds"]] == ["S00"]


async def test_commander_connects_to_the_sister_archiver(own_archiver: ArchiverHarness) -> None:
    """Check that the commander prints the CSC's events; with another name it prints none."""
    process = await start(own_archiver, "command_ccarchiver")
    assert process.stdin is not None
    assert process.stdout is not None
    received = ""
    try:
        async with within(LIMIT_S):
            while "summaryState=<State.ENABLED" not in received:
                line = await process.stdout.readline()
                assert line, received
                received += line.decode()
            process.stdin.write(b"exit\n")
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
