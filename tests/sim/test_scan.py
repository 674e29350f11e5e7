"""SCAN: the simulated Forwarder lists the images of the camera as the deployed one does."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.peers.common.daq import SECONDS_A_MINUTE, DaqCatalogue
from tests.sim import wire_samples
from tests.sim.test_forwarder import OWN_NAME, pair

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Peers

IMAGES = ("CC_O_20261122_000001", "CC_O_20261122_000002")
MINUTES = 10


def taken(daq: Path, *names: str, minutes_ago: float = 0.0) -> None:
    """Add images to the catalogue with the time at which they were taken."""
    for name in names:
        DaqCatalogue(daq).add(name)
        then = time.time() - minutes_ago * SECONDS_A_MINUTE
        os.utime(next(path for path in daq.iterdir() if path.name == name), (then, then))


def test_forwarder_lists_young_images_with_plain_names_and_keeps_older_entries(
    archiver: ArchiverEnd, peers: Peers, tmp_path: Path
) -> None:
    daq = tmp_path / "daq"
    taken(daq, IMAGES[0], minutes_ago=2)
    taken(daq, IMAGES[1], minutes_ago=1)
    taken(daq, "CC_O_20261121_000009", minutes_ago=2 * MINUTES)
    DaqCatalogue(daq).add("not/a plain-name")
    archiver.declare()
    peers.start("forwarder", *OWN_NAME, "--daq", str(daq))
    pair(archiver)
    archiver.redis.lpush(wire_samples.SCAN_KEY, "older")

    archiver.send("f99_consume", wire_samples.SCAN)

    assert archiver.receive(wire_samples.REPLIES) == {"MSG_TYPE": "SCAN_ACK"}
    assert archiver.redis.lrange(wire_samples.SCAN_KEY, 0, -1) == [IMAGES[1], IMAGES[0], "older"]


@pytest.mark.parametrize(
    ("folder", "scan"),
    [
        ("full", wire_samples.SCAN.replace("MINUTES: 10", "MINUTES: -1")),
        ("full", wire_samples.SCAN.replace("MINUTES: 10\n", "")),
        ("empty", wire_samples.SCAN),
        ("missing", wire_samples.SCAN),
    ],
    ids=["negative", "without minutes", "empty folder", "missing folder"],
)
def test_forwarder_does_not_answer(
    archiver: ArchiverEnd, peers: Peers, tmp_path: Path, folder: str, scan: str
) -> None:
    taken(tmp_path / "full", IMAGES[0])
    (tmp_path / "empty").mkdir()
    archiver.declare()
    peers.start("forwarder", *OWN_NAME, "--daq", str(tmp_path / folder))
    pair(archiver)

    archiver.send("f99_consume", scan)

    # The next message is answered, so the SCAN before it was handled.
    archiver.send("f99_consume", wire_samples.ASSOCIATED)
    assert archiver.receive(wire_samples.REPLIES)["MSG_TYPE"] == "ASSOCIATED_ACK"
    assert archiver.redis.exists(wire_samples.SCAN_KEY) == 0


def test_scan_blocks_the_forwarder(archiver: ArchiverEnd, peers: Peers, tmp_path: Path) -> None:
    taken(tmp_path / "daq", IMAGES[0])
    archiver.declare()
    peers.start("forwarder", *OWN_NAME, "--daq", str(tmp_path / "daq"), "--scan-time", "0.5")
    pair(archiver)

    archiver.send("f99_consume", wire_samples.SCAN)
    archiver.send("f99_consume", wire_samples.ASSOCIATED)

    kinds = [archiver.receive(wire_samples.REPLIES)["MSG_TYPE"] for _ in range(2)]
    assert kinds == ["SCAN_ACK", "ASSOCIATED_ACK"]
