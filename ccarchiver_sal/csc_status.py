"""What the event intake must know of the CSC."""

from __future__ import annotations

from typing import Protocol


class CscStatus(Protocol):
    """The state of the CSC that decides what happens to an event."""

    @property
    def is_enabled(self) -> bool:
        """Whether events are accepted now."""

    @property
    def is_faulted(self) -> bool:
        """Whether the CSC is in FAULT.

        Events of images that were accepted before are then kept for the next session.
        """

    @property
    def session_id(self) -> str:
        """The id of the current session."""

    def on_intake_overflow(self, report: str) -> None:
        """Handle a full buffer: events are lost from then on. Called once for each overflow."""

    def on_exposure_refused(self, report: str) -> None:
        """Handle an exposure that is not archived because its image name was used before."""

    def on_events_missed(self, report: str) -> None:
        """Handle events that were sent and never arrived; their images may not be archived."""
