"""The status that the OODS sends for each file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.common import wire

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.wire import Message

INGESTED: Final = 0
NOT_INGESTED: Final = 1

STATUS: Final = "IMAGE_IN_OODS"


def report(
    request: Message, message_type: str, code: int, description: str, *, with_raft: bool
) -> Message:
    """Return the status for one request."""
    keys = ("CAMERA", "ARCHIVER", "OBSID", "FILENAME")
    sensor = (
        {key: wire.optional_text(request, key) for key in ("RAFT", "SENSOR")} if with_raft else {}
    )
    return {
        "MSG_TYPE": message_type,
        **{key: wire.text(request, key) for key in keys},
        **sensor,
        "STATUS_CODE": code,
        "DESCRIPTION": description,
    }
