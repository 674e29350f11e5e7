"""Thin typed adapter for the SAL library; the CSC imports salobj only here.

salobj has no types. Some of what the archiver needs is available only as its attributes. The CSC
runs with salobj 6.9 and with salobj 7; `ccarchiver_core.sal_interface.salobj_calls` has the calls
that differ.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dds
import structlog
from typing_extensions import override

from ccarchiver_core.runtime.stub_unused_imports import stubbed_imports
from ccarchiver_core.sal_interface.deep_readers import deep_readers
from ccarchiver_core.sal_interface.idl_file import EVENT
from ccarchiver_core.sal_interface.salobj_calls import finish, write_event
from ccarchiver_sal.event_texts import UNDEFINED, fit_event, fit_free_text

with stubbed_imports():
    from lsst.ts import idl as ts_idl
    from lsst.ts import salobj
    from lsst.ts.salobj.topics import RemoteEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
    from pathlib import Path

    from ccarchiver_core.sal_interface.comparison import Comparison

DdsError = dds.DDSException

METHOD = "do_"
"""Prefix of the methods that salobj calls for commands."""

STAND_IN = "ts_dds_cyclone"
"""Package of the stand-in for ts-dds, on Cyclone DDS."""

RESULT_LENGTH = 256 - len("Failed: ")
"""Longest reason in the acknowledgement of a failed command, after salobj's own words.

With SAL 7 the field is unlimited, but a peer with salobj 6.9 has no room for more.
"""

_log = structlog.get_logger(__name__)


def is_stand_in() -> bool:
    """Return whether the project's own ``ts-dds`` is installed, and not the genuine one."""
    return bool(DdsError.__module__.partition(".")[0] == STAND_IN)


def idl_folder() -> Path:
    """Return the folder from which salobj reads the IDL files."""
    folder: Path = ts_idl.get_idl_dir()
    return folder


class ExpectedError(salobj.ExpectedError):  # type: ignore[misc]  # salobj has no types
    """A command cannot be executed. Its acknowledgement contains the reason.

    Parameters
    ----------
    reason : `str`
        The reason, for the sender of the command. It is fitted to the acknowledgement.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(fit_free_text(reason, RESULT_LENGTH))


class State(enum.IntEnum):
    """Summary states with SAL's numbers, so that they equal salobj's."""

    DISABLED = 1
    ENABLED = 2
    FAULT = 3
    OFFLINE = 4
    STANDBY = 5


QUEUE_LENGTH = 10_000
"""Events a reader holds: salobj's and DDS's own 100 lost 85 of 200 events put at once."""

HISTORY = 100
"""Newest events of a topic that a late reader gets: as many as the observatory's QoS keeps."""


@dataclass(frozen=True)
class Sample:
    """Event as it was read."""

    topic: str
    origin: str
    """Process that put the event."""
    sequence: int
    """Number of the event at its sender; a new process starts again."""
    sent_at: float
    """Time at which it was put, by its sender's clock (TAI, Unix seconds)."""
    data: Any


class EventSource:
    """Reader of some events of one SAL component, with queues deep enough for a burst.

    Parameters
    ----------
    csc : `salobj.BaseCsc`
        CSC whose domain is used.
    component : `str`
        SAL component name.
    topics : `tuple`
        Event names.
    handle : callable
        Called with each new `Sample`, in the order of its topic; must not block.
    handle_history : callable
        Called once for each topic with its name, the earlier events, and their maximum number.
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
        with deep_readers(domain, QUEUE_LENGTH):
            self._salinfo = salobj.SalInfo(domain=domain, name=component, index=0)
            self._topics = [
                RemoteEvent(self._salinfo, name, max_history=HISTORY, queue_len=QUEUE_LENGTH)
                for name in topics
            ]

    async def start(self) -> None:
        """Read the earlier events of each topic, then start to read the new ones."""
        await self._salinfo.start()
        for topic in self._topics:
            self._handle_history(topic.name, list(_drain(topic)), HISTORY)
            self._tasks.append(asyncio.create_task(self._read(topic)))

    async def close(self) -> None:
        """Stop reading; the readers are closed with the CSC's domain."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, topic: RemoteEvent) -> None:
        # Without salobj's callback: setting one flushes the queue, and each call costs a task.
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


class TypedCsc(salobj.BaseCsc):  # type: ignore[misc]  # salobj has no types
    """The part of salobj's CSC that the archiver uses, with types.

    Parameters
    ----------
    interface : `Comparison`
        The component's IDL, and what it lacks.

    Notes
    -----
    salobj requires a method ``do_X`` for exactly the commands of the IDL, which differ between
    releases. A method for which the IDL has no command is therefore hidden from `dir`, and a
    command without a method is rejected when it arrives.
    """

    def __init__(self, interface: Comparison) -> None:
        self._interface = interface
        known = {name.removeprefix(METHOD) for name in dir(type(self)) if name.startswith(METHOD)}
        for command in interface.idl.commands - known:
            setattr(self, f"{METHOD}{command}", _reject_command)
        super().__init__(
            name=interface.idl.component, index=None, initial_state=salobj.State.STANDBY
        )

    @override
    def __dir__(self) -> Iterable[str]:
        """Return the attributes without the methods of commands that the IDL does not have."""
        commands = self._interface.idl.commands
        return [
            name
            for name in super().__dir__()
            if not name.startswith(METHOD) or name.removeprefix(METHOD) in commands
        ]

    def resume_in(self, state: State) -> None:
        """Start in this state instead of STANDBY; call it before `start` runs."""
        self._summary_state = salobj.State(state)

    async def put_event(self, topic: str, values: dict[str, str | int]) -> None:
        """Put an event, even one equal to the last.

        An event that the IDL at hand lacks is left out, and so is a field.

        Parameters
        ----------
        topic : `str`
            Event name.
        values : `dict`
            Fields of the event. A text that does not fit its field is replaced, see
            `ccarchiver_sal.event_texts`.
        """
        sal_name = f"{EVENT}{topic}"
        if sal_name in self._interface.left_out_topics:
            return
        event = getattr(self, f"evt_{topic}")
        known = self._interface.idl.topics[sal_name]
        values = {name: value for name, value in values.items() if name in known.fields}
        fitted = fit_event(values, known.text_lengths)
        for field, value in fitted.replaced.items():
            _log.warning(
                "event.value_replaced",
                image=values.get("obsid", ""),
                topic=topic,
                field=field,
                value=value,
                published=UNDEFINED,
            )
        await write_event(event, fitted.values)

    @override
    def fault(
        self, code: int | None, report: str, traceback: str = ""
    ) -> Coroutine[Any, Any, None] | None:
        """Publish an error and go to FAULT.

        The CSC is in FAULT when this returns. With salobj 7 the error is published when the result
        is awaited; with salobj 6.9 there is no result.
        """
        # salobj publishes no errorCode with a text that SAL cannot carry.
        lengths = self._interface.idl.topics[f"{EVENT}errorCode"].text_lengths
        publishing: Coroutine[Any, Any, None] | None = super().fault(
            code,
            fit_free_text(report, lengths.get("errorReport")),
            fit_free_text(traceback, lengths.get("traceback")),
        )
        self._summary_state = salobj.State.FAULT
        return publishing

    async def in_progress(self, command: str, data: object, duration: float, text: str) -> None:
        """Notify the sender of a command that it takes up to ``duration`` more seconds."""
        topic = getattr(self, f"cmd_{command}")
        await finish(topic.ack_in_progress(data, timeout=duration, result=text))

    @property
    def error_report(self) -> tuple[int, str]:
        """Code and text of the last errorCode event."""
        data = self.evt_errorCode.data
        return int(data.errorCode), str(data.errorReport)


async def _reject_command(data: object) -> None:
    """Reject a command of the IDL that this CSC does not execute."""
    del data
    reason = "this CSC does not support the command"
    raise ExpectedError(reason)
