"""The cached part of one image record, and to which exposure of its name an event belongs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccarchiver_core.domain.image_record import MissedBy
from ccarchiver_core.domain.refused_exposure import RefusedExposure
from ccarchiver_core.store.image_ledger import MAX_REFUSED
from ccarchiver_sal.exposure_identity import Match, compare, compare_with_missed

if TYPE_CHECKING:
    from ccarchiver_core.domain.exposure import EventKind, ExposureEvent
    from ccarchiver_core.domain.image_record import ImageRecord, ImageState


@dataclass
class KnownImage:
    """What the ledger has of one image."""

    kinds: set[EventKind] = field(default_factory=set)
    """The kinds of the accepted events, readable or not."""
    job: int = 0
    state: ImageState | None = None
    first_seen_at: float = 0.0
    events: dict[EventKind, ExposureEvent] = field(default_factory=dict)
    refused: list[RefusedExposure] = field(default_factory=list)
    listed_at: float = 0.0
    """Unix time (UTC, seconds) at which a scan listed the image as missed; 0 if none did."""
    kept: dict[EventKind, ExposureEvent] = field(default_factory=dict)
    """The events of a missed image that arrived without its startIntegration."""

    @classmethod
    def of(cls, record: ImageRecord | None) -> KnownImage:
        """Return the cached part of a record; None stands for an image without one."""
        if record is None:
            return cls()
        return cls(
            record.received_kinds,
            record.job,
            record.state,
            record.first_seen_at,
            dict(record.events),
            list(record.refused),
            record.missed_at if record.missed_by == MissedBy.SCAN else 0.0,
        )

    def add(self, event: ExposureEvent) -> None:
        """Add an accepted event."""
        self.kinds.add(event.kind)
        self.events[event.kind] = event

    def kept_for(self, start: ExposureEvent) -> list[ExposureEvent]:
        """Return the kept events of the exposure whose startIntegration has arrived after all."""
        if compare(self.kept, start).match is Match.OTHER:
            return []
        return [event for event in self.kept.values() if event.kind is not start.kind]

    def refused_exposure_of(
        self, event: ExposureEvent, received_at: float, *, is_enabled: bool
    ) -> RefusedExposure | None:
        """Return the later exposure to which an event belongs; None if it is of the first one.

        Parameters
        ----------
        event : `ExposureEvent`
            The event. It is not part of the result yet, see `refuse`.
        received_at : `float`
            Time of its receipt: Unix time, UTC, seconds.
        is_enabled : `bool`
            Whether the CSC is ENABLED.
        """
        if not self.events and not self.refused and not self.listed_at:
            return None
        if self.listed_at:
            verdict = compare_with_missed(self.events, event, self.listed_at)
        else:
            verdict = compare(self.events, event)
        if verdict.match is Match.SAME:
            return None
        unclear: list[RefusedExposure] = []
        for refused in reversed(self.refused):
            match = compare(refused.events, event).match
            if match is Match.SAME:
                return refused
            if match is Match.UNKNOWN:
                unclear.append(refused)
        # The newest exposure is the most likely one.
        lacking = [refused for refused in unclear if event.kind not in refused.events]
        if verdict.match is Match.OTHER and not unclear:
            return RefusedExposure(
                number=min(len(self.refused) + 1, MAX_REFUSED),
                refused_at=received_at,
                reason=verdict.difference,
                is_skipped=not is_enabled,
            )
        return next(iter(lacking or unclear), None)

    def refuse(
        self, refused: RefusedExposure, event: ExposureEvent, received_at: float
    ) -> RefusedExposure:
        """Return a refused exposure with one more event, which is remembered here."""
        with_event = refused.model_copy(
            update={
                "events": {**refused.events, event.kind: event},
                "event_times": {**refused.event_times, event.kind: round(received_at, 3)},
            }
        )
        self.refused = [one for one in self.refused if one.number != refused.number]
        self.refused.append(with_event)
        return with_event
