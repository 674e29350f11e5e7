"""SAL access of the simulated peers; the only module that uses salobj, which has no types."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from lsst.ts.utils import current_tai

from ccarchiver_core.config import dds_environment
from ccarchiver_core.config.dds_environment import PARTITION
from ccarchiver_core.runtime.stub_unused_imports import stubbed_imports
from ccarchiver_core.sal_interface.deep_readers import deep_readers
from ccarchiver_core.sal_interface.salobj_calls import write_event
from ccarchiver_sim.peers.common.runloop import PeerError

with stubbed_imports():
    from lsst.ts.salobj import Controller, Remote
    from lsst.ts.salobj.topics import RemoteEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    Fields = Mapping[str, Any]
    """The fields of an event by name. `Any`, because only the interface definition has a field's
    type."""

QUEUE_LENGTH: Final = 10_000
"""Events that may wait in this process: more than those of a night, so a burst never causes a
loss."""

NO_HISTORY: Final = 0
"""A peer processes only events that are sent while it runs; older events belong to earlier
images."""

log = logging.getLogger(__name__)


def tai_now() -> float:
    """Return the present time as SAL defines it: TAI seconds since 1970."""
    return float(current_tai())


class SalComponent:
    """A SAL component that sends events and can receive those of others.

    Parameters
    ----------
    controller : `lsst.ts.salobj.Controller`
        The component; `sal_component` makes it.
    """

    def __init__(self, controller: Any) -> None:  # noqa: ANN401 - salobj's own classes have no types
        self._controller = controller
        self._remotes: list[Any] = []

    async def put(self, event: str, **fields: str | float | bool) -> None:
        """Send an event, even if it equals the previous one.

        Fields that the IDL at hand lacks are left out: they differ between its releases.
        """
        topic = getattr(self._controller, f"evt_{event}")
        known = topic.metadata.field_info
        present = {name: value for name, value in fields.items() if name in known}
        await write_event(topic, present)

    async def listen(
        self, component: str, callbacks: Mapping[str, Callable[[Fields], None]]
    ) -> None:
        """Receive the events of another component from now on.

        Parameters
        ----------
        component : `str`
            Name of the other component.
        callbacks : mapping
            For each event name, a function of the event's fields. It is called in the sequence of
            arrival and must be fast.
        """
        remote = Remote(self._controller.domain, component, readonly=True, include=[], start=False)
        self._remotes.append(remote)
        with deep_readers(remote.salinfo.domain, QUEUE_LENGTH):
            for name, callback in callbacks.items():
                # Made here and not by the Remote, which would keep at most 100 waiting events.
                event = RemoteEvent(
                    remote.salinfo, name, max_history=NO_HISTORY, queue_len=QUEUE_LENGTH
                )
                event.callback = _with_fields(callback)
                setattr(remote, f"evt_{name}", event)
        await remote.start()

    async def close(self) -> None:
        """Stop receiving events, then close the component."""
        for remote in self._remotes:
            await remote.close()
        await self._controller.close()


@asynccontextmanager
async def sal_component(name: str) -> AsyncIterator[SalComponent]:
    """Run a SAL component for the time of a block.

    Parameters
    ----------
    name : `str`
        Name of the component, such as `CCCamera`.

    Raises
    ------
    PeerError
        If SAL is not set up on this machine, or an environment variable of DDS is wrong.
    """
    if not os.environ.get(PARTITION):
        raise PeerError(
            f"{PARTITION} is not set; set it to the same word for all programs of a run, "
            f"for example: export {PARTITION}=rehearsal"
        )
    wrong = "; ".join(dds_environment.problems(os.environ))
    if wrong:
        raise PeerError(f"{wrong}; set it to what all programs on the bus have")
    try:
        controller = Controller(name, do_callbacks=False)
    except RuntimeError as error:
        # salobj raises it if the interface definition is missing.
        raise PeerError(
            f"cannot be {name} on SAL: {error}; run `make setup`, which installs the interfaces"
        ) from error
    component = SalComponent(controller)
    try:
        await controller.start_task
        yield component
    finally:
        await component.close()


def _with_fields(callback: Callable[[Fields], None]) -> Callable[[Any], Awaitable[None]]:
    async def call(sample: Any) -> None:  # noqa: ANN401 - salobj's own classes have no types
        callback(sample.get_vars())

    return call
