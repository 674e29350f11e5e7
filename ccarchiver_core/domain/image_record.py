"""The record of one image in the ledger: events, instructions, file statuses and derived values.

This module does no I/O; `ccarchiver_core.store.image_ledger` reads and writes the records.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

from ccarchiver_core.base.clock import Instant  # noqa: TC001  pydantic reads the annotation
from ccarchiver_core.domain.exposure import (
    EndReadout,
    EventKind,
    Exposure,
    ExposureEvent,
    HeaderReady,
    Instruction,
    SentInstruction,
    StartIntegration,
)
from ccarchiver_core.domain.file_status import FileStatusRecord, StatusTopic
from ccarchiver_core.domain.refused_exposure import (
    RefusedExposure,  # noqa: TC001  pydantic reads the annotation
)


class ImageState(enum.StrEnum):
    """The state of an image."""

    ACCEPTED = "accepted"
    SKIPPED = "skipped"
    COMPLETE = "complete"
    FAILED = "failed"
    STALLED = "stalled"
    UNREADABLE = "unreadable"
    """The field cannot be read: a person changed it, or another version wrote it. Never written."""
    UNANNOUNCED = "unannounced"
    """Only file statuses were received.

    The image was accepted before the ledger began, or by another archiver.
    """
    MISSED = "missed"
    """The camera took it, but it was not accepted: no event arrived, or the CSC was not ENABLED."""
    DISMISSED = "dismissed"
    """It was missed, and an operator has decided that it will not be archived."""


class MissedBy(enum.StrEnum):
    """What has shown that the camera took an image that was not accepted."""

    SCAN = "scan"
    """The Forwarder has listed it."""
    NUMBERS = "numbers"
    """Its number is missing between those of two other images."""


OPEN_STATES = frozenset({ImageState.ACCEPTED, ImageState.STALLED})
"""States in which the archiver still works on an image."""

UNACCEPTED_STATES = frozenset(
    {ImageState.SKIPPED, ImageState.UNANNOUNCED, ImageState.MISSED, ImageState.DISMISSED}
)
"""States of images that are in the ledger and were not accepted."""

UNSEEN_STATES = frozenset({ImageState.MISSED, ImageState.DISMISSED})
"""States of images of which perhaps no event arrived."""


@dataclass(frozen=True)
class ReceivedEvent:
    """An event of an accepted image, with its time of receipt."""

    obsid: str
    job: int
    session_id: str
    event: ExposureEvent
    received_at: float
    """Unix time, UTC, seconds."""


@dataclass(frozen=True)
class MissedImage:
    """An image to be recorded as missed."""

    obsid: str
    at: float
    """Estimated time of the exposure: Unix time, UTC, seconds."""
    missed_by: MissedBy
    was_skipped: bool = False
    """Whether the ledger has the image in the state skipped, otherwise it has no record of it."""


@dataclass(frozen=True)
class ImageRecord:
    """The ledger's record of one image. Times are Unix times, UTC, seconds, or 0."""

    obsid: str
    state: ImageState
    job: int = 0
    session_id: str = ""
    first_seen_at: float = 0.0
    waiting_since: Instant | None = None
    """Start of the age of an open image; None in a record of an earlier version."""
    events: dict[EventKind, ExposureEvent] = field(default_factory=dict)
    """The events that were accepted."""
    event_times: dict[EventKind, float] = field(default_factory=dict)
    """Time at which each event was received, including skipped events."""
    target_dir: str = ""
    instructions: dict[Instruction, SentInstruction] = field(default_factory=dict)
    superseded: list[tuple[Instruction, SentInstruction]] = field(default_factory=list)
    """Instructions that were sent again to another Forwarder, or in another session."""
    statuses: list[FileStatusRecord] = field(default_factory=list)
    """The last status of each file and topic, oldest first."""
    retrieved_at: float = 0.0
    """Time at which the last successful retrieval was published."""
    failure_reason: str = ""
    failure_code: int = 0
    finished_at: float = 0.0
    retried_at: float = 0.0
    replayed_at: float = 0.0
    missed_at: float = 0.0
    """Time at which the image was found to be missed."""
    missed_by: str = ""
    """What has shown it, see `MissedBy`; empty if it was never missed."""
    catch_up_requested_at: float = 0.0
    """Time at which an operator requested that it be archived."""
    dismissed_at: float = 0.0
    """Time at which an operator dismissed it."""
    dismissal: str = ""
    """The operator's reason; empty if it was never dismissed."""
    caught_up_at: float = 0.0
    """Time at which it was accepted although it was missed."""
    refused: list[RefusedExposure] = field(default_factory=list)
    """Later exposures of the same name, which were not accepted, oldest first."""
    unreadable: tuple[str, ...] = ()
    """Fields whose values this version cannot read."""

    @property
    def is_open(self) -> bool:
        """Whether the archiver still works on the image."""
        return self.state in OPEN_STATES

    @property
    def received_kinds(self) -> set[EventKind]:
        """The kinds of the accepted events, readable or not."""
        return {*self.events, *(kind for kind in EventKind if kind in self.unreadable)}

    @property
    def last_event_at(self) -> float | None:
        """Time at which the last of its events was received; None if there was none."""
        return max(self.event_times.values(), default=None)

    @property
    def waiting_from(self) -> float:
        """Unix time at which the waiting time of an open image starts."""
        return max(self.retried_at, self.caught_up_at) or self.first_seen_at or time.time()

    @property
    def caught_up_after_s(self) -> float:
        """Seconds from the exposure until it was accepted as a missed image; 0 if it never was."""
        return max(0.0, self.caught_up_at - self.first_seen_at) if self.caught_up_at else 0.0

    @property
    def age_s(self) -> float:
        """Seconds that an open image has waited; a change of the wall clock does not count."""
        if self.waiting_since is None:
            return time.time() - self.waiting_from
        return self.waiting_since.age_s()

    @property
    def last_progress_at(self) -> float:
        """Time of the newest stage of the image; from then on the next one is due."""
        times = [self.first_seen_at, self.retried_at, self.replayed_at, *self.event_times.values()]
        times += [status.published_at for status in self.statuses if status.code == 0]
        for sent in self.instructions.values():
            times += [sent.sent_at, sent.resent_at, sent.acked_at]
        return max(times)

    @property
    def idle_s(self) -> float:
        """Seconds without progress of an open image; a change of the wall clock does not count.

        Until endReadout is received, the exposure time does not count: nothing is due while the
        shutter is open.
        """
        idle_s = self.age_s - max(0.0, self.last_progress_at - self.waiting_from)
        start = self.events.get(EventKind.START)
        if isinstance(start, StartIntegration) and EventKind.END not in self.event_times:
            idle_s -= max(0.0, start.exposure_time)  # 0 if it is not a number
        return max(0.0, idle_s)

    def good_ccds(self, topic: StatusTopic) -> set[str]:
        """Return the CCDs whose last status under a topic is success."""
        return {
            status.ccd for status in self.statuses if status.topic is topic and status.code == 0
        }

    def count_good(self, topic: StatusTopic) -> int:
        """Return the number of CCDs whose last status under a topic is success."""
        return len(self.good_ccds(topic))

    def is_retrieved(self, files_per_image: int) -> bool:
        """Return whether every file of the image has been retrieved."""
        return self.count_good(StatusTopic.RETRIEVAL) >= files_per_image

    def to_exposure(self, files_per_image: int) -> Exposure | None:
        """Return what the bridge works with; None unless the image is open.

        Raises
        ------
        ValueError
            If a field cannot be read: what is due for the image is then unknown.
        """
        if not self.is_open:
            return None
        if self.unreadable:
            names = ", ".join(self.unreadable)
            raise ValueError(
                f"the record of image {self.obsid} has fields that cannot be read: {names}"
            )
        start, end, header = (self.events.get(kind) for kind in EventKind)
        return Exposure(
            obsid=self.obsid,
            job=self.job,
            start=start if isinstance(start, StartIntegration) else None,
            end=end if isinstance(end, EndReadout) else None,
            header=header if isinstance(header, HeaderReady) else None,
            target_dir=self.target_dir,
            failure_reason=self.failure_reason,
            retrieved=self.is_retrieved(files_per_image),
            sent=dict(self.instructions),
            received_at=dict(self.event_times),
        )

    def waiting_on(self, files_per_image: int) -> str:
        """Return a text about what an open image waits for; "nothing" if it is not open."""
        if not self.is_open:
            return "nothing"
        stages = (
            (EventKind.START in self.events, "the camera's startIntegration"),
            (bool(self.target_dir), "the Controller's answer to NEW_CC_ARCHIVE_ITEM"),
            (Instruction.XFER_PARAMS in self.instructions, "a paired Forwarder"),
            (EventKind.END in self.events, "the camera's endReadout"),
            (EventKind.HEADER in self.events, "the header service's largeFileObjectAvailable"),
        )
        for is_done, waited_for in stages:
            if not is_done:
                return waited_for
        retrieved = self.count_good(StatusTopic.RETRIEVAL)
        last = (Instruction.END_READOUT, Instruction.HEADER_READY)
        unsent = [instruction for instruction in last if instruction not in self.instructions]
        if retrieved < files_per_image and unsent:
            return (
                f"the bridge, which has not sent {' and '.join(unsent)} yet: "
                "RabbitMQ, a paired Forwarder"
            )
        if retrieved < files_per_image:
            return f"the Forwarder: {retrieved} of {files_per_image} files retrieved"
        ingested = self.count_good(StatusTopic.IN_OODS)
        return f"the OODS: {ingested} of {files_per_image} files ingested"
