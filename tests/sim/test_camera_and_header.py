from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml

from ccarchiver_sim.pace import scaled
from ccarchiver_sim.peers.camera.exposure import Exposure, image_name
from ccarchiver_sim.peers.camera.remote_control import CommandError, parse
from ccarchiver_sim.peers.common.daq import DaqCatalogue
from ccarchiver_sim.testbed.child_process import ChildProcess
from tests.sim.peer_rig import LIMIT_S, Peer, Peers, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SETTLE_S = 1.0
"""Time for the header service to discover the camera."""
DAY_MINUTES = 24 * 60


def settled() -> tuple[str, str]:
    """Return a camera's option to wait for discovery by the header service."""
    return "--settle", f"{scaled(SETTLE_S):.1f}"


@pytest.fixture(scope="module")
def sal_peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """Peers in their own SAL partition, with one header service for all tests."""
    partition = f"sim_tests_{os.getpid()}"
    environment = {
        "LSST_DDS_PARTITION_PREFIX": partition,
        "LSST_SITE": "test",
        "LSST_DDS_DOMAIN_ID": "0",
    }
    started = Peers(environment, tmp_path_factory.mktemp("sal"), as_programs=True)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def pair(sal_peers: Peers) -> tuple[Peer, Peer]:
    """Start a camera that reads commands and a header service, in parallel to save time."""
    camera = sal_peers.start("camera", *settled(), "--stdin", wait_for_event=None, with_stdin=True)
    headers = sal_peers.start("header_service", wait_for_event="ready")
    camera.wait_event("ready")
    return camera, headers


@pytest.fixture(scope="module")
def camera(pair: tuple[Peer, Peer]) -> Peer:
    return pair[0]


@pytest.fixture(scope="module")
def headers(pair: tuple[Peer, Peer]) -> Peer:
    return pair[1]


def send(camera: Peer, *commands: Mapping[str, object]) -> None:
    assert isinstance(camera.process, ChildProcess)
    camera.process.stdin.write("".join(json.dumps(command) + "\n" for command in commands))
    camera.process.stdin.flush()


def puts(peer: Peer, prefix: str) -> list[tuple[str, str]]:
    """Return the topic and image of each event that a peer put about images with a name prefix."""
    lines = [
        line
        for line in peer.events
        if line["event"] == "put" and str(line["image"]).startswith(prefix)
    ]
    return [(str(line["topic"]), str(line["image"])) for line in lines]


def wait_announced(headers: Peer, prefix: str, count: int) -> list[str]:
    def announced() -> list[str] | None:
        images = [image for _, image in puts(headers, prefix)]
        return images if len(images) >= count else None

    return wait_for(f"{count} headers", announced)


@pytest.mark.processes
def test_each_image_of_the_camera_gets_a_header_and_is_in_the_daq(
    sal_peers: Peers, headers: Peer, tmp_path: Path
) -> None:
    camera = sal_peers.start(
        "camera", *settled(), "--images", "2", "--cadence", "0", "--exposure", "0.1",
        "--date", "20261121", "--sequence-start", "7", "--daq", str(tmp_path / "daq"),
        wait_for_event=None,
    )  # fmt: skip

    assert camera.process.wait_ended(LIMIT_S) == 0
    first, second = image_name("20261121", 7), image_name("20261121", 8)
    assert puts(camera, "CC_O_20261121") == [
        ("startIntegration", first),
        ("endReadout", first),
        ("startIntegration", second),
        ("endReadout", second),
    ]
    assert wait_announced(headers, "CC_O_20261121", 2) == [first, second]
    assert DaqCatalogue(tmp_path / "daq").images(DAY_MINUTES, time.time()) == [first, second]


@pytest.mark.processes
def test_header_is_served_at_the_announced_address(camera: Peer, headers: Peer) -> None:
    image = "CC_O_20261122_000042"
    send(camera, {"take": {"image": image, "exposure": 0.2}})

    wait_announced(headers, image, 1)
    announcement = next(line for line in headers.events if line.get("image") == image)
    assert str(announcement["url"]).endswith(f"/CCHeaderService_header_{image}.yaml")
    with urllib.request.urlopen(str(announcement["url"])) as answer:  # noqa: S310 - our own server's address
        content = answer.read()
        assert answer.headers["Content-Type"] == "application/yaml"
    keywords = {entry["keyword"]: entry["value"] for entry in yaml.safe_load(content)["PRIMARY"]}
    assert (keywords["OBSID"], keywords["EXPTIME"], keywords["SEQNUM"]) == (image, 0.2, 42)
    assert announcement["checksum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.processes
def test_each_readout_of_a_burst_gets_a_header_in_order(camera: Peer, headers: Peer) -> None:
    images = [image_name("20261123", number) for number in range(200)]
    assert isinstance(headers.process, ChildProcess)
    headers.process.freeze()  # as a busy machine does: all of them wait in its reader
    send(camera, *({"end": image} for image in images))
    wait_for("each endReadout", lambda: len(puts(camera, "CC_O_20261123")) == len(images))
    headers.process.thaw()

    assert wait_announced(headers, "CC_O_20261123", len(images)) == images


@pytest.mark.processes
def test_camera_reports_an_invalid_line_and_continues_until_quit(camera: Peer) -> None:
    send(camera, {"explode": 1}, {"start": "CC_O_20261124_000001"}, {"quit": True})

    assert camera.process.wait_ended(LIMIT_S) == 0
    assert [line["problem"] for line in camera.events if line["event"] == "error"]
    assert puts(camera, "CC_O_20261124") == [("startIntegration", "CC_O_20261124_000001")]


@pytest.mark.processes
def test_header_service_ends_cleanly(headers: Peer) -> None:
    assert headers.stop() == 0


def test_camera_commands_accept_short_and_full_image_names() -> None:
    assert parse('{"start": "A"}') == ("start", Exposure(image="A"))
    full = '{"take": {"image": "A", "exposure": 2, "index": 1, "in_sequence": 3}}'
    assert parse(full) == ("take", Exposure(image="A", seconds=2.0, index=1, in_sequence=3))
    assert parse('{"quit": true}') == ("quit", None)


@pytest.mark.parametrize(
    "line",
    ["", "take", "[]", "{}", '{"take": 1}', '{"take": {}}', '{"take": {"image": 1}}',
     '{"take": {"image": "A", "x": 1}}', '{"take": {"image": "A", "exposure": "long"}}',
     '{"take": {"image": "A", "index": true}}', '{"start": "A", "end": "A"}'],
)  # fmt: skip
def test_invalid_camera_command_is_rejected(line: str) -> None:
    with pytest.raises(CommandError, match="for example"):
        parse(line)
