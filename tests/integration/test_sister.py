"""The same code as ATArchiver, by its example site file alone: one CCD, other names on SAL and in every message."""

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

# Extended: tests/core/test_sisters.py has the names of each sister in what is read and sent.
pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.asyncio(loop_scope="module")]


async def start(own_stage: ArchiverHarness, program: str, *words: str) -> asyncio.subprocess.Process:
    """Start a program with the site's environment."""
    path = shutil.which(program, path=own_stage.rig.env["PATH"])
    assert path is not None
    pipe, stdout = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    return await asyncio.create_subprocess_exec(
        path, *words, env=own_stage.rig.env, stdin=pipe, stdout=pipe, stderr=stdout
    )


async def test_two_exposures_of_latiss_are_archived(own_stage: ArchiverHarness) -> None:
    [forwarder] = await own_stage.set(())
    await own_stage.enable()

    names = [await own_stage.image(), await own_stage.image()]

    assert own_stage.expected == 1
    assert own_stage.sal.csc == "ATArchiver"
    for name in names:
        assert name.startswith("AT_O_")
        for topic in (RETRIEVED, INGESTED):
            [event] = own_stage.sal.of(topic, obsid=name)
            reported = {key: event.fields[key] for key in ("camera", "archiverName", "raft", "sensor", "statusCode")}
            assert reported == {
                "camera": "LATISS",
                "archiverName": "ATArchiver",
                "raft": "00",
                "sensor": "S00",
                "statusCode": 0,
            }
    [order] = own_stage.tap.heard("AT_FWDR_XFER_PARAMS", queue_of(forwarder.name), IMAGE_ID=names[0])
    assert order["XFER_PARAMS"]["RAFT_CCD_LIST"] == ["00/0"]
    assert own_stage.paired() == forwarder.name


async def test_operators_see_its_name(own_stage: ArchiverHarness) -> None:
    status = await start(own_stage, "ccarchiver", "status", "--json")
    overview = json.loads((await status.communicate())[0])
    assert overview["archiver"] == "ATArchiver"
    async with aiohttp.ClientSession() as session, session.get(f"{own_stage.rig.status_url}api/snapshot") as answer:
        snapshot = await answer.json()
    assert snapshot["overview"]["archiver"] == "ATArchiver"
    assert [ccd["sensor"] for ccd in snapshot["overview"]["recent"][0]["ccds"]] == ["S00"]


async def test_the_commander_meets_it(own_stage: ArchiverHarness) -> None:
    """It says what it hears of the CSC: nothing, were its name another."""
    process = await start(own_stage, "command_ccarchiver")
    assert process.stdin is not None
    assert process.stdout is not None
    heard = ""
    try:
        async with within(LIMIT_S):
            while "summaryState=<State.ENABLED" not in heard:
                line = await process.stdout.readline()
                assert line, heard
                heard += line.decode()
            process.stdin.write(b"exit\n")
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
