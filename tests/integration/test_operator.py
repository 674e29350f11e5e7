"""What an operator does, with the whole archiver at work: each command as the program it is."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys, ledger
from ccarchiver_core.redis_client import make_client
from ccarchiver_core.settings import load_settings
from ccarchiver_sim.rig import waiting
from tests.cli.operator import Answer
from tests.support.scribe import Scribe, fields_of
from tests.support.stage import LIMIT_S

if TYPE_CHECKING:
    from tests.support.stage import Stage

SETTINGS = {"STALLED_AFTER": 5}

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

WELL, WRONG = 0, 1


async def type_in(stage: Stage, *words: str) -> Answer:
    """Run `ccarchiver` with the environment of the site."""
    program = shutil.which("ccarchiver", path=stage.rig.env["PATH"])
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, *words, env=stage.rig.env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Answer(process.returncode, out.decode(), err.decode())


async def until_answered(stage: Stage, wanted: str, *words: str) -> Answer:
    """Run a command again and again until its answer has some words."""
    last = Answer(-1, "", "")

    async def answered() -> bool:
        nonlocal last
        last = await type_in(stage, *words)
        return wanted in last.words

    await waiting.until_async(answered, LIMIT_S, lambda: f"{wanted!r} from {words}; the last answer was {last}")
    return last


async def test_an_exposure_is_followed_from_its_first_event_to_its_last(stage: Stage) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)

    during = await until_answered(stage, "the camera's endReadout", "status")
    assert during.code == WELL, during
    for part in ("CCArchiver ENABLED", "no alarms", f"{forwarder.name} on queue", name):
        assert part in during.words
    await until_answered(stage, "connected for", "status")  # the bridge's vital signs say so, once a second

    stage.rig.end_exposure(name)
    await stage.completed(name)
    after = await until_answered(stage, "state complete", "image", name)
    assert after.code == WELL
    for part in ("startIntegration heard", "CC_FWDR_XFER_PARAMS answered", "22 S00 retrieved", "22 S22 ingested"):
        assert part in after.words
    by_number = (await type_in(stage, "image", name.rpartition("_")[2].lstrip("0"), "--json")).json
    assert by_number["image"] == name
    assert {ccd["state"] for ccd in by_number["ccds"]} == {"ingested"}
    listed = (await type_in(stage, "images", "--state", "complete", "--json")).json
    assert [line["image"] for line in listed] == [name]
    night = await type_in(stage, "night")
    assert (night.code, "complete: nothing is missing" in night.words) == (WELL, True), night


async def test_the_records_other_tests_make_are_those_of_the_archiver(stage: Stage) -> None:
    [listed] = (await type_in(stage, "images", "--state", "complete", "--json", "--last", "1")).json
    settings = load_settings(stage.rig.folder.site_file)
    redis = make_client(settings)
    try:
        scribe = Scribe(redis, settings)
        real = fields_of(await ledger.read_record(redis, listed["image"]))
        await scribe.exposure("made", 0, 0.0)
        made = fields_of(await ledger.read_record(redis, "made"))
        await redis.delete(keys.image("made"))
        await redis.zrem(keys.IMAGES, "made")
    finally:
        await redis.aclose()
    assert made == real


async def test_a_worker_that_is_down_is_named_with_what_to_do(stage: Stage) -> None:
    await stage.set(())
    await stage.enable()
    await asyncio.to_thread(stage.rig.supervisor.stop_worker, "bridge")
    try:
        answer = await until_answered(stage, "worker ccarchiver:bridge shows no life", "status")
        assert answer.code == WRONG
        assert "supervisorctl restart ccarchiver:bridge" in answer.words
        assert "not known: the bridge is away" in answer.words
    finally:
        await asyncio.to_thread(stage.rig.supervisor.start_worker, "bridge")
    await until_answered(stage, "connected for", "status")
    await stage.image()


async def test_a_stalled_image_is_replayed(stage: Stage) -> None:
    [forwarder] = await stage.set(())
    await stage.enable()
    name = await stage.begun(forwarder)
    story = (await until_json(stage, "target_dir", "image", name, "--json")).json
    directory = Path(story["target_dir"])
    away = directory.with_name("away")
    in_the_way(directory, away)  # the Forwarder cannot copy, and nobody tells it to try again
    stage.rig.end_exposure(name)

    stalled = await until_answered(stage, '"name": "images_stalled"', "status", "--json")
    assert stalled.code == WRONG
    told = await type_in(stage, "image", name)
    assert told.code == WRONG
    assert "0 of 9 files retrieved" in told.words
    assert "5612" in told.words
    out_of_the_way(directory, away)
    replayed = await until_answered(stage, f"{name}: sent again: CC_FWDR_XFER_PARAMS", "night", "--replay")

    assert replayed.code == WELL, replayed
    await stage.completed(name)
    again = await until_answered(stage, "state complete", "image", name)
    assert "CC_FWDR_XFER_PARAMS (earlier pairing) sent" in again.words
    assert "orders sent again by an operator" in again.words
    acks = {message["ACK_ID"] for message in stage.tap.heard("CC_FWDR_XFER_PARAMS", IMAGE_ID=name)}
    assert len(acks) == 1, "the same order has the same ACK_ID"


async def test_a_released_forwarder_is_replaced_and_the_next_one_finishes_its_images(stage: Stage) -> None:
    first, second = await stage.set(("--fail-code", "5612"), ())
    await stage.enable()
    shown = await until_answered(stage, f"{first.name} on queue", "pair", "show")
    assert second.name in shown.words
    assert (await type_in(stage, "pair", "next", "--json")).json["next"] == f"{second.name}_consume"
    mark = stage.sal.mark
    name = await stage.begun(first)
    stage.rig.end_exposure(name)
    await until_answered(stage, "5612", "image", name)

    released = await type_in(stage, "pair", "release", "--yes")

    assert released.code == WELL, released
    assert f"{second.name}: paired, epoch" in released.words
    await stage.completed(name)
    assert stage.paired() == second.name
    assert not stage.sal.error_codes(since=mark)
    refused = await type_in(stage, "pair", "next", second.name)
    assert (refused.code, "is paired" in refused.err) == (WRONG, True)


async def until_json(stage: Stage, field: str, *words: str) -> Answer:
    """Run a command until a field of its answer is not empty."""
    last = Answer(-1, "", "")

    async def answered() -> bool:
        nonlocal last
        last = await type_in(stage, *words)
        return bool(last.json[field])

    await waiting.until_async(answered, LIMIT_S, lambda: f"{field} from {words}; the last answer was {last}")
    return last


def in_the_way(directory: Path, away: Path) -> None:
    """Have a file stand where a directory was."""
    directory.rename(away)
    directory.touch()


def out_of_the_way(directory: Path, away: Path) -> None:
    """Have the directory in its place again."""
    directory.unlink()
    away.rename(directory)
