"""A SAL client that commands the CSC as an operator does, and records events."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from ccarchiver_core.runtime.stub_unused_imports import stubbed_imports
from ccarchiver_core.sal_interface.deep_readers import deep_readers
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling

with stubbed_imports():
    from lsst.ts import salobj
    from lsst.ts.salobj.topics import RemoteEvent

CSC = "CCArchiver"
CAMERA = "CCCamera"
SUMMARY_STATE = "summaryState"
ERROR_CODE = "errorCode"
RETRIEVED = "imageRetrievalForArchiving"
INGESTED = "imageInOODS"
END_READOUT = "endReadout"
CSC_EVENTS = (SUMMARY_STATE, ERROR_CODE, RETRIEVED, INGESTED)

DEPTH = 20_000
"""Events of a topic that may wait in this process: more than the nine of each of 2,000 images. The
archiver publishes the events of a whole outage within a second. The default of DDS and of salobj is
100 each; when that is full, the oldest event is lost."""
STATES_KEPT = 1
"""Number of events of a topic from before this observer; older ones are irrelevant."""

COMMAND_LIMIT_S = 90.0
"""Limit for one command: `start` waits for brokers and a Forwarder, 60 s by default."""
EVENT_LIMIT_S = 60.0
"""Limit for an expected event, which usually arrives within milliseconds."""

UP = {
    salobj.State.OFFLINE: "enterControl",
    salobj.State.STANDBY: "start",
    salobj.State.DISABLED: "enable",
}
DOWN = {
    salobj.State.ENABLED: "disable",
    salobj.State.DISABLED: "standby",
    salobj.State.FAULT: "standby",
}
HEIGHT = {
    salobj.State.OFFLINE: 0,
    salobj.State.STANDBY: 1,
    salobj.State.DISABLED: 2,
    salobj.State.ENABLED: 3,
    # From FAULT the first command is always standby, to STANDBY.
    salobj.State.FAULT: 4,
}


@dataclass(frozen=True)
class SalEvent:
    """One received event."""

    order: int
    """Number of the event over all topics, from 0."""
    topic: str
    sent: float
    """Time when its sender sent it (private_sndStamp): Unix time, TAI."""
    received: float
    """Time when it was received, on this process's monotonic clock."""
    fields: dict[str, Any] = field(hash=False)


class SalObserver:
    """Observer of the CSC and the camera, which also commands the CSC.

    The environment must contain the run's SAL variables when the context is entered.

    Parameters
    ----------
    csc, camera
        Names of the components on SAL.
    """

    def __init__(self, csc: str = CSC, camera: str = CAMERA) -> None:
        self.csc = csc
        self._camera = camera
        self.events: list[SalEvent] = []
        self._csc: Any = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # Closed last: closing the domain also closes what remains of the others.
            domain = await stack.enter_async_context(salobj.Domain())
            # Only the topics that are used: creating the types of all topics takes a second.
            self._csc = salobj.Remote(domain, self.csc, include=[], start=False)
            stack.push_async_callback(self._csc.close)
            camera = salobj.Remote(domain, self._camera, readonly=True, include=[], start=False)
            stack.push_async_callback(camera.close)
            with deep_readers(domain, DEPTH):
                self._record(self._csc, CSC_EVENTS, history=STATES_KEPT)
                self._record(camera, (END_READOUT,), history=0)
            await asyncio.gather(self._csc.start(), camera.start())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    # ---- what was seen

    @property
    def position(self) -> int:
        """Position in the record, for `since`."""
        return len(self.events)

    def of(self, topic: str, *, since: int = 0, **wanted: object) -> list[SalEvent]:
        """Return a topic's events with the given field values, oldest first."""
        return [
            event
            for event in self.events[since:]
            if event.topic == topic
            and all(event.fields[name] == value for name, value in wanted.items())
        ]

    @property
    def state(self) -> salobj.State | None:
        """Summary state that the CSC last published; None before the first event."""
        events = self.of(SUMMARY_STATE)
        return salobj.State(events[-1].fields["summaryState"]) if events else None

    def error_codes(self, *, since: int = 0) -> list[int]:
        """Return the published error codes, without the zero that a CSC publishes at its start."""
        return [
            event.fields["errorCode"]
            for event in self.of(ERROR_CODE, since=since)
            if event.fields["errorCode"]
        ]

    def last_error(self) -> tuple[int, str]:
        """Return code and text of the last errorCode event with a code other than 0, or (0, "")."""
        errors = [event.fields for event in self.of(ERROR_CODE) if event.fields["errorCode"]]
        return (int(errors[-1]["errorCode"]), str(errors[-1]["errorReport"])) if errors else (0, "")

    def sensors(self, topic: str, obsid: str) -> set[tuple[str, str]]:
        """Return the distinct CCDs (raft, sensor) for which an image has an event with status 0."""
        good = self.of(topic, obsid=obsid, statusCode=0)
        return {(event.fields["raft"], event.fields["sensor"]) for event in good}

    # ---- waiting

    async def wait_state(
        self, *states: salobj.State, since: int = 0, limit: float = EVENT_LIMIT_S
    ) -> salobj.State:
        """Wait until the CSC is in one of the states and has published one since a position.

        Return the state that it published last.

        After a restart, wait for an event of the CSC before sending a command: SAL sends a command
        only to components that it has discovered.
        """
        names = " or ".join(state.name for state in states)
        await polling.wait_for(
            lambda: self.state in states and bool(self.of(SUMMARY_STATE, since=since)),
            limit,
            lambda: f"{self.csc} to be {names}; it is {self._state_name()}",
        )
        return salobj.State(self.of(SUMMARY_STATE)[-1].fields["summaryState"])

    async def wait_for_first_state(self, limit: float = EVENT_LIMIT_S) -> salobj.State:
        """Wait until the CSC has published any summary state, and return it."""
        return await self.wait_state(*HEIGHT, limit=limit)

    async def wait_error(self, *, since: int, limit: float = EVENT_LIMIT_S) -> int:
        """Wait for an error code published after a position, and return it."""
        await polling.wait_for(
            lambda: bool(self.error_codes(since=since)),
            limit,
            lambda: f"an errorCode event of {self.csc}; it is {self._state_name()}",
        )
        return self.error_codes(since=since)[0]

    async def wait_image(self, obsid: str, count: int, limit: float = EVENT_LIMIT_S) -> None:
        """Wait until both kinds of event have arrived for `count` distinct CCDs of an image."""

        def progress() -> dict[str, int]:
            return {topic: len(self.sensors(topic, obsid)) for topic in (RETRIEVED, INGESTED)}

        await polling.wait_for(
            lambda: min(progress().values()) >= count,
            limit,
            lambda: (
                f"{count} CCDs of {obsid}; received: {progress()}; "
                f"{self.csc} is {self._state_name()}"
            ),
        )

    # ---- commanding

    async def command(
        self, name: str, *, limit: float = COMMAND_LIMIT_S, **parameters: object
    ) -> None:
        """Send a command to the CSC and wait until the CSC has completed it.

        Raises
        ------
        lsst.ts.salobj.AckError
            If the CSC rejects the command, fails, or does not answer in time.
        """
        await getattr(self._csc, f"cmd_{name}").set_start(**parameters, timeout=scaled(limit))

    async def go_to(self, target: salobj.State, *, limit: float = COMMAND_LIMIT_S) -> None:
        """Send the commands that bring the CSC from its present state to another one."""
        while (state := await self.wait_for_first_state(limit)) != target:
            seen = len(self.of(SUMMARY_STATE))
            await self.command((UP if HEIGHT[state] < HEIGHT[target] else DOWN)[state], limit=limit)
            await self._wait_for_states(seen + 1, limit)

    async def _wait_for_states(self, count: int, limit: float) -> None:
        await polling.wait_for(
            lambda: len(self.of(SUMMARY_STATE)) >= count,
            limit,
            f"{self.csc} to publish its new summary state",
        )

    def _state_name(self) -> str:
        return "silent" if self.state is None else self.state.name

    def _record(self, remote: Any, topics: Iterable[str], history: int) -> None:  # noqa: ANN401 - salobj has no types
        """Record the events of topics; call it before the remote is started."""
        for topic in topics:
            # Made here and not by the Remote, which would keep at most 100 waiting events.
            event = RemoteEvent(remote.salinfo, topic, max_history=history, queue_len=DEPTH)
            # salobj would warn from ten waiting events on, whatever the length.
            for checker in (event.dds_queue_length_checker, event.python_queue_length_checker):
                checker.warn_threshold = DEPTH // 2
            event.callback = self._recorder(topic)
            setattr(remote, f"evt_{topic}", event)

    def _recorder(self, topic: str) -> Callable[[Any], Awaitable[None]]:
        async def record(data: Any) -> None:  # noqa: ANN401 - salobj makes the type at run time
            values = dict(data.get_vars())
            self.events.append(
                SalEvent(
                    len(self.events), topic, values["private_sndStamp"], time.monotonic(), values
                )
            )

        return record
