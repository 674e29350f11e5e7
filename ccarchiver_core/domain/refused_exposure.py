"""An exposure whose image name belongs to an earlier exposure, so that it was not accepted."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ccarchiver_core.domain.exposure import EventKind, ExposureEvent
from ccarchiver_core.domain.record_types import (
    Count,
    UnixTime,
)


class RefusedExposure(BaseModel):
    """One refused exposure, as the record of the first exposure of that name keeps it."""

    model_config = ConfigDict(frozen=True)

    number: Count
    """Its number among the refused exposures of this name, from 1."""
    refused_at: UnixTime
    """Time at which its first event was received: Unix time, UTC, seconds."""
    reason: str
    """How it differs from the first exposure."""
    is_skipped: bool = False
    """Whether the CSC was not ENABLED when its first event was received.

    It would not have been archived under another name either.
    """
    events: dict[EventKind, ExposureEvent] = {}
    event_times: dict[EventKind, UnixTime] = {}
    """Time at which each event was received: Unix time, UTC, seconds."""


class NamedRefusal(BaseModel):
    """A refused exposure with its name, and the time of the first exposure of that name."""

    obsid: str
    first_at: float
    """Time at which the first exposure was first seen: Unix time, UTC, seconds."""
    exposure: RefusedExposure
