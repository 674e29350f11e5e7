"""Literal messages of the wire contract: sent ones, and received ones in both YAML styles."""

from __future__ import annotations

from ccarchiver_bridge.messages.outgoing import MessageBuilder, Outgoing, Scan
from ccarchiver_core.config.settings import Settings
from ccarchiver_core.domain.exposure import (
    EndReadout,
    Exposure,
    HeaderReady,
    Instruction,
    StartIntegration,
)
from ccarchiver_core.domain.session import PairedForwarder
from tests.core.redis_helpers import DATA

SESSION = "2026-11-22_08:18:37.932650"
IMAGE = "CC_O_20261122_735514"
TARGET = "/data/staging/ccforwarder/2026-11-22/"

FORWARDER = PairedForwarder(
    hostname="fakefwd",
    ip_address="127.0.0.1",
    consume_queue="f99_consume",
    presence_key="f99_association",
)

EXPOSURE = Exposure(
    obsid=IMAGE,
    job=1,
    start=StartIntegration(
        image_name=IMAGE,
        image_index=0,
        images_in_sequence=1,
        image_date="20261122",
        exposure_time=1.0,
    ),
    end=EndReadout(image_name=IMAGE, image_index=0, images_in_sequence=1),
    header=HeaderReady(url=f"http://127.0.0.1:8000/CCHeaderService_header_{IMAGE}.yaml"),
    target_dir=TARGET,
)


def sent_body(name: str) -> bytes:
    """Return a message as an archiver sent it, captured on the wire."""
    return (DATA / "wire" / "sent" / f"{name}.yaml").read_bytes()


def received_body(name: str, style: str) -> bytes:
    """Return a message in the style of the Python peers (``block``) or Forwarder (``quoted``)."""
    return (DATA / "wire" / "received" / style / f"{name}.yaml").read_bytes()


RECEIVED = sorted(path.stem for path in (DATA / "wire" / "received" / "block").glob("*.yaml"))
STYLES = ("block", "quoted")


def instruction(instruction: Instruction, number: int) -> Outgoing:
    """Return an instruction about the sample image."""
    return MessageBuilder(Settings()).instruction(
        instruction, EXPOSURE, ack_id=f"{SESSION}_{number}", session_id=SESSION, forwarder=FORWARDER
    )


def all_sent() -> dict[str, Outgoing | Scan]:
    """Return every message that the archiver sends, with the values of the captured ones."""
    writer = MessageBuilder(Settings())
    return {
        "ARCHIVE_HEALTH_CHECK": writer.health_check(f"{SESSION}_1", SESSION),
        "SCAN": writer.scan("ccarchiver:scan_names:7"),
        "ASSOCIATED": writer.associated(f"{SESSION}_2"),
        "NEW_CC_ARCHIVE_ITEM": instruction(Instruction.NEW_ITEM, 3),
        "CC_FWDR_XFER_PARAMS": instruction(Instruction.XFER_PARAMS, 4),
        "CC_FWDR_END_READOUT": instruction(Instruction.END_READOUT, 5),
        "CC_FWDR_HEADER_READY": instruction(Instruction.HEADER_READY, 6),
    }
