"""What an operator does when something is wrong, with the whole archiver at work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.archiver_harness import ArchiverHarness
    from tests.support.cli_server import CliServer

SETTINGS = {"STALLED_AFTER": 5}

# Extended: tests/cli has these commands, test_doctor.py a stopped worker, test_takeover.py the next Forwarder.
pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.asyncio(loop_scope="module")]

WELL, WRONG = 0, 1


@pytest.fixture
def terminal(own_stage: ArchiverHarness, cli_server: CliServer) -> Terminal:
    return Terminal(cli_server, own_stage.rig)


async def test_a_worker_that_is_down_is_named_with_what_to_do(own_stage: ArchiverHarness, terminal: Terminal) -> None:
    await own_stage.set(())
    await own_stage.enable()
    await asyncio.to_thread(own_stage.rig.supervisor.stop_worker, "bridge")
    try:
        answer = await terminal.until_answered("worker ccarchiver:bridge shows no life", "status")
        assert answer.code == WRONG
        assert "supervisorctl restart ccarchiver:bridge" in answer.words
        assert "not known: the bridge is away" in answer.words
    finally:
        await asyncio.to_thread(own_stage.rig.supervisor.start_worker, "bridge")
    await terminal.until_answered("connected for", "status")
    await own_stage.image()


async def test_a_stalled_image_is_replayed(own_stage: ArchiverHarness, terminal: Terminal) -> None:
    [forwarder] = await own_stage.set(())
    await own_stage.enable()
    name = await own_stage.begun(forwarder)
    story = (await terminal.until_json("target_dir", "image", name, "--json")).json
    directory = Path(story["target_dir"])
    away = directory.with_name("away")
    in_the_way(directory, away)  # the Forwarder cannot copy, and nobody tells it to try again
    own_stage.rig.end_exposure(name)

    stalled = await terminal.until_answered('"name": "images_stalled"', "status", "--json")
    assert stalled.code == WRONG
    told = await terminal.type_in("image", name)
    assert told.code == WRONG
    assert "0 of 9 files retrieved" in told.words
    assert "5612" in told.words
    out_of_the_way(directory, away)
    replayed = await terminal.until_answered(f"{name}: sent again: CC_FWDR_XFER_PARAMS", "night", "--replay")

    assert replayed.code == WELL, replayed
    await own_stage.completed(name)
    again = await terminal.until_answered("state complete", "image", name)
    assert "CC_FWDR_XFER_PARAMS (earlier pairing) sent" in again.words
    assert "orders sent again by an operator" in again.words
    acks = {message["ACK_ID"] for message in own_stage.tap.heard("CC_FWDR_XFER_PARAMS", IMAGE_ID=name)}
    assert len(acks) == 1, "the same order has the same ACK_ID"


async def test_a_released_forwarder_is_replaced_and_the_next_one_finishes_its_images(
    own_stage: ArchiverHarness, terminal: Terminal
) -> None:
    first, second = await own_stage.set(("--fail-code", "5612"), ())
    await own_stage.enable()
    shown = await terminal.until_answered(f"{first.name} on queue", "pair", "show")
    assert second.name in shown.words
    assert (await terminal.type_in("pair", "next", "--json")).json["next"] == f"{second.name}_consume"
    mark = own_stage.sal.mark
    name = await own_stage.begun(first)
    own_stage.rig.end_exposure(name)
    await terminal.until_answered("5612", "image", name)

    released = await terminal.type_in("pair", "release", "--yes")

    assert released.code == WELL, released
    assert f"{second.name}: paired, epoch" in released.words
    await own_stage.completed(name)
    assert own_stage.paired() == second.name
    assert not own_stage.sal.error_codes(since=mark)
    refused = await terminal.type_in("pair", "next", second.name)
    assert (refused.code, "is paired" in refused.err) == (WRONG, True)


def in_the_way(directory: Path, away: Path) -> None:
    """Have a file stand where a directory was."""
    directory.rename(away)
    directory.touch()


def out_of_the_way(directory: Path, away: Path) -> None:
    """Have the directory in its place again."""
    directory.unlink()
    away.rename(directory)
