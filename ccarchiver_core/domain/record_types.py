"""Types of numbers in the records in Redis.

Whatever a person or another version has written, a value within these bounds can be compared,
formatted and written to JSON.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_UNIX_TIME = 253_402_300_799.0
"""Latest time that `datetime` has: the end of the year 9999."""

MAX_COUNT = 2**53
"""Largest integer that a sorted set of Redis and a browser can represent exactly."""

UnixTime = Annotated[float, Field(ge=0, le=MAX_UNIX_TIME, allow_inf_nan=False)]
"""Unix time or duration in seconds."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number, for example a time by the clock of a sender, which can be set to anything."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]

Code = Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT)]
"""Number with a sign, such as an epoch, which is -1 for an instruction that must be sent again."""

ProcessId = Annotated[int, Field(ge=0, le=2**22)]
"""Process id; 2**22 is the maximum of Linux. 0 if there is none."""
