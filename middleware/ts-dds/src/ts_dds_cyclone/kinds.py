"""Enumerations and times of the DDS API."""

from __future__ import annotations

import enum

from typing_extensions import override

__all__ = [
    "DDSDestinationOrderKind",
    "DDSDurabilityKind",
    "DDSDuration",
    "DDSHistoryKind",
    "DDSOwnershipKind",
    "DDSReliabilityKind",
    "DDSStateKind",
    "DDSTime",
]

NANOSECONDS = 1_000_000_000
INFINITE_NS = (1 << 63) - 1
"""DDS_INFINITY, the largest duration in Cyclone."""


class DDSStateKind(enum.Enum):
    """States of samples, views and instances, with Cyclone's bits as values."""

    READ_SAMPLE_STATE = 1
    NOT_READ_SAMPLE_STATE = 2
    ANY_SAMPLE_STATE = 3
    NEW_VIEW_STATE = 4
    NOT_NEW_VIEW_STATE = 8
    ANY_VIEW_STATE = 12
    ALIVE_INSTANCE_STATE = 16
    NOT_ALIVE_DISPOSED_INSTANCE_STATE = 32
    NOT_ALIVE_NO_WRITERS_INSTANCE_STATE = 64
    ANY_INSTANCE_STATE = 112
    ANY_STATE = 127


class DDSDurabilityKind(enum.Enum):
    """Which samples a reader that joins late receives."""

    VOLATILE = 0
    TRANSIENT_LOCAL = 1
    TRANSIENT = 2
    PERSISTENT = 3


class DDSHistoryKind(enum.Enum):
    """How many samples are kept."""

    KEEP_LAST = 0
    KEEP_ALL = 1


class DDSReliabilityKind(enum.Enum):
    """Whether lost samples are sent again."""

    BEST_EFFORT = 0
    RELIABLE = 1


class DDSOwnershipKind(enum.Enum):
    """Whether a reader receives the samples of one or of all writers of an instance."""

    SHARED = 0
    EXCLUSIVE = 1


class DDSDestinationOrderKind(enum.Enum):
    """The timestamp by which samples of several writers are sorted."""

    BY_RECEPTION_TIMESTAMP = 0
    BY_SOURCE_TIMESTAMP = 1


class DDSTime:
    """A time.

    Parameters
    ----------
    sec, nanosec
        Seconds (may be fractional) plus nanoseconds.
    """

    def __init__(self, sec: float = 1, nanosec: int = 0) -> None:
        self.value = int(sec * NANOSECONDS) + nanosec

    @override
    def __eq__(self, other: object) -> bool:
        """Compare by value."""
        return isinstance(other, DDSTime) and self.value == other.value

    @override
    def __hash__(self) -> int:
        """Hash by value."""
        return hash(self.value)

    @override
    def __repr__(self) -> str:
        """Show seconds."""
        return f"{type(self).__name__}({self.value / NANOSECONDS})"


class DDSDuration(DDSTime):
    """A length of time."""

    @staticmethod
    def infinity() -> DDSDuration:
        """Return the infinite duration."""
        return DDSDuration(0, INFINITE_NS)
