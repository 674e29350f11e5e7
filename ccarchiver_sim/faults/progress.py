"""Whether anything still happens for the images that are missing.

An image that is late is not lost, however busy the machine is. So the campaign waits for as long as the archiver or a
broker holds work for it, and anything changes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core.keys import UNFINISHED, Worker, image
from ccarchiver_sim.faults.raw_publisher import depths
from ccarchiver_sim.pace import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ccarchiver_sim.faults.fault_testbed import Stage

IDLE_LIMIT_S = 30.0
"""For changes while nothing is pending. A worker that starts takes most of it: what the CSC has missed meanwhile is in
the history of DDS, where the campaign does not see it."""
STUCK_LIMIT_S = 180.0
"""For changes while something is pending: far above the longest pause of the archiver, which waits for a Forwarder or
for a broker."""
ENDLESS_LIMIT_S = 1200.0
"""For all of it, also while it changes: an archiver that repeats a step without an end never delivers the image."""


@dataclass(frozen=True)
class Progress:
    """What was seen at one look."""

    is_pending: bool
    """Whether the archiver or a broker holds work for an image that is missing."""
    state: Hashable
    """Everything that changes while an image advances. If it is equal at two looks, nothing has moved between them."""


class Stillness:
    """Decides from looks at the progress when an image that is missing counts as lost.

    Parameters
    ----------
    make_deadline
        Makes a limit of so many seconds on a free machine.
    """

    def __init__(self, make_deadline: Callable[[float], Deadline] = Deadline) -> None:
        self._make_deadline = make_deadline
        self._last: Hashable = None
        self._endless = make_deadline(ENDLESS_LIMIT_S)
        self._renew()

    def _renew(self) -> None:
        self._idle = self._make_deadline(IDLE_LIMIT_S)
        self._stuck = self._make_deadline(STUCK_LIMIT_S)

    def is_reached(self, seen: Progress) -> bool:
        """Return whether nothing has moved for so long that nothing will."""
        if seen.state != self._last:
            self._last = seen.state
            self._renew()
        elif seen.is_pending:
            self._idle = self._make_deadline(IDLE_LIMIT_S)
        return any(limit.has_passed() for limit in (self._idle, self._stuck, self._endless))


async def read_progress(stage: Stage) -> Progress:
    """Look at the archiver's Redis, at the queues, and at what came out."""
    missing = stage.oracle.outstanding(stage.oracle.run)
    obsids = [trace.obsid for trace in missing]
    async with stage.redis() as client:
        mailboxes = [(await client.xlen(worker.mailbox), await _newest(client, worker)) for worker in Worker]
        unfinished = set(await client.zrange(UNFINISHED, 0, -1))
        records = [tuple(sorted((await client.hgetall(image(obsid))).items())) for obsid in obsids]
    forwarders = [f"{peer.name}_consume" for peer in stage.peer_pool.forwarders if peer.is_running]
    messages = await asyncio.to_thread(depths, stage.rig, [*sorted(stage.settings.queues), *forwarders])
    return Progress(
        is_pending=any(length for length, _ in mailboxes) or any(messages) or not unfinished.isdisjoint(obsids),
        state=(
            tuple(mailboxes),
            tuple(records),
            tuple(messages),
            tuple(stage.oracle.describe(trace) for trace in missing),
            stage.state,
        ),
    )


async def _newest(client: object, worker: Worker) -> str:
    """Return the id of the newest entry of a mailbox, so that one entry that comes as another goes is a change."""
    entries = await client.xrevrange(worker.mailbox, count=1)  # type: ignore[attr-defined] # redis-py's commands
    return str(entries[0][0]) if entries else ""
