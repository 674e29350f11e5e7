from __future__ import annotations

import functools
import http.server
import json
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import redis
from astropy.io import fits

from tests.sim import wire_samples
from tests.sim.peer_rig import LIMIT_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRedis
    from tests.sim.peer_rig import ArchiverEnd, Body, Peers

OWN_NAME = ("--hostname", "comfwd", "--ip", "127.0.0.1")


@pytest.fixture
def header_url(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "headers"
    folder.mkdir()
    (folder / "header.yaml").write_text(wire_samples.HEADER_FILE, encoding="utf-8")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/header.yaml"
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "staging" / "forwarder" / "2026-11-22"
    directory.mkdir(parents=True)
    return directory


def answers(archiver: ArchiverEnd, count: int) -> list[Body]:
    return [archiver.receive("cc_foreman_ack_publish") for _ in range(count)]


def pair(archiver: ArchiverEnd) -> None:
    archiver.redis.set("ccarchiver_association", "comfwd")
    archiver.send("f99_consume", wire_samples.ASSOCIATED)
    archiver.receive("cc_foreman_ack_publish")


def test_forwarder_registers_and_writes_its_presence_key_before_its_queue_exists(
    archiver: ArchiverEnd, peers: Peers, redis_server: PrivateRedis
) -> None:
    with redis.Redis(port=redis_server.port, db=1) as own_database:
        own_database.set("left", "over")
        forwarder = peers.start("forwarder", *OWN_NAME, wait_for_event="ready")
        assert own_database.dbsize() == 0

    entry = wait_for("entry in the list", lambda: archiver.redis.rpop("forwarder_list"))
    assert json.loads(str(entry)) == {
        "hostname": "comfwd",
        "ip_address": "127.0.0.1",
        "consume_queue": "f99_consume",
    }
    wait_for("presence key", lambda: archiver.redis.get("f99_association") == "pong")
    # A Forwarder that waits for a processor may renew the key late.
    wait_for(
        "presence key that ends", lambda: 0 < int(archiver.redis.pttl("f99_association")) <= 10_000
    )
    assert forwarder.stop() == 0


def test_forwarder_without_a_wait_exits_with_an_error_if_its_queue_is_missing(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    assert archiver.redis.ping()
    forwarder = peers.start("forwarder", "--no-wait-for-queue", wait_for_event=None)

    assert forwarder.process.wait_ended(LIMIT_S) == 1
    assert "queue f99_consume does not exist" in forwarder.log
    assert "--wait-for-queue" in forwarder.log


def test_second_consumer_of_a_forwarder_queue_exits_with_an_error(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    archiver.declare()
    peers.start("forwarder")
    second = peers.start("forwarder", wait_for_event=None)

    assert second.process.wait_ended(LIMIT_S) == 1
    assert "another process consumes it" in second.log


def test_forwarder_does_not_empty_the_archiver_database(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    archiver.redis.set("precious", "1")
    number = str(archiver.redis.get_connection_kwargs()["db"])
    forwarder = peers.start("forwarder", "--redis-db", number, wait_for_event=None)

    assert forwarder.process.wait_ended(LIMIT_S) == 1
    assert "belongs to the archiver" in forwarder.log
    assert archiver.redis.get("precious") == "1"


def test_forwarder_acknowledges_associated_in_flow_style_over_the_default_exchange(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    archiver.declare()
    archiver.unbind("cc_foreman_ack_publish")
    peers.start("forwarder", *OWN_NAME)
    archiver.redis.set("ccarchiver_association", "comfwd")
    archiver.send("f99_consume", wire_samples.ASSOCIATED)

    assert archiver.take_raw("cc_foreman_ack_publish").decode() == (
        '{"MSG_TYPE": "ASSOCIATED_ACK", "ASSOCIATION_KEY": "f99_association", '
        f'"ACK_ID": "{wire_samples.SESSION}_2"}}'
    )


def test_forwarder_registers_again_when_the_association_key_is_gone(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    archiver.declare()
    peers.start("forwarder", *OWN_NAME)
    archiver.redis.delete("forwarder_list")
    archiver.send("f99_consume", wire_samples.ASSOCIATED)
    archiver.receive("cc_foreman_ack_publish")

    wait_for("new entry in the list", lambda: archiver.redis.llen("forwarder_list") == 1)
    archiver.send("f99_consume", wire_samples.end_readout())
    assert archiver.receive("cc_foreman_ack_publish")["MSG_TYPE"] == "CC_FWDR_END_READOUT_ACK"
    assert archiver.redis.llen("forwarder_list") == 1


def test_forwarder_delivers_nine_files_with_header_or_readout_first(
    archiver: ArchiverEnd, peers: Peers, header_url: str, target: Path
) -> None:
    archiver.declare()
    forwarder = peers.start("forwarder", *OWN_NAME)
    pair(archiver)
    for image, header_first in (("CC_O_20261122_000001", False), ("CC_O_20261122_000002", True)):
        archiver.send("f99_consume", wire_samples.xfer_params(f"{target}/", image))
        both = [wire_samples.end_readout(image), wire_samples.header_ready(header_url, image)]
        for message in reversed(both) if header_first else both:
            archiver.send("f99_consume", message)
        check_acknowledgements(archiver, image)
        check_nine_files(archiver, image, target)
    assert "failed on a message" not in forwarder.log


def check_acknowledgements(archiver: ArchiverEnd, image: str) -> None:
    acks = answers(archiver, 3)
    assert acks[0] == {
        "MSG_TYPE": "CC_FWDR_XFER_PARAMS_ACK",
        "IMAGE_ID": image,
        "COMPONENT": "127.0.0.1:comfwd",
        "ACK_ID": f"{wire_samples.SESSION}_4",
    }
    assert {str(ack["MSG_TYPE"]) for ack in acks[1:]} == {
        "CC_FWDR_END_READOUT_ACK",
        "CC_FWDR_HEADER_READY_ACK",
    }


def check_nine_files(archiver: ArchiverEnd, image: str, target: Path) -> None:
    for sensor in wire_samples.SENSORS:
        filename = f"{target}//{image}-R22{sensor}.fits"
        assert archiver.receive("archive_ctrl_consume") == {
            "MSG_TYPE": "FILE_TRANSFER_COMPLETED",
            "FILENAME": filename,
            "OBSID": image,
            "RAFT": "22",
            "SENSOR": sensor,
            "SESSION_ID": wire_samples.SESSION,
            "JOB_NUM": "1",
            "REPLY_QUEUE": "f99_consume",
        }
        assert archiver.receive("telemetry_queue") == {
            "MSG_TYPE": "IMAGE_RETRIEVAL_FOR_ARCHIVING",
            "OBSID": image,
            "RAFT": "22",
            "SENSOR": sensor,
            "FILENAME": filename,
            "STATUS_CODE": "0",
            "DESCRIPTION": (
                f"{image}-R22{sensor}.fits is successfully transferred to ARC@127.0.0.1:{target}/"
            ),
        }
    assert sorted(path.name for path in target.glob(f"{image}*")) == [
        f"{image}-R22{sensor}.fits" for sensor in wire_samples.SENSORS
    ]
    with fits.open(target / f"{image}-R22S12.fits", checksum=True) as units:
        assert units[0].header["EXPTIME"] == 1.0
        assert units[0].header["FILTER"] == "r_03"
        assert units[0].header["CCDSLOT"] == "S12"
        assert [unit.name for unit in units[1:]] == ["Segment10", "Segment11"]
        assert np.median(units[1].data) == pytest.approx(1000, abs=50)


def test_forwarder_drops_a_readout_before_the_parameters_until_it_is_resent(
    archiver: ArchiverEnd, peers: Peers, header_url: str, target: Path
) -> None:
    archiver.declare()
    forwarder = peers.start("forwarder", *OWN_NAME)
    for message in (
        wire_samples.end_readout(),
        wire_samples.xfer_params(f"{target}/"),
        wire_samples.header_ready(header_url),
    ):
        archiver.send("f99_consume", message)
    answers(archiver, 3)

    assert f"{wire_samples.IMAGE} is lost" in forwarder.log
    assert archiver.depth("telemetry_queue") == 0
    archiver.send("f99_consume", wire_samples.end_readout())
    assert archiver.receive("telemetry_queue")["STATUS_CODE"] == "0"


def test_forwarder_reports_a_header_that_cannot_be_fetched(
    archiver: ArchiverEnd, peers: Peers, header_url: str
) -> None:
    archiver.declare()
    peers.start("forwarder")
    archiver.send("f99_consume", wire_samples.header_ready(f"{header_url}-missing"))

    report = archiver.receive("telemetry_queue")
    assert (report["STATUS_CODE"], report["OBSID"]) == ("5610", wire_samples.IMAGE)
    assert (report["RAFT"], report["SENSOR"], report["FILENAME"]) == ("", "", "")


def test_forwarder_reports_a_missing_target_directory(
    archiver: ArchiverEnd, peers: Peers, header_url: str, target: Path
) -> None:
    archiver.declare()
    peers.start("forwarder")
    hostile = f"{target}/$(touch pwned); rm -rf x/"
    for message in (
        wire_samples.xfer_params(hostile),
        wire_samples.end_readout(),
        wire_samples.header_ready(header_url),
    ):
        archiver.send("f99_consume", message)

    assert archiver.receive("telemetry_queue")["STATUS_CODE"] == "5612"
    assert list(target.iterdir()) == []


def test_forwarder_still_answers_after_invalid_messages(
    archiver: ArchiverEnd, peers: Peers
) -> None:
    archiver.declare()
    peers.start("forwarder")
    for poison in (
        b"",
        b"- a list",
        b"{unclosed",
        b"MSG_TYPE: NOT_KNOWN",
        b"no: type",
        b"\xff\xfe\0",
        b"MSG_TYPE: [1]",
    ):
        archiver.send("f99_consume", poison)
    archiver.send("f99_consume", wire_samples.ASSOCIATED)

    assert archiver.receive("cc_foreman_ack_publish")["MSG_TYPE"] == "ASSOCIATED_ACK"


def test_forwarder_fault_options_are_obeyed(
    archiver: ArchiverEnd, peers: Peers, header_url: str, target: Path
) -> None:
    archiver.declare()
    forwarder = peers.start(
        "forwarder",
        "--mute",
        "CC_FWDR_END_READOUT",
        "--duplicate-telemetry",
        "--die-mid-transfer",
        "2",
    )
    for message in (
        wire_samples.xfer_params(f"{target}/"),
        wire_samples.end_readout(),
        wire_samples.header_ready(header_url),
    ):
        archiver.send("f99_consume", message)

    assert forwarder.process.wait_ended(LIMIT_S) == 70
    assert [ack["MSG_TYPE"] for ack in answers(archiver, 2)] == [
        "CC_FWDR_XFER_PARAMS_ACK",
        "CC_FWDR_HEADER_READY_ACK",
    ]
    assert archiver.depth("cc_foreman_ack_publish") == 0
    reports = [archiver.receive("telemetry_queue") for _ in range(4)]
    assert [report["SENSOR"] for report in reports] == ["S00", "S00", "S01", "S01"]
    assert archiver.depth("telemetry_queue") == 0


def test_forwarder_fail_code_is_reported(
    archiver: ArchiverEnd, peers: Peers, header_url: str, target: Path
) -> None:
    archiver.declare()
    peers.start("forwarder", "--fail-code", "5611")
    for message in (
        wire_samples.xfer_params(f"{target}/"),
        wire_samples.end_readout(),
        wire_samples.header_ready(header_url),
    ):
        archiver.send("f99_consume", message)

    report = archiver.receive("telemetry_queue")
    assert (report["OBSID"], report["STATUS_CODE"], report["FILENAME"]) == (
        wire_samples.IMAGE,
        "5611",
        "",
    )
    assert list(target.iterdir()) == []


def test_forwarder_with_die_after_exits_before_it_acknowledges(
    archiver: ArchiverEnd, peers: Peers, target: Path
) -> None:
    archiver.declare()
    forwarder = peers.start("forwarder", "--die-after", "CC_FWDR_XFER_PARAMS")
    archiver.send("f99_consume", wire_samples.xfer_params(f"{target}/"))

    assert forwarder.process.wait_ended(LIMIT_S) == 70
    assert archiver.depth("cc_foreman_ack_publish") == 0
    assert archiver.depth("f99_consume") == 0, (
        "it consumes without AMQP acknowledgements, so the message is lost"
    )
