"""Forwarder, Controller and OODS together, with literal messages and broker restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.butler.query import datasets_by_image
from ccarchiver_sim.peers.camera.exposure import image_name
from ccarchiver_sim.peers.header_service.web import serve_folder
from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from tests.sim import wire_samples
from tests.sim.peer_rig import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sim.peer_rig import ArchiverEnd, Peers, SiteFolder

IMAGES = [image_name("20261122", number) for number in range(1, 4)]
FILES = [(image, sensor) for image in IMAGES for sensor in wire_samples.SENSORS]


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    with PrivateRabbit(tmp_path_factory.mktemp("rabbit")) as server:
        yield server


@pytest.fixture(scope="module")
def vhost(rabbit: PrivateRabbit) -> str:
    return rabbit.vhosts[0]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def take_image(archiver: ArchiverEnd, image: str, folder: Path, address: str) -> None:
    """Send the archiver's messages for one image and wait for each answer."""
    (folder / f"{image}.yaml").write_text(wire_samples.header_file(image), encoding="utf-8")
    header_url = f"{address}/{image}.yaml"
    archiver.send("archive_ctrl_consume", wire_samples.new_item(image))
    answer = archiver.receive(
        "cc_foreman_ack_publish", MSG_TYPE="NEW_CC_ARCHIVE_ITEM_ACK", IMAGE_ID=image
    )
    for name, message in (
        ("XFER_PARAMS", wire_samples.xfer_params(str(answer["TARGET_DIR"]), image)),
        ("END_READOUT", wire_samples.end_readout(image)),
        ("HEADER_READY", wire_samples.header_ready(header_url, image)),
    ):
        archiver.send("f99_consume", message)
        archiver.receive("cc_foreman_ack_publish", MSG_TYPE=f"CC_FWDR_{name}_ACK", IMAGE_ID=image)


def take_files(archiver: ArchiverEnd, queue: str, image: str, status: object) -> list[str]:
    """Return the statuses of an image's nine files; a killed broker may repeat old statuses."""
    reports = [
        archiver.receive(queue, OBSID=image, STATUS_CODE=status) for _ in wire_samples.SENSORS
    ]
    return [str(report["SENSOR"]) for report in reports]


def kill_and_start(
    archiver: ArchiverEnd, rabbit: PrivateRabbit, redis_server: PrivateRedis
) -> None:
    archiver.close()
    rabbit.kill()
    redis_server.kill()
    redis_server.start()
    archiver.redis.delete("f99_association")
    rabbit.start()
    archiver.reconnect()


def test_every_file_is_ingested_even_after_both_brokers_are_killed(
    archiver: ArchiverEnd,
    programs: Peers,
    site: SiteFolder,
    rabbit: PrivateRabbit,
    redis_server: PrivateRedis,
    tmp_path: Path,
) -> None:
    archiver.declare()
    started = [
        programs.start(name, wait_for_event=None) for name in ("forwarder", "controller", "oods")
    ]
    for peer in started:
        peer.wait_event("serving")
    with serve_folder(tmp_path, port=0) as address:
        take_image(archiver, IMAGES[0], tmp_path, address)
        assert take_files(archiver, "oods_publish_to_cc", IMAGES[0], 0) == list(
            wire_samples.SENSORS
        )
        kill_and_start(archiver, rabbit, redis_server)
        for image in IMAGES[1:]:
            take_image(archiver, image, tmp_path, address)
            assert take_files(archiver, "oods_publish_to_cc", image, 0) == list(
                wire_samples.SENSORS
            )

    wait_for(
        "the Forwarder's presence key", lambda: archiver.redis.get("f99_association") == "pong"
    )
    for image in IMAGES:
        assert take_files(archiver, "telemetry_queue", image, "0") == list(wire_samples.SENSORS)
    archive = site.settings.archive
    assert not [path for path in archive.forwarder_staging.rglob("*") if path.is_file()]
    expected = sorted(f"{image}-R22{sensor}.fits" for image, sensor in FILES)
    for tree in (archive.oods_staging, archive.dbb_staging):
        assert sorted(path.name for path in tree.rglob("*.fits")) == expected
    repository = archive.oods_staging.parent / "butler"
    assert datasets_by_image(repository, "LSSTComCam/raw/all") == dict.fromkeys(IMAGES, 9)
    assert [peer.stop() for peer in started] == [0, 0, 0]
