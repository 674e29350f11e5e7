"""The messages that the Controller sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.common import wire

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_sim.peers.common.wire import Message

NOT_LINKED: Final = 1
"""STATUS_CODE of a file that could not be linked."""

ECHOED_IN_ITEM_ACK: Final = ("ACK_ID", "JOB_NUM", "IMAGE_ID", "SESSION_ID")
ECHOED_IN_HEALTH_ACK: Final = ("ACK_ID", "SESSION_ID")
ECHOED_IN_TRANSFER_ACK: Final = ("OBSID", "FILENAME", "JOB_NUM", "SESSION_ID", "RAFT", "SENSOR")


def _echo(question: Message, keys: tuple[str, ...]) -> Message:
    """Return fields of a request for its answer, with their types unchanged.

    Raises
    ------
    WireError
        If a field is missing.
    """
    for key in keys:
        wire.text(question, key)
    return {key: question[key] for key in keys}


def ack_bool(*, positive: bool) -> str:
    """Return the ACK_BOOL of a Controller for a truth value."""
    return "TRUE" if positive else "FALSE"


def item_ack(question: Message, target_dir: str, component: str, *, positive: bool) -> Message:
    """Return the answer to NEW_CC_ARCHIVE_ITEM."""
    return {
        "MSG_TYPE": f"{wire.text(question, 'MSG_TYPE')}_ACK",
        "TARGET_DIR": target_dir,
        "COMPONENT": component,
        "ACK_BOOL": ack_bool(positive=positive),
        **_echo(question, ECHOED_IN_ITEM_ACK),
    }


def health_ack(question: Message, component: str, *, positive: bool) -> Message:
    """Return the answer to ARCHIVE_HEALTH_CHECK."""
    return {
        "MSG_TYPE": "ARCHIVE_HEALTH_CHECK_ACK",
        "COMPONENT": component,
        "ACK_BOOL": ack_bool(positive=positive),
        **_echo(question, ECHOED_IN_HEALTH_ACK),
    }


def transfer_ack(notice: Message, component: str) -> Message:
    """Return the answer to a Forwarder's FILE_TRANSFER_COMPLETED."""
    return {
        "MSG_TYPE": "FILE_TRANSFER_COMPLETED_ACK",
        "COMPONENT": component,
        **_echo(notice, ECHOED_IN_TRANSFER_ACK),
    }


def ingest_request(notice: Message, filename: str, settings: Settings) -> Message:
    """Return the request to the OODS to ingest a linked file."""
    return {
        "MSG_TYPE": settings.file_ingest_request,
        "CAMERA": settings.camera_name,
        "ARCHIVER": settings.archiver_name,
        **_echo(notice, ("OBSID", "RAFT", "SENSOR")),
        "FILENAME": filename,
    }


def not_in_oods(notice: Message, description: str, settings: Settings) -> Message:
    """Return the status for the archiver that a file could not be linked."""
    return {
        "MSG_TYPE": "IMAGE_IN_OODS",
        "CAMERA": settings.camera_name,
        "ARCHIVER": settings.archiver_name,
        **_echo(notice, ("OBSID", "FILENAME", "RAFT", "SENSOR")),
        "STATUS_CODE": NOT_LINKED,
        "DESCRIPTION": description,
    }
