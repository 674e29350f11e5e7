"""Camera and header events on their way into the ledger, off salobj's queues at once.

While Redis is away they wait here, in memory, bounded. Whether an event is handled is decided when it comes: only
in ENABLED. The rest is in the ledger as skipped, so that an observer can see why an image was not archived.
"""

from __future__ import annotations

import asyncio
import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.clock import unix_time
from ccarchiver_core.domain.exposure import EndReadout, EventKind, HeaderReady, StartIntegration
from ccarchiver_core.domain.worker_messages import ExposureEventMessage
from ccarchiver_core.log.deferred_log import DeferredLog
from ccarchiver_core.redis.client import read_hash, retry_until_available
from ccarchiver_core.store import dead_letters, ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_sal import event_validation
from ccarchiver_sal.watermarks import Watermark, Watermarks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ccarchiver_core.config.site_sections import SalNames
    from ccarchiver_core.domain.exposure import ExposureEvent
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sal.adapter import Sample

OF_CAMERA = (EventKind.START.value, EventKind.END.value)
OF_HEADER_SERVICE = (EventKind.HEADER.value,)
"""The events the archiver listens to."""

BATCH = 100
"""Events that share one step; a burst of 2,000 takes 20."""

CACHE = 2000
"""Images whose known events are remembered, so that a burst does not ask Redis for each."""

SKIPPED_PREFIX = "skipped:"
"""Fields of an image's record: events that came while the CSC was not ENABLED."""

_log = structlog.get_logger(__name__)


def topics_of(names: SalNames) -> dict[str, tuple[str, ...]]:
    """Give the SAL components the archiver listens to, and the events of each."""
    return {names.camera: OF_CAMERA, names.header_service: OF_HEADER_SERVICE}


def convert(sample: Sample) -> tuple[str, ExposureEvent]:
    """Take what the archiver needs from a SAL event: the image's name and the event."""
    data: Any = sample.data
    match EventKind(sample.topic):
        case EventKind.START:
            return data.imageName, StartIntegration(
                image_name=data.imageName,
                image_index=data.imageIndex,
                images_in_sequence=data.imagesInSequence,
                image_date=data.imageDate,
                exposure_time=data.exposureTime,
            )
        case EventKind.END:
            return data.imageName, EndReadout(
                image_name=data.imageName, image_index=data.imageIndex, images_in_sequence=data.imagesInSequence
            )
        case EventKind.HEADER:
            return data.id, HeaderReady(url=data.url)


@dataclass(frozen=True)
class _ReceivedEvent:
    obsid: str
    event: ExposureEvent
    sender: str
    mark: Watermark
    at: float
    enabled: bool
    faulted: bool
    session_id: str


@dataclass
class _KnownImage:
    """What the ledger has of one image."""

    kinds: set[str]
    job: int
    state: ImageState | None


@dataclass
class _Batch:
    """A step, and what is to be said of it."""

    transaction: Transaction = field(default_factory=Transaction)
    lines: DeferredLog = field(default_factory=DeferredLog)


class EventIntake:
    """Takes events in and writes them down.

    Parameters
    ----------
    context : `WorkerContext`
        Redis, steps, settings.
    is_enabled : callable
        Whether events are handled now.
    is_faulted : callable
        Whether the CSC is in FAULT: events of images accepted before are kept then, for the next session.
    session_id : callable
        The session in force.
    overflow : callable
        Called once when memory is full: events are being lost from here on.
    """

    def __init__(
        self,
        context: WorkerContext,
        is_enabled: Callable[[], bool],
        is_faulted: Callable[[], bool],
        session_id: Callable[[], str],
        overflow: Callable[[str], None],
    ) -> None:
        self._context = context
        self._is_enabled = is_enabled
        self._is_faulted = is_faulted
        self._session_id = session_id
        self._overflow = overflow
        self._overflowed = False
        self._waiting: collections.deque[_ReceivedEvent] = collections.deque()
        self._arrived = asyncio.Event()
        self._known: collections.OrderedDict[str, _KnownImage] = collections.OrderedDict()
        self._marks = Watermarks()
        self._gaps: list[str] = []
        self._job = 0

    async def load(self) -> None:
        """Read what an earlier process wrote: the last job number, the newest events of each topic."""
        redis = self._context.redis
        self._marks.load(await retry_until_available(lambda: read_hash(redis, keys.CSC)))
        job = await retry_until_available(lambda: redis.hget(keys.COUNTERS, "job"))
        self._job = max(self._job, int(job or 0))

    def handle_history(self, topic: str, history: Sequence[Sample], kept: int) -> None:
        """Take in what came before this process listened; what an earlier one has written is left out.

        Parameters
        ----------
        topic : `str`
            One topic.
        history : `list`
            All that DDS has of it, each sender's events in the order in which it put them.
        kept : `int`
            The most that DDS keeps of a topic.
        """
        # Where no archiver was before, what is there is not its business; nor is what came while it was not wanted.
        is_resumed = self._marks.knows(topic) and (self._is_enabled() or self._is_faulted())
        known, fresh = self._marks.split(topic, history)
        newest = self._marks.newest_sent_at(topic)
        if newest is not None and len(history) >= kept and len(fresh) == len(history):
            self._gaps.append(
                f"{topic}: {kept} events or more came while the CSC was away; those between the one of {newest:.3f} "
                f"and the one of {history[0].sent_at:.3f} (TAI, Unix seconds) were not kept by DDS and are lost"
            )
        taken = len(fresh) if is_resumed else 0
        _log.info("history.read", topic=topic, known=len(history) - taken, taken=taken)
        for sample in known if is_resumed else history:
            self._marks.advance(topic, sample.origin, Watermark.of(sample))
        for sample in fresh if is_resumed else ():
            self.handle(sample)

    def handle(self, sample: Sample) -> None:
        """Take one event in; never blocks."""
        obsid, event = convert(sample)
        if len(self._waiting) >= self._context.settings.max_buffered_events:
            if not self._overflowed:
                self._overflowed = True
                self._overflow(f"{len(self._waiting)} camera events wait in memory (MAX_BUFFERED_EVENTS), for Redis")
            return
        self._overflowed = False
        self._waiting.append(
            _ReceivedEvent(
                obsid,
                event,
                sample.origin,
                Watermark.of(sample),
                unix_time(),
                self._is_enabled(),
                self._is_faulted(),
                self._session_id(),
            )
        )
        self._arrived.set()

    @property
    def gaps(self) -> list[str]:
        """For each topic of which more events came while nobody listened than DDS keeps: what is lost."""
        return self._gaps

    async def run(self) -> None:
        """Write events down until cancelled."""
        await self._write_history_marks()
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
            await self._write(batch)
            for _ in batch:
                self._waiting.popleft()

    async def _write_history_marks(self) -> None:
        """Remember which events were there before this process and are not its business, for the next resume."""
        transaction = Transaction()
        self._marks.write(transaction, (*OF_CAMERA, *OF_HEADER_SERVICE))
        await self._context.transactions.apply(transaction)

    async def _write(self, batch: list[_ReceivedEvent]) -> None:
        writing, marks = _Batch(), self._marks.copy()
        for received in batch:
            await self._add(writing, received)
        if await self._apply(writing) is Outcome.APPLIED:
            return
        self._marks = marks  # none of them is in the ledger yet
        for received in batch:  # memory was wrong about the ledger: ask it, one by one
            self._known.pop(received.obsid, None)
        for received in batch:
            await self._look_up(received.obsid)
            single = _Batch()
            await self._add(single, received)
            if await self._apply(single) is Outcome.PRECONDITION_FAILED:
                self._known.pop(received.obsid, None)
                _log.error("event.not_recorded", image=received.obsid, topic=received.event.kind)

    async def _apply(self, writing: _Batch) -> Outcome:
        failpoint.hit("sal.before_event_step")
        outcome = await self._context.transactions.apply(writing.transaction)
        failpoint.hit("sal.after_event_step")
        if outcome is Outcome.APPLIED:
            writing.lines.flush()
        return outcome

    async def _add(self, writing: _Batch, received: _ReceivedEvent) -> None:
        """Add to a step what an event changes."""
        transaction, kind = writing.transaction, received.event.kind
        self._marks.advance(kind, received.sender, received.mark)
        self._marks.write(transaction, [kind])
        reason = event_validation.validate(received.obsid, received.event)
        if reason:
            origin, raw = f"{dead_letters.SAL_ORIGIN}{kind}", received.event.model_dump_json().encode()
            dead_letters.add(transaction, self._context.settings, origin=origin, reason=reason, raw=raw)
            writing.lines.add(_log.error, "event.dead_lettered", topic=kind, reason=reason)
            return
        known = self._known.get(received.obsid)
        if known is None and kind is EventKind.START and received.enabled:
            # Most likely nobody has heard of it. The step is refused if that is wrong.
            transaction.require(keys.image(received.obsid), "state", None)
            known = self._remember(received.obsid, {})
        known = known or await self._look_up(received.obsid)
        if kind in known.kinds:
            transaction.count("duplicate_events")
            writing.lines.add(_log.info, "event.duplicated", image=received.obsid, topic=kind)
            return
        of_accepted = known.state in (ImageState.ACCEPTED, ImageState.STALLED, ImageState.FAILED)
        if received.faulted and of_accepted:
            # A fault in the middle of an exposure: the rest of it is kept, and sent on in the next session.
            transaction.set_fields(
                keys.image(received.obsid),
                {kind: received.event.model_dump_json(), f"{ledger.AT_PREFIX}{kind}": received.at},
            )
            known.kinds.add(kind)
            writing.lines.add(
                _log.info, "event.kept", image=received.obsid, topic=kind, reason="it was accepted before the fault"
            )
            return
        if not received.enabled or (known.state is ImageState.SKIPPED and kind is not EventKind.START):
            self._skip(writing, received, known)
            return
        is_first = known.state is None
        is_new = is_first or known.state in (ImageState.SKIPPED, ImageState.UNANNOUNCED)
        if is_new:
            self._job += 1
            known.job, known.state = self._job, ImageState.ACCEPTED
            transaction.command("HSET", keys.COUNTERS, "job", self._job)
        ledger.record_event(
            transaction,
            ledger.ReceivedEvent(received.obsid, known.job, received.session_id, received.event, received.at),
            ImageState.ACCEPTED,
            is_new=is_new,
        )
        transaction.enqueue(
            keys.Worker.BRIDGE,
            ExposureEventMessage(
                obsid=received.obsid,
                job=known.job,
                event=received.event,
                received_at=received.at,
                is_new_image=is_first,
            ),
        )
        known.kinds.add(kind)
        writing.lines.add(
            _log.info, "event.accepted", image=received.obsid, topic=kind, job=known.job, session=received.session_id
        )

    def _skip(self, writing: _Batch, received: _ReceivedEvent, known: _KnownImage) -> None:
        transaction, name = writing.transaction, keys.image(received.obsid)
        skipped = f"{SKIPPED_PREFIX}{received.event.kind}"
        transaction.set_fields(
            name, {skipped: received.event.model_dump_json(), f"{ledger.AT_PREFIX}{received.event.kind}": received.at}
        )
        transaction.count("events_skipped")
        if known.state is None:
            known.state = ImageState.SKIPPED
            ledger.create_unaccepted(transaction, received.obsid, ImageState.SKIPPED)
        writing.lines.add(
            _log.info,
            "event.skipped",
            image=received.obsid,
            topic=received.event.kind,
            reason="not ENABLED when it came",
        )

    async def _look_up(self, obsid: str) -> _KnownImage:
        known = self._known.get(obsid)
        if known is None:
            record = await retry_until_available(lambda: ledger.read_record(self._context.redis, obsid))
            known = self._remember(obsid, record)
        return known

    def _remember(self, obsid: str, record: dict[str, str]) -> _KnownImage:
        known = self._known[obsid] = _KnownImage(
            kinds={kind for kind in EventKind if kind in record},
            job=int(record.get("job", "0")),
            state=ImageState(record["state"]) if "state" in record else None,
        )
        while len(self._known) > CACHE:
            self._known.popitem(last=False)
        return known
