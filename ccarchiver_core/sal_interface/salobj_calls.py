"""Calls of salobj that differ between its versions 6.9 and 7.

With salobj 7, everything that writes to SAL is a coroutine, and an event has `set_write` in place
of `set_put`. The installed version decides; nothing has to be configured.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


async def write_event(topic: Any, values: Mapping[str, object]) -> None:  # noqa: ANN401  salobj has no types
    """Write an event, even one equal to the last.

    When this returns, the event has been handed to DDS. Events are written in the order of the
    calls.

    Parameters
    ----------
    topic : `lsst.ts.salobj.topics.ControllerEvent`
        The event.
    values : `dict`
        Its fields.
    """
    write = topic.set_write if hasattr(topic, "set_write") else topic.set_put
    await finish(write(**values, force_output=True))


async def finish(result: object) -> None:
    """Wait for the end of a call that is a coroutine in salobj 7, and complete in salobj 6.9."""
    if inspect.isawaitable(result):
        await result
