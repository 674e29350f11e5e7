"""Validation of events from SAL: image names and addresses of header files.

Any program on the bus can publish an event. The Forwarder builds file names and a shell command
from an image's name, and it fetches any address that it receives.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ccarchiver_core.domain.exposure import HeaderReady
from ccarchiver_core.domain.image_name import name_problem

if TYPE_CHECKING:
    from ccarchiver_core.domain.exposure import ExposureEvent

MAX_URL = 256
"""Longest address of a header file; SAL has no room for more."""

_URL = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/[A-Za-z0-9._~%/?=&:@,+-]*",
    re.ASCII,
)
"""Addresses without a login, which would be in every log, and which a shell reads as one word."""


def validate(obsid: str, event: ExposureEvent) -> str:
    """Return why an event cannot be handled; empty if it can be handled."""
    if not obsid:
        return f"{event.kind} without an image name"
    problem = name_problem(obsid)
    if problem:
        return f"{event.kind}: {problem}"
    if isinstance(event, HeaderReady) and (
        _URL.fullmatch(event.url) is None or ".." in event.url or len(event.url) > MAX_URL
    ):
        return (
            f"{event.kind} of {obsid}: the address of the header file is rejected: "
            f"it must be a plain http or https address of at most {MAX_URL} characters, "
            "without a login and without '..'"
        )
    return ""
