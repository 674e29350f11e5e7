"""A CSC in this process, a remote that commands it, and senders of camera and header events."""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from lsst.ts import salobj

from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_sal import saved_state
from ccarchiver_sal.csc import CCArchiverCsc
from ccarchiver_sim.pace import scaled
from tests.core.redis_helpers import LIMIT_S, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ccarchiver_core.config.settings import Settings


def limit() -> float:
    """Return a timeout for salobj."""
    return scaled(LIMIT_S)


class CscHarness:
    """A CSC and a remote that commands it."""

    def __init__(self, csc: CCArchiverCsc, remote: Any) -> None:  # noqa: ANN401  salobj has no types
        self.csc = csc
        self.remote = remote

    async def to(self, *commands: str) -> None:
        """Send commands, one after the other."""
        for command in commands:
            await getattr(self.remote, f"cmd_{command}").start(timeout=limit())

    async def is_starting(self) -> bool:
        """Return whether the CSC is executing a start command."""
        return self.csc._transition == "start"

    async def reaches(self, state: salobj.State) -> None:
        """Wait until the CSC is in a state."""

        async def there() -> bool:
            return bool(self.csc.summary_state == state)

        await eventually(there, f"{state!r}")


@asynccontextmanager
async def csc_at_work(settings: Settings, *, resumed: bool = False) -> AsyncIterator[CscHarness]:
    """Run a CSC for the duration of a block, started as its program starts it."""
    context = WorkerContext(Worker.SAL, settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(context.close)
        await context.lease.acquire()
        saved = (
            await saved_state.read_saved(context.redis, settings.resume_window) if resumed else None
        )
        csc = CCArchiverCsc(context, saved)
        stack.push_async_callback(csc.close)
        remote = await stack.enter_async_context(salobj.Remote(csc.domain, "CCArchiver"))
        await csc.start_task
        yield CscHarness(csc, remote)


@asynccontextmanager
async def sender(component: str) -> AsyncIterator[Any]:
    """Yield a SAL component that sends events."""
    async with salobj.Controller(component, do_callbacks=False) as controller:
        yield controller


def start_integration(camera: Any, image: str, acquired_at: float = 0.0) -> None:  # noqa: ANN401  salobj has no types
    """Send the camera's startIntegration; the time of the exposure's start is in TAI seconds."""
    _put(
        camera.evt_startIntegration,
        imageName=image,
        imageIndex=0,
        imagesInSequence=1,
        imageDate="20261122",
        exposureTime=1.0,
        timestampAcquisitionStart=acquired_at,
    )


def end_readout(camera: Any, image: str, acquired_at: float = 0.0) -> None:  # noqa: ANN401  salobj has no types
    """Send the camera's endReadout; the time of the exposure's start is in TAI seconds."""
    _put(
        camera.evt_endReadout,
        imageName=image,
        imageIndex=0,
        imagesInSequence=1,
        timestampAcquisitionStart=acquired_at,
    )


def header_ready(headers: Any, image: str) -> None:  # noqa: ANN401  salobj has no types
    """Send the header service's largeFileObjectAvailable."""
    _put(
        headers.evt_largeFileObjectAvailable,
        id=image,
        url=f"http://127.0.0.1:8000/{image}.yaml",
        generator="CCHeaderService",
    )


def _put(event: Any, **fields: object) -> None:  # noqa: ANN401  salobj has no types
    """Put an event with those of the fields that its IDL has."""
    known = event.metadata.field_info
    present = {name: value for name, value in fields.items() if name in known}
    event.set_put(**present, force_output=True)
