"""Commands of an operator on a running archiver with a fault."""

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

# Extended: tests/cli covers these commands, test_doctor.py and test_takeover.py the faults.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,
    pytest.mark.asyncio(loop_scope="module"),
]

WELL, WRONG = 0, 1


@pytest.fixture
def terminal(own_archiver: ArchiverHarness, cli_server: CliServer) -> Terminal:
    return Terminal(cli_server, own_archiver.rig)


async def test_stopped_worker_is_named_with_a_remedy(
    own_archiver: ArchiverHarness, terminal: Terminal
) -> None:
    await own_archiver.set(())
    await own_archiver.enable()
    await asyncio.to_thread(own_archiver.rig.supervisor.stop_worker, "bridge")
    try:
        answer = await terminal.until_output(
            "worker ccarchiver:bridge sends no heartbeat", "status"
        )
        assert answer.code == WRONG
        assert "supervisorctl restart ccarchiver:bridge" in answer.words
        assert "unknown: the bridge is down" in answer.words
    finally:
        await asyncio.to_thread(own_archiver.rig.supervisor.start_worker, "bridge")
    await terminal.until_output("connected for", "status")
    await own_archiver.image()


async def test_night_replay_completes_a_stalled_image(
    own_archiver: ArchiverHarness, terminal: Terminal
) -> None:
    [forwarder] = await own_archiver.set(())
    await own_archiver.enable()
    name = await own_archiver.begun(forwarder)
    story = (await terminal.until_json("target_dir", "image", name, "--json")).json
    directory = Path(story["target_dir"])
    moved = directory.with_name("moved")
    block(directory, moved)  # the Forwarder cannot copy, and no message makes it retry
    own_archiver.rig.end_exposure(name)

    stalled = await terminal.until_output('"name": "images_stalled"', "status", "--json")
    assert stalled.code == WRONG
    shown = await terminal.run("image", name)
    assert shown.code == WRONG
    assert "0 of 9 files retrieved" in shown.words
    assert "5612" in shown.words
    unblock(directory, moved)
    replayed = await terminal.until_output(
        f"{name}: sent again: CC_FWDR_XFER_PARAMS", "night", "--replay"
    )

    assert replayed.code == WELL, replayed
    await own_archiver.completed(name)
    again = await terminal.until_output("state complete", "image", name)
    assert "CC_FWDR_XFER_PARAMS (earlier pairing) sent" in again.words
    assert "replayed by an operator" in again.words
    acks = {
        message["ACK_ID"]
        for message in own_archiver.tap.published("CC_FWDR_XFER_PARAMS", IMAGE_ID=name)
    }
    assert len(acks) == 1, "a resent instruction keeps its ACK_ID"


async def test_released_forwarder_is_replaced_and_the_next_one_finishes_its_images(
    own_archiver: ArchiverHarness, terminal: Terminal
) -> None:
    first, second = await own_archiver.set(("--fail-code", "5612"), ())
    await own_archiver.enable()
    shown = await terminal.until_output(f"{first.name} on queue", "pair", "show")
    assert second.name in shown.words
    assert (await terminal.run("pair", "next", "--json")).json["next"] == f"{second.name}_consume"
    position = own_archiver.sal.position
    name = await own_archiver.begun(first)
    own_archiver.rig.end_exposure(name)
    await terminal.until_output("5612", "image", name)

    released = await terminal.run("pair", "release", "--yes")

    assert released.code == WELL, released
    assert f"{second.name}: paired, epoch" in released.words
    await own_archiver.completed(name)
    assert own_archiver.paired() == second.name
    assert not own_archiver.sal.error_codes(since=position)
    refused = await terminal.run("pair", "next", second.name)
    assert (refused.code, "is paired" in refused.err) == (WRONG, True)


def block(directory: Path, moved: Path) -> None:
    """Replace a directory by a file, so that it cannot be written."""
    directory.rename(moved)
    directory.touch()


def unblock(directory: Path, moved: Path) -> None:
    """Restore the directory."""
    directory.unlink()
    moved.rename(directory)
