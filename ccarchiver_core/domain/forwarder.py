"""A Forwarder as it registers itself in the list of free Forwarders."""

from __future__ import annotations

from pydantic import Field

from ccarchiver_core.config.site_sections import MAX_QUEUE_BYTES
from ccarchiver_core.domain.frozen_model import FrozenModel

MAX_HOST = 253
"""Longest name the DNS has."""


class ForwarderEntry(FrozenModel):
    """A Forwarder as it listed itself; what was taken once stays so, also under a version with other rules."""

    hostname: str
    ip_address: str
    consume_queue: str


class ListedForwarder(ForwarderEntry):
    """A Forwarder as it lists itself; plain words only, as they go into messages, commands and names of queues."""

    hostname: str = Field(max_length=MAX_HOST, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    ip_address: str = Field(max_length=MAX_HOST, pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:%_-]*$")
    consume_queue: str = Field(max_length=MAX_QUEUE_BYTES, pattern=r"^[!-~]+$")
