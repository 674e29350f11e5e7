"""Detection of whether missing images still make progress.

A late image is not lost, even on a busy machine. The campaign therefore waits while the archiver or
a broker holds work for the image and anything changes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core.keys import MISSED, UNFINISHED, Worker, image
from ccarchiver_sim.faults.raw_publisher import depths
from ccarchiver_sim.pace import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ccarchiver_sim.faults.fault_testbed import FaultTestbed

IDLE_LIMIT_S = 30.0
"""Limit for a change while nothing is pending. The start of a worker takes most of it: the events
that the CSC has missed in the meantime are in the DDS history, which the campaign does not see."""
STUCK_LIMIT_S = 180.0
"""Limit for a change while something is pending: far above the longest pause of the archiver, which
waits for a Forwarder or for a broker."""
ENDLESS_LIMIT_S = 1200.0
"""Limit for the whole wait, even with changes: an archiver that repeats a transaction without end
never delivers the image."""


@dataclass(frozen=True)
class Progress:
    """State that one check has found."""

    is_pending: bool
    """Whether the archiver or a broker holds work for a missing image."""
    state: Hashable
    """All values that change while an image advances. If they are equal in two checks, nothing has
    advanced in between."""


class Stillness:
    """Decision, from repeated checks, that a missing image counts as lost.

    Parameters
    ----------
    make_deadline
        Function that returns a limit of this many seconds on an idle machine.
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
        """Return whether nothing has advanced for so long that nothing will."""
        if seen.state != self._last:
            self._last = seen.state
            self._renew()
        elif seen.is_pending:
            self._idle = self._make_deadline(IDLE_LIMIT_S)
        return any(limit.has_passed() for limit in (self._idle, self._stuck, self._endless))


async def read_progress(testbed: FaultTestbed) -> Progress:
    """Return the progress found in the archiver's Redis, the queues and the results."""
    missing = testbed.oracle.outstanding(testbed.oracle.run)
    obsids = [trace.obsid for trace in missing]
    async with testbed.redis() as client:
        mailboxes = [
            (await client.xlen(worker.mailbox), await _newest(client, worker)) for worker in Worker
        ]
        unfinished = {
            *await client.zrange(UNFINISHED, 0, -1),
            *await client.zrange(MISSED, 0, -1),
        }
        async with client.pipeline(transaction=False) as pipe:
            for obsid in obsids:
                pipe.execute_command("HGETALL", image(obsid))
            records = [tuple(sorted(fields.items())) for fields in await pipe.execute()]
    forwarders = [
        f"{peer.name}_consume" for peer in testbed.peer_pool.forwarders if peer.is_running
    ]
    messages = await asyncio.to_thread(
        depths, testbed.rig, [*sorted(testbed.settings.queues), *forwarders]
    )
    return Progress(
        is_pending=any(length for length, _ in mailboxes)
        or any(messages)
        or not unfinished.isdisjoint(obsids),
        state=(
            tuple(mailboxes),
            tuple(records),
            tuple(messages),
            tuple(testbed.oracle.describe(trace) for trace in missing),
            testbed.state,
        ),
    )


async def _newest(client: object, worker: Worker) -> str:
    """Return the id of the newest entry of a mailbox.

    With it, an entry that arrives while another is removed counts as a change.
    """
    entries = await client.xrevrange(worker.mailbox, count=1)  # type: ignore[attr-defined] # redis-py
    return str(entries[0][0]) if entries else ""
