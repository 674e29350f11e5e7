"""Records that this version cannot read: changed by hand, or written by another version.

No reader raises for such a record. It reports it here, and continues with what it can read. The
overview, the doctor and health run the readers in `collecting` to learn of them.
"""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_REASON = 200
"""Characters of a reason that are kept; they name the value, and are no copy of it."""


class UnreadableRecord(BaseModel, frozen=True):
    """A key, or one field of a hash, that this version cannot read."""

    key: str
    field: str = ""
    """Field of the hash; empty if the key itself has a wrong type."""
    reason: str

    @property
    def text(self) -> str:
        """What cannot be read and why, for an operator."""
        name = f"{self.key} {self.field}".strip()
        return f"{name}: {self.reason}"


_found: contextvars.ContextVar[dict[UnreadableRecord, None] | None] = contextvars.ContextVar(
    "unreadable_records", default=None
)


@contextlib.contextmanager
def collecting() -> Iterator[dict[UnreadableRecord, None]]:
    """Yield the records that readers within the block find unreadable, as the keys of a dict."""
    found: dict[UnreadableRecord, None] = {}
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def report(key: str, field: str, reason: str) -> None:
    """Report a record that cannot be read. Without `collecting` this has no effect."""
    found = _found.get()
    if found is not None:
        shortened = " ".join(reason.split())[:MAX_REASON]
        found[UnreadableRecord(key=key, field=field, reason=shortened)] = None
