"""Record camera and header events in the ledger.

Events are removed from salobj's queues at once. While Redis is unavailable they wait in memory, up
to a limit. An event is accepted only if the CSC is ENABLED when it arrives. Other events are
recorded as skipped, so that an observer can see why an image was not archived.
"""

from __future__ import annotations

import asyncio
import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time, utc_text
from ccarchiver_core.domain.exposure import EndReadout, EventKind, HeaderReady, StartIntegration
from ccarchiver_core.domain.image_record import UNACCEPTED_STATES, ImageState, ReceivedEvent
from ccarchiver_core.domain.worker_messages import ExposureEventMessage
from ccarchiver_core.log.deferred_log import DeferredLog
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.image_ledger import ImageLedger, read_last_job
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_sal import event_validation
from ccarchiver_sal.event_history import EventHistory
from ccarchiver_sal.known_image import KnownImage
from ccarchiver_sal.missed_events import events_of_missed
from ccarchiver_sal.sequence_gaps import SequenceGaps
from ccarchiver_sal.watermarks import Watermark, Watermarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccarchiver_core.config.site_sections import SalNames
    from ccarchiver_core.domain.exposure import ExposureEvent
    from ccarchiver_core.domain.image_record import ImageRecord
    from ccarchiver_core.domain.refused_exposure import RefusedExposure
    from ccarchiver_core.domain.worker_messages import ArchiveMissed
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sal.adapter import Sample
    from ccarchiver_sal.csc_status import CscStatus

OF_CAMERA = (EventKind.START.value, EventKind.END.value)
OF_HEADER_SERVICE = (EventKind.HEADER.value,)
"""The events that the archiver subscribes to, by sender."""

BATCH = 100
"""Maximum number of events in one transaction; a burst of 2,000 events takes 20."""

CACHE = 2000
"""Images whose recorded events are cached, so that a burst does not query Redis for each event."""

UNACCEPTED_UNTIL_START = frozenset({ImageState.SKIPPED, ImageState.MISSED})
"""States in which only startIntegration makes an image accepted.

Without it nothing is sent. The other events of a missed image are kept for its catch-up.
"""

_log = structlog.get_logger(__name__)


def topics_of(names: SalNames) -> dict[str, tuple[str, ...]]:
    """Return the events that the archiver subscribes to, by SAL component."""
    return {names.camera: OF_CAMERA, names.header_service: OF_HEADER_SERVICE}


def convert(sample: Sample) -> tuple[str, ExposureEvent]:
    """Return the obsid and the content of a SAL event.

    Fields that only tell two exposures of one name apart may be missing in a release of the IDL.
    """
    data: Any = sample.data
    match EventKind(sample.topic):
        case EventKind.START:
            return data.imageName, StartIntegration(
                image_name=data.imageName,
                image_index=data.imageIndex,
                images_in_sequence=data.imagesInSequence,
                image_date=data.imageDate,
                exposure_time=data.exposureTime,
                acquisition_start=getattr(data, "timestampAcquisitionStart", 0.0),
                sent_at=sample.sent_at,
            )
        case EventKind.END:
            return data.imageName, EndReadout(
                image_name=data.imageName,
                image_index=data.imageIndex,
                images_in_sequence=data.imagesInSequence,
                image_date=getattr(data, "imageDate", ""),
                acquisition_start=getattr(data, "timestampAcquisitionStart", 0.0),
                end_of_readout=getattr(data, "timestampEndOfReadout", 0.0),
                sent_at=sample.sent_at,
            )
        case EventKind.HEADER:
            checksum = getattr(data, "checkSum", "")
            return data.id, HeaderReady(url=data.url, checksum=checksum, sent_at=sample.sent_at)


@dataclass(frozen=True)
class _IntakeEvent:
    obsid: str
    event: ExposureEvent
    origin: str
    watermark: Watermark
    received_at: float
    is_enabled: bool
    is_faulted: bool
    session_id: str
    missed: int
    """Number of events of this topic and sender that were sent before and never arrived."""


@dataclass
class _Batch:
    """A transaction, and the log lines that are written once it is applied."""

    transaction: Transaction = field(default_factory=Transaction)
    lines: DeferredLog = field(default_factory=DeferredLog)


class EventIntake:
    """Receives events and records them in the ledger.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, transactions, settings.
    status : `CscStatus`
        The state of the CSC.
    """

    def __init__(self, context: WorkerContext, status: CscStatus) -> None:
        self._context = context
        self._status = status
        self._overflowed = False
        self._waiting: collections.deque[_IntakeEvent] = collections.deque()
        self._arrived = asyncio.Event()
        self._known: collections.OrderedDict[str, KnownImage] = collections.OrderedDict()
        self._watermarks = Watermarks()
        self._gaps: list[str] = []
        self._sequence_gaps = SequenceGaps()
        self._history = EventHistory()
        self._job = 0
        self._writing = asyncio.Lock()
        """Keeps the job numbers in sequence."""

    async def load(self) -> None:
        """Load what an earlier process recorded: the last job number and the watermarks."""
        redis = self._context.redis
        self._watermarks.load(await retry_until_available(lambda: read_hash(redis, keys.CSC)))
        job = await retry_until_available(lambda: read_last_job(redis))
        self._job = max(self._job, job)

    def handle_history(self, topic: str, history: Sequence[Sample], kept: int) -> None:
        """Handle the events that were sent before this process subscribed.

        Events that an earlier process has recorded are left out. All are remembered, in case one
        of their images is missed.

        Parameters
        ----------
        topic : `str`
            The topic.
        history : `list`
            All its events in the DDS history, those of each sender in the sequence of sending.
        kept : `int`
            Maximum number of events of a topic that DDS keeps.
        """
        # On its first start an archiver ignores the history. It also ignores events that were sent
        # while it was not active.
        is_resumed = self._watermarks.knows(topic) and (
            self._status.is_enabled or self._status.is_faulted
        )
        known, new_events = self._watermarks.split(topic, history)
        newest = self._watermarks.newest_sent_at(topic)
        if newest is not None and len(history) >= kept and len(new_events) == len(history):
            self._gaps.append(
                f"{topic}: {kept} or more events were sent while the CSC was down; DDS did not "
                f"keep those between {newest:.3f} and {history[0].sent_at:.3f} (TAI, Unix "
                "seconds): they are lost"
            )
        elif is_resumed:
            self._sequence_gaps.continue_from(topic, self._watermarks.sequences(topic))
        new = len(new_events) if is_resumed else 0
        _log.info("history.read", topic=topic, known=len(history) - new, new=new)
        for sample in history:
            self._history.add(*convert(sample))
        for sample in known if is_resumed else history:
            self._watermarks.advance(topic, sample.origin, Watermark.of(sample))
            self._sequence_gaps.missing_before(sample)
        for sample in new_events if is_resumed else ():
            self.handle(sample)

    def handle(self, sample: Sample) -> None:
        """Put one event into the buffer. This never blocks."""
        obsid, event = convert(sample)
        missed = self._sequence_gaps.missing_before(sample)
        if len(self._waiting) >= self._context.settings.max_buffered_events:
            if not self._overflowed:
                self._overflowed = True
                self._status.on_intake_overflow(
                    f"{len(self._waiting)} camera events wait in memory for Redis "
                    "(MAX_BUFFERED_EVENTS)"
                )
            return
        self._overflowed = False
        self._waiting.append(
            _IntakeEvent(
                obsid,
                event,
                sample.origin,
                Watermark.of(sample),
                unix_time(),
                self._status.is_enabled,
                self._status.is_faulted,
                self._status.session_id,
                missed,
            )
        )
        self._arrived.set()

    @property
    def gaps(self) -> list[str]:
        """A text for each topic of which DDS did not keep all events: which ones are lost."""
        return self._gaps

    async def run(self) -> None:
        """Record events until cancelled."""
        await self._write_history_watermarks()
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
            async with self._writing:
                await self._write(batch)
            for _ in batch:
                self._waiting.popleft()

    async def accept_missed(self, message: ArchiveMissed) -> None:
        """Accept a missed image and send what is known of it to the bridge; safe to repeat.

        If it is accepted, but its startIntegration has not arrived, it gets the missing events.
        Nothing happens in another state, or if the CSC is not ENABLED in that session.
        """
        status, obsid = self._status, message.obsid
        async with self._writing:
            if not status.is_enabled or status.session_id != message.session_id:
                return
            ledger = ImageLedger(self._context.redis)
            record = await retry_until_available(lambda: ledger.read(obsid))
            if record is not None and record.is_open:
                await self._complete_events(record, message.header_url)
                return
            skipped = await retry_until_available(lambda: ledger.read_skipped_events(obsid))
            known = self._history.events_of(obsid) | skipped
            events = events_of_missed(obsid, known, message.header_url)
            self._job += 1
            transaction = Transaction().command("HSET", keys.COUNTERS, "job", self._job)
            ImageLedger.accept_missed(
                transaction, obsid, job=self._job, session_id=message.session_id, events=events
            )
            received_at = unix_time()
            for event in events:
                transaction.enqueue(
                    keys.Worker.BRIDGE,
                    ExposureEventMessage(
                        obsid=obsid, job=self._job, event=event, received_at=received_at
                    ),
                )
            outcome = await self._context.transactions.apply(transaction)
            self._known.pop(obsid, None)
        if outcome is Outcome.APPLIED:
            kinds = [str(event.kind) for event in events]
            _log.info("image.caught_up", image=obsid, session=message.session_id, events=kinds)

    async def _complete_events(self, record: ImageRecord, header_url: str) -> None:
        """Give an accepted image without a startIntegration the events that it lacks.

        The camera took it: a scan has listed it. Without that event nothing would be sent.
        """
        received = record.received_kinds
        if EventKind.START in received:
            return
        events = [
            event
            for event in events_of_missed(record.obsid, record.events, header_url)
            if event.kind not in received
        ]
        transaction = Transaction()
        ImageLedger.require_state(transaction, record.obsid, record.state)
        received_at = unix_time()
        for event in events:
            transaction.require(keys.image(record.obsid), event.kind, None)
            ImageLedger.record_late_event(transaction, record.obsid, event, received_at)
            transaction.enqueue(
                keys.Worker.BRIDGE,
                ExposureEventMessage(
                    obsid=record.obsid, job=record.job, event=event, received_at=received_at
                ),
            )
        self._known.pop(record.obsid, None)
        if await self._context.transactions.apply(transaction) is Outcome.APPLIED:
            kinds = [str(event.kind) for event in events]
            _log.info("image.events_completed", image=record.obsid, events=kinds)

    async def _write_history_watermarks(self) -> None:
        """Record the watermarks of the events that this process ignored, for the next resume."""
        transaction = Transaction()
        self._watermarks.write(transaction, (*OF_CAMERA, *OF_HEADER_SERVICE))
        await self._context.transactions.apply(transaction)

    async def _write(self, batch: list[_IntakeEvent]) -> None:
        writing, watermarks = _Batch(), self._watermarks.copy()
        for received in batch:
            await self._add(writing, received)
        if await self._apply(writing) is Outcome.APPLIED:
            return
        self._watermarks = watermarks  # none of these events is in the ledger yet
        for received in batch:  # the cache was wrong: read the ledger, one image at a time
            self._known.pop(received.obsid, None)
        for received in batch:
            await self._look_up(received.obsid)
            single = _Batch()
            await self._add(single, received)
            if await self._apply(single) is Outcome.PRECONDITION_FAILED:
                self._known.pop(received.obsid, None)
                _log.error(
                    "event.not_recorded",
                    effect="the image may stay unfinished",
                    image=received.obsid,
                    topic=received.event.kind,
                )

    async def _apply(self, writing: _Batch) -> Outcome:
        await self._context.transactions.let_effects_pass()  # many events must not delay a status
        failpoint.hit("sal.before_event_transaction")
        outcome = await self._context.transactions.apply(writing.transaction)
        failpoint.hit("sal.after_event_transaction")
        if outcome is Outcome.APPLIED:
            writing.lines.flush()
        return outcome

    async def _add(self, batch: _Batch, received: _IntakeEvent) -> None:
        """Add the changes that an event causes to a batch."""
        kind = received.event.kind
        self._watermarks.advance(kind, received.origin, received.watermark)
        self._watermarks.write(batch.transaction, [kind])
        if received.missed:
            self._report_missed(batch, received)
        if self._dead_letter_if_invalid(batch, received):
            return
        known = await self._known_image(batch, received)
        was_accepted = known.state in (
            ImageState.ACCEPTED,
            ImageState.STALLED,
            ImageState.FAILED,
            ImageState.UNREADABLE,
        )
        refused = known.refused_exposure_of(
            received.event, received.received_at, is_enabled=received.is_enabled
        )
        if refused is not None and kind not in refused.events:
            self._refuse(batch, received, known, refused)
        elif refused is not None or kind in known.kinds:
            batch.transaction.count("duplicate_events")
            batch.lines.add(_log.info, "event.duplicated", image=received.obsid, topic=kind)
        elif received.is_faulted and was_accepted:
            self._record_late(batch, received, known)
        elif not received.is_enabled or (
            known.state in UNACCEPTED_UNTIL_START and kind is not EventKind.START
        ):
            self._skip(batch, received, known)
        else:
            self._accept(batch, received, known)

    def _report_missed(self, batch: _Batch, received: _IntakeEvent) -> None:
        kind, number = received.event.kind, received.missed
        batch.transaction.count("events_missed", number)
        batch.lines.add(
            self._status.on_events_missed,
            f"{kind}: {number} event{'s' if number > 1 else ''} of {received.origin} before that "
            f"of {received.obsid} did not arrive: SAL was cut off for too long; "
            "compare ccarchiver night with the camera's images",
        )

    def _dead_letter_if_invalid(self, batch: _Batch, received: _IntakeEvent) -> bool:
        kind = received.event.kind
        reason = event_validation.validate(received.obsid, received.event)
        if not reason:
            return False
        self._dead_letter(batch, received, reason)
        batch.lines.add(_log.error, "event.dead_lettered", topic=kind, reason=reason)
        return True

    def _refuse(
        self, batch: _Batch, received: _IntakeEvent, known: KnownImage, refused: RefusedExposure
    ) -> None:
        """Record an event of a later exposure of a name. The first exposure is not affected."""
        kind, obsid = received.event.kind, received.obsid
        is_first_event = not refused.events
        refused = known.refuse(refused, received.event, received.received_at)
        ImageLedger.record_refused(batch.transaction, obsid, refused)
        if refused.is_skipped:
            batch.transaction.count("events_skipped")
            if is_first_event:
                batch.transaction.count(f"images_{ImageState.SKIPPED}")
            batch.lines.add(
                _log.info,
                "event.skipped",
                image=obsid,
                topic=kind,
                reason="the CSC was not ENABLED, and an earlier exposure has this name",
            )
            return
        first_at, again_at = utc_text(known.first_seen_at), utc_text(refused.refused_at)
        reason = (
            f"{kind} of {obsid} is of another exposure, begun at {again_at}, than the one that had "
            f"this name first, at {first_at} ({refused.reason}): it is not archived"
        )
        self._dead_letter(batch, received, reason, obsid)
        batch.lines.add(_log.warning, "event.refused", image=obsid, topic=kind, reason=reason)
        if is_first_event:
            batch.transaction.count("exposures_refused")
            batch.lines.add(
                self._status.on_exposure_refused,
                f"image name {obsid} of {first_at} was used again at {again_at}: the second "
                "exposure is not archived; correct the camera's numbering",
            )

    def _dead_letter(
        self, batch: _Batch, received: _IntakeEvent, reason: str, obsid: str = ""
    ) -> None:
        dead_letters.add(
            batch.transaction,
            self._context.settings,
            origin=f"{dead_letters.SAL_ORIGIN}{received.event.kind}",
            reason=reason,
            raw=received.event.model_dump_json().encode(),
            obsid=obsid,
        )

    async def _known_image(self, batch: _Batch, received: _IntakeEvent) -> KnownImage:
        """Return the cached part of the record of an event's image."""
        known = self._known.get(received.obsid)
        if known is None and received.event.kind is EventKind.START and received.is_enabled:
            # The image is most likely new, so the ledger is not read. If that is wrong, the
            # precondition fails.
            ImageLedger.require_state(batch.transaction, received.obsid, None)
            known = self._remember(received.obsid, None)
        return known or await self._look_up(received.obsid)

    @staticmethod
    def _record_late(batch: _Batch, received: _IntakeEvent, known: KnownImage) -> None:
        """Record an event that arrives after a fault, for an image accepted before it.

        The next session handles it.
        """
        ImageLedger.record_late_event(
            batch.transaction, received.obsid, received.event, received.received_at
        )
        known.add(received.event)
        batch.lines.add(
            _log.info,
            "event.recorded_late",
            image=received.obsid,
            topic=received.event.kind,
            reason="the image was accepted before the fault",
        )

    def _accept(self, batch: _Batch, received: _IntakeEvent, known: KnownImage) -> None:
        """Record an event and send it to the bridge.

        The first event of an image assigns its job number.
        """
        is_unknown = known.state is None
        is_new = is_unknown or known.state in UNACCEPTED_STATES
        events = [received.event]
        if is_new:
            if known.state is ImageState.SKIPPED:
                # Health may have recorded it as missed, which then must be read again.
                batch.transaction.require(keys.image(received.obsid), "missed_at", None)
            elif known.state is ImageState.MISSED:
                ImageLedger.require_state(batch.transaction, received.obsid, ImageState.MISSED)
                ImageLedger.end_missed(batch.transaction, received.obsid)
                events += known.kept_for(received.event)
            self._job += 1
            known.job, known.state = self._job, ImageState.ACCEPTED
            known.first_seen_at = received.received_at
            batch.transaction.command("HSET", keys.COUNTERS, "job", self._job)
        for event in events:
            is_first = is_new and event is events[0]
            self._record_accepted(
                batch, received, event, known, is_first=is_first, is_unknown=is_unknown
            )

    @staticmethod
    def _record_accepted(
        batch: _Batch,
        received: _IntakeEvent,
        event: ExposureEvent,
        known: KnownImage,
        *,
        is_first: bool,
        is_unknown: bool,
    ) -> None:
        """Record an accepted event, and send it to the bridge."""
        record = ReceivedEvent(
            received.obsid, known.job, received.session_id, event, received.received_at
        )
        ImageLedger.record_event(batch.transaction, record, ImageState.ACCEPTED, is_new=is_first)
        message = ExposureEventMessage(
            obsid=received.obsid,
            job=known.job,
            event=event,
            received_at=received.received_at,
            is_new_image=is_unknown,
        )
        batch.transaction.enqueue(keys.Worker.BRIDGE, message)
        known.add(event)
        batch.lines.add(
            _log.info,
            "event.accepted",
            image=received.obsid,
            topic=event.kind,
            job=known.job,
            session=received.session_id,
        )

    @staticmethod
    def _skip(batch: _Batch, received: _IntakeEvent, known: KnownImage) -> None:
        """Record a skipped event, so that an observer sees why the image was not archived."""
        ImageLedger.record_skipped_event(
            batch.transaction, received.obsid, received.event, received.received_at
        )
        batch.transaction.count("events_skipped")
        known.kept[received.event.kind] = received.event
        if known.state is None:
            known.state = ImageState.SKIPPED
            ImageLedger.create_unaccepted(batch.transaction, received.obsid, ImageState.SKIPPED)
        batch.lines.add(
            _log.info,
            "event.skipped",
            image=received.obsid,
            topic=received.event.kind,
            reason="the CSC was not ENABLED"
            if known.state is not ImageState.MISSED
            else "it is kept for the catch-up: startIntegration did not arrive",
        )

    async def _look_up(self, obsid: str) -> KnownImage:
        known = self._known.get(obsid)
        if known is None:
            ledger = ImageLedger(self._context.redis)
            known = self._remember(obsid, await retry_until_available(lambda: ledger.read(obsid)))
            if known.state is ImageState.MISSED:
                known.kept = await retry_until_available(lambda: ledger.read_skipped_events(obsid))
        return known

    def _remember(self, obsid: str, record: ImageRecord | None) -> KnownImage:
        known = self._known[obsid] = KnownImage.of(record)
        while len(self._known) > CACHE:
            self._known.popitem(last=False)
        return known
