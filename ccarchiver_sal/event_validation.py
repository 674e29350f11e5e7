"""Validation of events from SAL: image names and addresses of header files.

Any program on the bus can publish an event. The Forwarder builds file names and a shell command
from an image's name, and it fetches any address that it receives.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ccarchiver_core.domain.exposure import HeaderReady
from ccarchiver_core.domain.image_name import MAX_NAME

if TYPE_CHECKING:
    from ccarchiver_core.domain.exposure import ExposureEvent

MAX_URL = 256
"""Longest address of a header file; SAL has no room for more."""

SHOWN = 80
"""Characters of a rejected text that are shown."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)

_URL = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/[A-Za-z0-9._~%/?=&:@,+-]*",
    re.ASCII,
)
"""Addresses without a login, which would be in every log, and which a shell reads as one word."""


def validate(obsid: str, event: ExposureEvent) -> str:
    """Return why an event cannot be handled; empty if it can be handled."""
    if not obsid:
        return f"{event.kind} without an image name"
    if _NAME.fullmatch(obsid) is None or ".." in obsid or len(obsid) > MAX_NAME:
        return (
            f"{event.kind}: the image name {obsid[:SHOWN]!r} is rejected: "
            f"it must have only letters, digits and _ . -, at most {MAX_NAME}, without '..'"
        )
    if isinstance(event, HeaderReady) and (
        _URL.fullmatch(event.url) is None or ".." in event.url or len(event.url) > MAX_URL
    ):
        return (
            f"{event.kind} of {obsid}: the address of the header file is rejected: "
            f"it must be a plain http or https address of at most {MAX_URL} characters, "
            "without a login and without '..'"
        )
    return ""
