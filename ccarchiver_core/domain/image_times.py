"""The times of one image that lists show, without its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccarchiver_core.domain.exposure import EventKind, Instruction, SentInstruction
    from ccarchiver_core.domain.image_summary import ImageSummary


@dataclass(frozen=True)
class TimedSummary:
    """The summary of one image and the times of its stages: Unix times, UTC, seconds, or 0."""

    summary: ImageSummary
    event_times: dict[EventKind, float] = field(default_factory=dict)
    """Time at which each event was received."""
    instructions: dict[Instruction, SentInstruction] = field(default_factory=dict)
    retrieved_at: float = 0.0
    """Time of the last CCD that was retrieved successfully."""
    ingested_at: float = 0.0
    """Time of the last CCD that was ingested successfully."""
