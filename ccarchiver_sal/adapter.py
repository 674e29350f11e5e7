"""The SAL library behind one thin typed adapter; nothing else of this package imports salobj.

salobj 6.9 has no types of its own, and some of what the archiver needs is only in its attributes.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dds

from ccarchiver_core.runtime.stub_unused_imports import spared

with spared():
    from lsst.ts import salobj
    from lsst.ts.salobj.topics import RemoteEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ExpectedError = salobj.ExpectedError
DdsError = dds.DDSException


class State(enum.IntEnum):
    """Summary states; the numbers are SAL's, so these equal salobj's."""

    DISABLED = 1
    ENABLED = 2
    FAULT = 3
    OFFLINE = 4
    STANDBY = 5


QUEUE_LENGTH = 10_000
"""Events a reader holds: salobj's own 100, and DDS's 100, lost 85 of 200 events put at once."""

HISTORY = 100
"""Newest events of a topic a late reader gets: what the observatory's QoS keeps."""


@dataclass(frozen=True)
class Sample:
    """One event as it was read."""

    topic: str
    origin: str
    """The process that put it."""
    sequence: int
    """Its number among those of its sender; a new process begins anew."""
    sent_at: float
    """When it was put, by its sender's clock (TAI, Unix seconds)."""
    data: Any


class EventSource:
    """Reads some events of one SAL component, with queues deep enough for a burst.

    Parameters
    ----------
    csc : `salobj.BaseCsc`
        Whose domain is used.
    component : `str`
        SAL component name.
    topics : `tuple`
        Event names.
    handle : callable
        Gets each new `Sample`, in the order of its topic; must not block.
    handle_history : callable
        Gets, once for each topic, its name, what was there before, and how many that can be at the most.
    """

    def __init__(
        self,
        csc: salobj.BaseCsc,
        component: str,
        topics: tuple[str, ...],
        handle: Callable[[Sample], None],
        handle_history: Callable[[str, Sequence[Sample], int], None],
    ) -> None:
        self._handle = handle
        self._handle_history = handle_history
        self._tasks: list[asyncio.Task[None]] = []
        domain = csc.salinfo.domain
        kept = _deepen(domain)
        try:
            self._salinfo = salobj.SalInfo(domain=domain, name=component, index=0)
            self._topics = [
                RemoteEvent(self._salinfo, name, max_history=HISTORY, queue_len=QUEUE_LENGTH) for name in topics
            ]
        finally:
            _restore(domain, kept)

    async def start(self) -> None:
        """Read what is there from before, then everything new."""
        await self._salinfo.start()
        for topic in self._topics:
            self._handle_history(topic.name, list(_drain(topic)), HISTORY)
            self._tasks.append(asyncio.create_task(self._read(topic)))

    async def close(self) -> None:
        """Stop reading; the readers go with the CSC's domain."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, topic: RemoteEvent) -> None:
        # Not by salobj's callback: setting one flushes the queue, and each call costs a task.
        while True:
            self._handle(_sample(topic, await topic.next(flush=False)))
            for sample in _drain(topic):
                self._handle(sample)


def _sample(topic: RemoteEvent, data: Any) -> Sample:  # noqa: ANN401  salobj has no types
    sender = f"{data.private_identity}:{data.private_origin}"
    return Sample(topic.name, sender, data.private_seqNum, data.private_sndStamp, data)


def _drain(topic: RemoteEvent) -> Iterator[Sample]:
    while (data := topic.get_oldest()) is not None:
        yield _sample(topic, data)


def _deepen(domain: salobj.Domain) -> object:
    """Give the domain's event readers a deep history for the readers made next; returns what to restore."""
    qos = domain.event_qos_set.reader_qos
    kept = qos.history
    qos.set_policies([dds.HistoryQosPolicy(kept.kind, QUEUE_LENGTH)])
    return kept


def _restore(domain: salobj.Domain, kept: object) -> None:
    domain.event_qos_set.reader_qos.set_policies([kept])


class TypedCsc(salobj.BaseCsc):  # type: ignore[misc]  # salobj has no types
    """What the archiver uses of salobj's CSC, with types.

    Parameters
    ----------
    name : `str`
        SAL component name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, index=None, initial_state=salobj.State.STANDBY)

    def take_up(self, state: State) -> None:
        """Begin in this state instead of STANDBY; call it before `start` runs."""
        self._summary_state = salobj.State(state)

    def put_event(self, topic: str, values: dict[str, str | int]) -> None:
        """Put an event, whatever the last one was; texts are made to fit their fields.

        Parameters
        ----------
        topic : `str`
            Event name.
        values : `dict`
            Its fields. A text longer than its field is cut; a character SAL cannot carry becomes ``?``.
        """
        event = getattr(self, f"evt_{topic}")
        fields = event.metadata.field_info
        fitting = {
            name: fit(value, fields[name].str_length) if isinstance(value, str) else value
            for name, value in values.items()
        }
        event.set_put(**fitting, force_output=True)

    def in_progress(self, command: str, data: object, timeout: float, text: str) -> None:
        """Tell the sender of a command that it takes up to ``timeout`` seconds more."""
        getattr(self, f"cmd_{command}").ack_in_progress(data, timeout=timeout, result=text)

    @property
    def error_report(self) -> tuple[int, str]:
        """Code and text of the last errorCode event."""
        data = self.evt_errorCode.data
        return int(data.errorCode), str(data.errorReport)


def fit(text: str, length: int | None) -> str:
    """Make a text one that SAL takes: ISO-8859-1, without NUL, not longer than its field."""
    plain = text.replace("\0", " ").encode("iso-8859-1", "replace").decode("iso-8859-1")
    return plain if length is None else plain[:length]
