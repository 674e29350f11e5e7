"""Check what comes by SAL before it goes on: image names and addresses of header files.

Any program on the bus can put an event. The Forwarder makes file names and a shell command of an image's name and
fetches whatever address it is given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ccarchiver_core.domain.exposure import HeaderReady

if TYPE_CHECKING:
    from ccarchiver_core.domain.exposure import ExposureEvent

MAX_NAME = 64
"""Longest image name; SAL has room for 32 in a camera's events, but for more in the header service's."""

MAX_URL = 256
"""Longest address; SAL has no room for more."""

SHOWN = 80
"""Characters of a refused text that are shown."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)

_URL = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/[A-Za-z0-9._~%/?=&:@,+-]*", re.ASCII)
"""No login before the host, which would be in every log, and nothing that a shell would take for more than a word."""


def validate(obsid: str, event: ExposureEvent) -> str:
    """Say why an event cannot be handled; empty if it can."""
    if not obsid:
        return f"{event.kind} without an image name"
    if _NAME.fullmatch(obsid) is None or ".." in obsid or len(obsid) > MAX_NAME:
        return (
            f"{event.kind}: the image name {obsid[:SHOWN]!r} is refused: it must have letters, digits and _ . - only, "
            f"at most {MAX_NAME}, without '..'"
        )
    if isinstance(event, HeaderReady) and (
        _URL.fullmatch(event.url) is None or ".." in event.url or len(event.url) > MAX_URL
    ):
        return (
            f"{event.kind} of {obsid}: the address of the header file is refused: it must be a plain http or https "
            f"address of at most {MAX_URL} characters, without a login and without '..'"
        )
    return ""
