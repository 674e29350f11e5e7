"""Acknowledgements that peers have not sent yet, with deadlines.

They are stored in Redis, so a restarted bridge still expects them. A deadline counts from the time
at which the bridge could receive the acknowledgement, by the monotonic clock. Neither an outage of
a broker nor a clock jump makes a peer look silent.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import time
from typing import TYPE_CHECKING, NamedTuple

from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store import pending_acks

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.domain.pending_ack import PendingAck
    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.store.transaction import Transaction


ACKNOWLEDGED_KEPT = 100
"""Acknowledgements kept for one queue before those that no longer affect a deadline are removed."""


class _Suspension(NamedTuple):
    """Suspension of the deadlines of one queue."""

    place: int
    """Place of the message that the peer handles meanwhile."""
    until: float
    """Monotonic time of its latest end."""


class PendingAcks:
    """All acknowledgements that this bridge expects.

    Parameters
    ----------
    ack_timeout : `float`
        Seconds within which a peer must acknowledge a message.
    """

    def __init__(self, ack_timeout: float) -> None:
        self._timeout = ack_timeout
        self._pending_acks: dict[str, PendingAck] = {}
        self._due: dict[str, float] = {}
        self._has_due = asyncio.Event()
        self._place: dict[str, int] = {}
        self._places = itertools.count()
        self._acknowledged: dict[str, list[tuple[int, float]]] = {}
        """For each queue: the place from which on acknowledgements are due at a time; both rise."""
        self._suspended: dict[str, _Suspension] = {}

    async def load(self, redis: Redis) -> None:
        """Read the pending acks of an earlier process of this bridge.

        Those that cannot be read are left out; `ccarchiver_bridge.unreadable_acks` handles them.
        """
        for pending in (await retry_until_available(lambda: pending_acks.read(redis))).values():
            self.expect(pending)

    def find(self, ack_id: str) -> PendingAck | None:
        """Return the pending ack with an ACK_ID; None if there is none."""
        return self._pending_acks.get(ack_id)

    def expect(self, pending: PendingAck) -> None:
        """Expect an acknowledgement from now on.

        Call it before the message is sent: the acknowledgement may arrive before the message is
        recorded.
        """
        self._pending_acks[pending.ack_id] = pending
        self._due[pending.ack_id] = time.monotonic() + self._timeout
        self._has_due.set()
        self._place[pending.ack_id] = next(self._places)

    async def wait_until_expected(self) -> None:
        """Wait while no acknowledgement has a deadline: the bridge is then idle."""
        if not self._due:
            self._has_due.clear()
        await self._has_due.wait()

    def extend_later(self, pending: PendingAck) -> None:
        """Restart the deadlines of the messages that the peer got after this acknowledged one.

        A peer processes its queue in order. With a hundred images in its queue, it acknowledges
        the last one long after it was sent, although it has never been silent. Messages that it
        has skipped keep their deadlines.
        """
        place = self._place.get(pending.ack_id, -1)
        suspension = self._suspended.get(pending.queue)
        if suspension is not None and place > suspension.place:
            self.resume(pending.queue)
        acknowledged = self._acknowledged.setdefault(pending.queue, [])
        while acknowledged and acknowledged[-1][0] >= place:
            acknowledged.pop()  # messages after those now have the later deadline
        acknowledged.append((place, time.monotonic() + self._timeout))
        if len(acknowledged) > ACKNOWLEDGED_KEPT:
            oldest = min((self._place[ack_id] for ack_id in self._due), default=place)
            del acknowledged[: max(0, bisect.bisect_left(acknowledged, (oldest,)) - 1)]

    def is_expected_from(self, queue: str) -> bool:
        """Return whether an acknowledgement of a message to a queue is pending."""
        return any(self._pending_acks[ack_id].queue == queue for ack_id in self._due)

    def suspend(self, queue: str, limit_s: float) -> None:
        """Suspend the deadlines of a queue, because its peer handles a message that takes long.

        The suspension ends with `resume`, with the acknowledgement of a later message, because a
        peer processes its queue in order, or after `limit_s` seconds. Then the deadlines restart.
        """
        self._suspended[queue] = _Suspension(next(self._places), time.monotonic() + limit_s)

    def resume(self, queue: str) -> None:
        """End the suspension of a queue, and restart its deadlines; safe to repeat."""
        if self._suspended.pop(queue, None) is None:
            return
        for ack_id in self._due:
            if self._pending_acks[ack_id].queue == queue:
                self._due[ack_id] = time.monotonic() + self._timeout

    def _due_at(self, ack_id: str) -> float:
        """Return the monotonic time at which an acknowledgement is due.

        Other acknowledgements of the same peer may have extended it.
        """
        place, due = self._place[ack_id], self._due[ack_id]
        queue = self._pending_acks[ack_id].queue
        if queue in self._suspended:
            due = max(due, self._suspended[queue].until + self._timeout)
        acknowledged = self._acknowledged.get(queue, [])
        before = bisect.bisect_left(acknowledged, (place,)) - 1
        return max(due, acknowledged[before][1]) if before >= 0 else due

    def extend(self, ack_id: str) -> None:
        """Restart the deadline of one acknowledgement."""
        if ack_id in self._due:
            self._due[ack_id] = time.monotonic() + self._timeout

    def forget(self, ack_id: str) -> None:
        """Remove a pending ack."""
        self._pending_acks.pop(ack_id, None)
        self._due.pop(ack_id, None)
        self._place.pop(ack_id, None)

    def stop_waiting(self, ack_id: str) -> None:
        """Stop waiting for an acknowledgement, but still accept it if it arrives."""
        self._due.pop(ack_id, None)

    def drop_outdated(self, session: Session, transaction: Transaction) -> None:
        """Remove the pending acks of other sessions, and of instructions under an older epoch."""
        for pending in list(self._pending_acks.values()):
            other_session = pending.session_id != session.id or not session.is_active
            other_forwarder = (
                pending.of_forwarder
                and pending.instruction is not None
                and pending.epoch != session.epoch
            )
            if other_session or other_forwarder:
                self.forget(pending.ack_id)
                pending_acks.remove(transaction, pending.ack_id)

    def restart_deadlines(self) -> None:
        """Restart all deadlines: until now the bridge could not receive acknowledgements."""
        for ack_id in self._due:
            self._due[ack_id] = time.monotonic() + self._timeout

    def overdue(self, read_until: float) -> list[PendingAck]:
        """Return the overdue acknowledgements, oldest first.

        Parameters
        ----------
        read_until : `float`
            Monotonic time up to which every message that arrived has been read.
        """
        late = sorted(
            (self._place[ack_id], ack_id)
            for ack_id, due in self._due.items()
            if due <= read_until and self._due_at(ack_id) <= read_until
        )
        return [self._pending_acks[ack_id] for _, ack_id in late]
