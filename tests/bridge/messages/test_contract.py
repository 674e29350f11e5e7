"""Every message of the wire contract, compared with literal examples."""

from __future__ import annotations

import pytest

from ccarchiver_bridge.messages.incoming import (
    AssociatedAck,
    ForwarderAck,
    HealthCheckAck,
    IgnoredAck,
    Incoming,
    Ingest,
    MessageDecoder,
    NewItemAck,
    Retrieval,
    ScanAck,
)
from ccarchiver_bridge.messages.outgoing import MessageBuilder
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.domain.exposure import Exposure, Instruction
from tests.bridge.messages.wire_samples import (
    EXPOSURE,
    FORWARDER,
    IMAGE,
    RECEIVED,
    SESSION,
    STYLES,
    TARGET,
    all_sent,
    received_body,
    sent_body,
)
from tests.core.redis_helpers import DATA

FILE = f"{IMAGE}-R22S00.fits"
STATUS = {"OBSID": IMAGE, "RAFT": "22", "SENSOR": "S00", "FILENAME": FILE, "STATUS_CODE": 0}
INGEST = STATUS | {"CAMERA": "COMCAM", "ARCHIVER": "CCArchiver", "DESCRIPTION": "File ingested"}
CONTROLLER = {"COMPONENT": "ARCHIVE_CTRL", "ACK_BOOL": True, "SESSION_ID": SESSION}
FORWARDER_ACK: dict[str, object] = {"IMAGE_ID": IMAGE, "COMPONENT": "127.0.0.1:fakefwd"}

EXPECTED: dict[str, tuple[type[Incoming], dict[str, object]]] = {
    "ASSOCIATED_ACK": (
        AssociatedAck,
        {"ACK_ID": f"{SESSION}_2", "ASSOCIATION_KEY": "f99_association"},
    ),
    "NEW_CC_ARCHIVE_ITEM_ACK": (
        NewItemAck,
        {"ACK_ID": f"{SESSION}_3", "TARGET_DIR": TARGET, "IMAGE_ID": IMAGE, "ACK_BOOL": True},
    ),
    "CC_FWDR_XFER_PARAMS_ACK": (ForwarderAck, FORWARDER_ACK | {"ACK_ID": f"{SESSION}_4"}),
    "CC_FWDR_END_READOUT_ACK": (ForwarderAck, FORWARDER_ACK | {"ACK_ID": f"{SESSION}_5"}),
    "CC_FWDR_HEADER_READY_ACK": (ForwarderAck, FORWARDER_ACK | {"ACK_ID": f"{SESSION}_6"}),
    "ARCHIVE_HEALTH_CHECK_ACK": (HealthCheckAck, {"ACK_ID": f"{SESSION}_1", "SESSION_ID": SESSION}),
    "CC_FWDR_HEALTH_CHECK_ACK": (IgnoredAck, {"ACK_ID": f"{SESSION}_7"}),
    "CC_ITEMS_XFERD_ACK": (IgnoredAck, {"ACK_ID": f"{SESSION}_8"}),
    "SCAN_ACK": (ScanAck, {}),
    "IMAGE_RETRIEVAL_FOR_ARCHIVING": (Retrieval, STATUS | {"DESCRIPTION": "ok"}),
    "IMAGE_IN_OODS": (Ingest, INGEST),
    "CC_FILE_INGEST_REQUEST": (Ingest, INGEST),
}


@pytest.fixture(scope="module")
def reader() -> MessageDecoder:
    return MessageDecoder(Settings())


@pytest.mark.parametrize("name", all_sent())
def test_sent_message_is_byte_for_byte_the_captured_one(name: str) -> None:
    assert all_sent()[name].body() == sent_body(name)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", EXPECTED)
def test_received_message_is_decoded_in_both_styles(
    reader: MessageDecoder, name: str, style: str
) -> None:
    model, fields = EXPECTED[name]

    message = reader.read(received_body(name, style))

    assert type(message) is model
    assert name == message.MSG_TYPE
    assert {field: getattr(message, field) for field in fields} == fields


def test_every_message_has_an_example_file() -> None:
    assert set(RECEIVED) == set(EXPECTED)
    assert {path.stem for path in (DATA / "wire" / "sent").glob("*.yaml")} == set(all_sent())


def test_forwarder_style_example_is_one_line_of_quoted_scalars() -> None:
    body = received_body("IMAGE_RETRIEVAL_FOR_ARCHIVING", "quoted")

    assert b'"STATUS_CODE": "0"' in body
    assert b"\n" not in body
    assert b"STATUS_CODE: 0\n" in received_body("IMAGE_RETRIEVAL_FOR_ARCHIVING", "block")


def test_message_types_of_the_site_file_are_used() -> None:
    settings = load_settings(
        DATA / "config" / "good_site_of_the_replaced_archiver.yaml", is_old=True
    )
    sent = MessageBuilder(settings).instruction(
        Instruction.XFER_PARAMS, EXPOSURE, ack_id="a", session_id="s", forwarder=FORWARDER
    )
    body = sent.body().decode()

    for line in (
        "MSG_TYPE: OC_FWDR_XFER_PARAMS",
        "REPLY_QUEUE: q_forwarder_publish",
        "DEVICE: OC",
        f"TARGET_LOCATION: OTHER@127.0.0.9:{TARGET}",
        "  RAFT_LIST: '33'",
        "  - 33/1",
    ):
        assert f"{line}\n" in body
    read = MessageDecoder(settings).read(
        b"MSG_TYPE: NEW_OC_ARCHIVE_ITEM_ACK\nACK_ID: a\nTARGET_DIR: /x/\n"
    )
    assert isinstance(read, NewItemAck)


@pytest.mark.parametrize(
    "fields", ["", "RAFT: ''\nSENSOR: ''\nFILENAME: ''\n", "RAFT:\nSENSOR: ~\nFILENAME: null\n"]
)
@pytest.mark.parametrize(
    "kind", ["IMAGE_RETRIEVAL_FOR_ARCHIVING", "IMAGE_IN_OODS", "CC_FILE_INGEST_REQUEST"]
)
def test_status_without_raft_sensor_and_file_is_decoded(
    reader: MessageDecoder, kind: str, fields: str
) -> None:
    body = (
        f"MSG_TYPE: {kind}\nOBSID: i\nCAMERA: c\nARCHIVER: a\n"
        f"STATUS_CODE: 5611\nDESCRIPTION:\n{fields}"
    )

    message = reader.read(body.encode())

    assert isinstance(message, Retrieval)
    assert not message.RAFT
    assert not message.SENSOR
    assert (message.STATUS_CODE, message.DESCRIPTION) == (5611, "")


@pytest.mark.parametrize("value", ["FALSE", "'FALSE'", "false", '"False"'])
def test_ack_bool_false_of_the_controller_is_decoded(reader: MessageDecoder, value: str) -> None:
    message = reader.read(
        f"MSG_TYPE: NEW_CC_ARCHIVE_ITEM_ACK\nACK_ID: a\nACK_BOOL: {value}\n".encode()
    )

    assert isinstance(message, NewItemAck)
    assert message.ACK_BOOL is False


def test_unknown_fields_of_a_message_are_ignored(reader: MessageDecoder) -> None:
    body = (
        received_body("CC_FWDR_END_READOUT_ACK", "block")
        + b"NEW_FIELD:\n  of: [a, later, release]\n"
    )

    assert isinstance(reader.read(body), ForwarderAck)


def test_names_that_look_like_numbers_or_booleans_stay_text(reader: MessageDecoder) -> None:
    body = (
        b"MSG_TYPE: IMAGE_IN_OODS\nOBSID: 0x10\nCAMERA: yes\nARCHIVER: 1_000\n"
        b"RAFT: 022\nSENSOR: 1e3\nSTATUS_CODE: 0\n"
    )

    message = reader.read(body)

    assert isinstance(message, Ingest)
    assert (message.OBSID, message.CAMERA, message.ARCHIVER) == ("0x10", "yes", "1_000")
    assert (message.RAFT, message.SENSOR) == ("022", "1e3")


@pytest.mark.parametrize("instruction", list(Instruction))
def test_instruction_for_an_image_that_is_not_ready_raises_value_error(
    instruction: Instruction,
) -> None:
    with pytest.raises(ValueError, match="not ready"):
        MessageBuilder(Settings()).instruction(
            instruction, Exposure(obsid=IMAGE, job=1), ack_id="a", session_id="s", forwarder=None
        )
