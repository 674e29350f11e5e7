"""Import of structlog without the libraries with which it colours tracebacks.

structlog imports rich and greenlet if they are installed. The workers use neither: they write
tracebacks as plain text. Measured, the two libraries and what they import add 4 MB to each worker.
The first import of structlog in a process decides, so a worker's program imports this module first.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UNUSED = ("greenlet", "rich")
"""Optional libraries of structlog."""


@contextlib.contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Make the import of libraries that are not loaded yet fail within this block."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system's own convention
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _hidden(UNUSED):
    importlib.import_module("structlog")
