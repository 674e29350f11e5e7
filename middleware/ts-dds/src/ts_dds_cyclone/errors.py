"""Exceptions, and the names of Cyclone's return codes."""

from __future__ import annotations

__all__ = ["BoundsError", "DDSException", "checked"]

_RETURN_CODES = {
    -1: "ERROR",
    -2: "UNSUPPORTED",
    -3: "BAD_PARAMETER",
    -4: "PRECONDITION_NOT_MET",
    -5: "OUT_OF_RESOURCES",
    -6: "NOT_ENABLED",
    -7: "IMMUTABLE_POLICY",
    -8: "INCONSISTENT_POLICY",
    -9: "ALREADY_DELETED",
    -10: "TIMEOUT",
    -11: "NO_DATA",
    -12: "ILLEGAL_OPERATION",
    -13: "NOT_ALLOWED_BY_SECURITY",
}
BAD_PARAMETER = -3
PRECONDITION_NOT_MET = -4


class DDSException(Exception):  # noqa: N818 (the name is OpenSplice's)
    """Any failure of DDS.

    Parameters
    ----------
    message
        What failed, where, and what to do if that is known.
    code
        Cyclone's return code; 0 if the error is not from Cyclone.
    """

    def __init__(self, message: str = "", code: int = 0) -> None:
        name = _RETURN_CODES.get(code, str(code))
        super().__init__(f"{message}: {name}" if code else message)
        self.code = code


class BoundsError(DDSException, ValueError):
    """A string is longer than its field.

    OpenSplice raises DDSException, and users of salobj expect ValueError; it is both.
    """


def checked(result: int, action: str) -> int:
    """Return the result of a C call, or raise DDSException if it is an error code."""
    if result < 0:
        message = f"Failed to {action}"
        raise DDSException(message, result)
    return result
