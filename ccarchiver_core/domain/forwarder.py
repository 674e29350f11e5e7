"""The entry of a Forwarder in the list of free Forwarders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.config.addresses import MAX_HOST_NAME
from ccarchiver_core.config.value_types import MAX_QUEUE_BYTES
from ccarchiver_core.domain.frozen_model import FrozenModel

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic_core import ErrorDetails

MAX_ENTRY = 4096
"""Maximum size of an entry in bytes: twice the maximum of its three values together."""

MAX_SHOWN = 80
"""Characters of a wrong value that a message quotes."""


class ForwarderEntry(FrozenModel):
    """A Forwarder that was accepted from the list.

    It has no constraints, so that an entry remains valid in a version with other rules.
    """

    hostname: str
    ip_address: str
    consume_queue: str


class ListedForwarder(ForwarderEntry):
    """A new entry in the list of free Forwarders.

    Its values are constrained, because they become part of messages, commands and queue names.
    """

    hostname: str = Field(max_length=MAX_HOST_NAME, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    ip_address: str = Field(max_length=MAX_HOST_NAME, pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:%_-]*$")
    consume_queue: str = Field(max_length=MAX_QUEUE_BYTES, pattern=r"^[!-~]+$")


def parse_list_entry(raw: bytes, other_queues: Collection[str]) -> ListedForwarder:
    """Return the Forwarder of an entry in the list of free Forwarders.

    Parameters
    ----------
    raw : `bytes`
        The entry, JSON. A peer wrote it, so it can be anything.
    other_queues : `~collections.abc.Collection`
        Queues that cannot be a Forwarder's, because the archiver or another peer uses them.

    Raises
    ------
    RejectedError
        Raised if it is no entry of a Forwarder; the text says why.
    """
    if len(raw) > MAX_ENTRY:
        raise RejectedError(f"not a Forwarder's entry: {len(raw)} bytes, more than {MAX_ENTRY}")
    try:
        entry = ListedForwarder.model_validate_json(raw)
    except ValidationError as error:
        raise RejectedError(f"not a Forwarder's entry: {_defect(error.errors()[0])}") from None
    if entry.consume_queue in other_queues:
        raise RejectedError(
            f"not a Forwarder's entry: {entry.consume_queue} is not a Forwarder's queue"
        )
    return entry


def _defect(detail: ErrorDetails) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "json_invalid":
            return "it is not JSON"
        case "missing":
            return f"it has no {name}"
        case _ if not name:
            return "it is not a JSON object"
        case _:
            return f"{name} cannot be {repr(detail['input'])[:MAX_SHOWN]}"
