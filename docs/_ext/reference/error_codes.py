"""The codes of the errorCode event."""

from __future__ import annotations

from ccarchiver_core.base.error_codes import ErrorCode
from docs._ext.reference.markdown import table


def error_code_lines() -> list[str]:
    """Return the Markdown of a table of all codes, each with a link to its runbook entry."""
    rows = [
        (f"[{int(code)}](../operations/errors.md#{int(code)})", code.meaning) for code in ErrorCode
    ]
    return table(("errorCode", "means"), rows)
