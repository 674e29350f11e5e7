from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.peers.controller.staging import observing_day
from tests.sim import wire_samples
from tests.sim.peer_rig import wait_for

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRabbit
    from tests.sim.peer_rig import ArchiverEnd, Body, Peers, SiteFolder


def arrived(site: SiteFolder, sensor: str = "S00") -> Path:
    directory = site.settings.archive.forwarder_staging / "2026-11-22"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{wire_samples.IMAGE}-R22{sensor}.fits"
    path.write_bytes(b"pixels")
    return path


@pytest.mark.parametrize(
    ("moment", "day"),
    [("2026-11-22T11:59:59+00:00", "2026-11-21"), ("2026-11-22T12:00:00+00:00", "2026-11-22")],
)
def test_observing_day_changes_at_noon_utc(moment: str, day: str) -> None:
    assert observing_day(dt.datetime.fromisoformat(moment)) == day


def test_controller_creates_and_returns_the_directory_of_the_day(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("controller")
    before = observing_day(dt.datetime.now(dt.UTC))
    archiver.send("archive_ctrl_consume", wire_samples.new_item())

    answer = archiver.receive("cc_foreman_ack_publish")
    day = Path(str(answer["TARGET_DIR"])).name
    assert day in (before, observing_day(dt.datetime.now(dt.UTC)))
    directory = site.settings.archive.forwarder_staging / day
    assert directory.is_dir()
    assert answer == {
        "MSG_TYPE": "NEW_CC_ARCHIVE_ITEM_ACK",
        "TARGET_DIR": f"{directory}/",
        "ACK_ID": f"{wire_samples.SESSION}_3",
        "JOB_NUM": 1,
        "IMAGE_ID": wire_samples.IMAGE,
        "COMPONENT": "ARCHIVE_CTRL",
        "ACK_BOOL": "TRUE",
        "SESSION_ID": wire_samples.SESSION,
    }


def test_controller_answers_health_checks_on_its_configured_queue(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    archiver.declare()
    peers.start("controller")
    archiver.send("archive_ctrl_consume", wire_samples.ARCHIVE_HEALTH_CHECK)

    assert archiver.receive("cc_foreman_ack_publish") == {
        "MSG_TYPE": "ARCHIVE_HEALTH_CHECK_ACK",
        "COMPONENT": "ARCHIVE_CTRL",
        "ACK_BOOL": "TRUE",
        "ACK_ID": f"{wire_samples.SESSION}_1",
        "SESSION_ID": wire_samples.SESSION,
    }


def test_controller_answers_over_the_message_exchange_only(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    archiver.declare()
    archiver.unbind("cc_foreman_ack_publish")
    controller = peers.start("controller")
    archiver.send("archive_ctrl_consume", wire_samples.ARCHIVE_HEALTH_CHECK)

    controller.wait_logged("no queue for messages to cc_foreman_ack_publish")
    assert archiver.depth("cc_foreman_ack_publish") == 0


def test_controller_links_a_file_into_both_trees_on_repeated_messages(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("controller")
    path = arrived(site)
    archive = site.settings.archive
    message = wire_samples.file_transferred(str(path).replace("2026-11-22/", "2026-11-22//"))
    requests: list[Body] = []
    for _ in range(2):
        archiver.send("archive_ctrl_consume", message)
        requests.append(archiver.receive("cc_publish_to_oods"))
        ack = archiver.receive("f99_consume")
        assert (ack["MSG_TYPE"], ack["SENSOR"], ack["JOB_NUM"]) == (
            "FILE_TRANSFER_COMPLETED_ACK",
            "S00",
            "1",
        )

    linked = archive.oods_staging / "2026-11-22" / path.name
    assert linked.samefile(archive.dbb_staging / "2026-11-22" / path.name)
    assert not path.exists()
    assert requests[0] == requests[1]
    assert requests[0] == {
        "MSG_TYPE": "CC_FILE_INGEST_REQUEST",
        "CAMERA": "COMCAM",
        "ARCHIVER": "CCArchiver",
        "OBSID": wire_samples.IMAGE,
        "RAFT": "22",
        "SENSOR": "S00",
        "FILENAME": str(linked),
    }


def test_controller_answers_others_while_the_queue_of_a_forwarder_rejects_messages(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder, rabbit: PrivateRabbit, vhost: str
) -> None:
    archiver.declare()
    peers.start("controller")
    rabbit.reject_messages(vhost, "f99_consume")
    try:
        archiver.send("archive_ctrl_consume", wire_samples.file_transferred(str(arrived(site))))
        archiver.receive("cc_publish_to_oods")
        archiver.send("archive_ctrl_consume", wire_samples.ARCHIVE_HEALTH_CHECK)
        assert archiver.receive("cc_foreman_ack_publish")["MSG_TYPE"] == "ARCHIVE_HEALTH_CHECK_ACK"
    finally:
        rabbit.accept_messages(vhost)
    assert archiver.receive("f99_consume")["MSG_TYPE"] == "FILE_TRANSFER_COMPLETED_ACK"


def test_controller_replaces_a_file_that_is_sent_again(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("controller")
    for content in (b"half", b"whole"):
        path = arrived(site)
        path.write_bytes(content)
        archiver.send("archive_ctrl_consume", wire_samples.file_transferred(str(path)))
        archiver.receive("cc_publish_to_oods")

    for tree in (site.settings.archive.oods_staging, site.settings.archive.dbb_staging):
        assert [file.read_bytes() for file in (tree / "2026-11-22").iterdir()] == [b"whole"]


def test_controller_reports_files_it_cannot_link(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("controller")
    for name in ("gone.fits", "../../../outside.fits"):
        filename = str(arrived(site).parent / name)
        archiver.send("archive_ctrl_consume", wire_samples.file_transferred(filename))

        report = archiver.receive("archive_ctrl_publish")
        assert (report["MSG_TYPE"], report["STATUS_CODE"]) == ("IMAGE_IN_OODS", 1)
        assert (report["OBSID"], report["FILENAME"], report["SENSOR"]) == (
            wire_samples.IMAGE,
            filename,
            "S00",
        )
    assert archiver.depth("cc_publish_to_oods") == 0


def test_controller_still_answers_after_invalid_messages(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    staging = site.settings.archive.forwarder_staging
    staging.parent.mkdir()
    staging.write_text("a file where a directory should be", encoding="utf-8")
    archiver.send("archive_ctrl_consume", wire_samples.new_item())
    peers.start("controller")
    for poison in (
        b"",
        b"- a list",
        b"{unclosed",
        b"MSG_TYPE: NOT_KNOWN",
        b"no: type",
        b"MSG_TYPE: NEW_CC_ARCHIVE_ITEM",
    ):
        archiver.send("archive_ctrl_consume", poison)
    archiver.send("archive_ctrl_consume", wire_samples.ARCHIVE_HEALTH_CHECK)

    assert archiver.receive("cc_foreman_ack_publish")["MSG_TYPE"] == "ARCHIVE_HEALTH_CHECK_ACK"
    wait_for("an empty queue", lambda: archiver.depth("archive_ctrl_consume") == 0)


def test_controller_fault_options_are_obeyed(archiver: ArchiverEnd, peers: Peers) -> None:
    archiver.declare()
    hostile = "/x; rm -rf y/../"
    peers.start(
        "controller",
        "--negative",
        "--ack-delay",
        "0.1",
        "--mute",
        "ARCHIVE_HEALTH_CHECK",
        "--target-dir",
        hostile,
    )
    archiver.send("archive_ctrl_consume", wire_samples.ARCHIVE_HEALTH_CHECK)
    archiver.send("archive_ctrl_consume", wire_samples.new_item())

    answer = archiver.receive("cc_foreman_ack_publish")
    assert (answer["MSG_TYPE"], answer["ACK_BOOL"]) == ("NEW_CC_ARCHIVE_ITEM_ACK", "FALSE")
    assert answer["TARGET_DIR"] == hostile


def test_controller_ack_delay_applies_only_to_acknowledgements(
    archiver: ArchiverEnd, peers: Peers, site: SiteFolder
) -> None:
    archiver.declare()
    peers.start("controller", "--ack-delay", "3600")
    archiver.send("archive_ctrl_consume", wire_samples.new_item())
    archiver.send(
        "archive_ctrl_consume",
        wire_samples.file_transferred(str(arrived(site).parent / "gone.fits")),
    )

    assert archiver.receive("archive_ctrl_publish")["MSG_TYPE"] == "IMAGE_IN_OODS"
    assert archiver.depth("cc_foreman_ack_publish") == 0
