"""Summary of one image, for lists."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ccarchiver_core.domain.image_record import UNSEEN_STATES, ImageState


class ImageSummary(BaseModel):
    """One image in a list of images. Times are Unix times, UTC, seconds, or None."""

    obsid: str
    job: int
    state: ImageState
    at: float
    """Time of its first event or status."""
    last_event_at: float | None
    """Time at which the last of its three events was received."""
    events: int
    """Number of its three events that were received."""
    has_start: bool = Field(default=True, exclude=True)
    """Whether its startIntegration was received; without it, no instruction is sent."""
    finished: float | None
    retrieved: int
    """Number of CCDs that were retrieved successfully."""
    ingested: int
    failed: str
    failed_code: int
    missed_at: float | None = None
    """Time at which it was found to be missed."""
    missed_by: str = ""
    """What has shown that it was missed, see `ccarchiver_core.domain.image_record.MissedBy`."""
    is_requested: bool = False
    """Whether an operator has requested that it be archived."""
    dismissal: str = ""
    """Why an operator has dismissed it; empty if it was never dismissed."""
    is_caught_up: bool = False
    """Whether it was missed and accepted later."""

    @property
    def is_proven(self) -> bool:
        """Whether an event or its files have shown that the camera has used this name.

        A name in the answer to a scan, and a number between two others, do not show it.
        """
        if self.state is ImageState.COMPLETE:
            return True
        return not self.is_caught_up and (self.state not in UNSEEN_STATES or self.events > 0)

    @property
    def took_s(self) -> float | None:
        """Seconds from the last event to the end; None for an image that is in progress."""
        if self.finished is None or self.last_event_at is None:
            return None
        return max(0.0, self.finished - self.last_event_at)
