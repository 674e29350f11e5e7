"""The entry of a Forwarder in the list of free Forwarders."""

from __future__ import annotations

from pydantic import Field

from ccarchiver_core.config.site_sections import MAX_QUEUE_BYTES
from ccarchiver_core.domain.frozen_model import FrozenModel

MAX_HOST = 253
"""Maximum length of a name in the DNS."""


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

    hostname: str = Field(max_length=MAX_HOST, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    ip_address: str = Field(max_length=MAX_HOST, pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:%_-]*$")
    consume_queue: str = Field(max_length=MAX_QUEUE_BYTES, pattern=r"^[!-~]+$")
