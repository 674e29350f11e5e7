"""The events of images that were sent before this process subscribed and that it ignores.

They belong to exposures of which the archiver may have recorded nothing, because the CSC was down.
If such an image turns out to be missed, it is archived with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_sal import event_validation

if TYPE_CHECKING:
    from ccarchiver_core.domain.exposure import EventKind, ExposureEvent


class EventHistory:
    """Ignored events by image. DDS keeps a hundred of each topic and sender, so they are few."""

    def __init__(self) -> None:
        self._events: dict[str, dict[EventKind, ExposureEvent]] = {}

    def add(self, obsid: str, event: ExposureEvent) -> None:
        """Add an event; call it in the sequence of sending. An invalid event is left out."""
        if not event_validation.validate(obsid, event):
            self._events.setdefault(obsid, {})[event.kind] = event

    def events_of(self, obsid: str) -> dict[EventKind, ExposureEvent]:
        """Return the newest ignored event of each kind of an image."""
        return dict(self._events.get(obsid, {}))
