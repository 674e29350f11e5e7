"""Answers that peers owe, with deadlines.

They are in Redis, so a restarted bridge knows them again; deadlines count from when it could hear the answer,
by the monotonic clock, so neither a broker's outage nor a stepped clock makes a peer look silent.
"""

from __future__ import annotations

import bisect
import itertools
import time
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.redis.client import read_hash, retry_until_available

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.store.transaction import Transaction

MAX_SENDS = 2
"""A message is sent again once, with the same ACK_ID, before its receiver counts as silent."""

HEARD_KEPT = 100
"""Answers of one peer that are remembered before those are let go that no open one was sent after."""


class PendingAck(BaseModel):
    """One answer a peer owes; ``order`` is None for ASSOCIATED."""

    model_config = ConfigDict(frozen=True)

    ack_id: str
    session_id: str
    epoch: int
    queue: str
    instruction: Instruction | None = None
    obsid: str = ""
    sends: int = 1

    @property
    def of_forwarder(self) -> bool:
        """Whether a Forwarder owes it, under its pairing's epoch."""
        return self.instruction is not Instruction.NEW_ITEM

    @property
    def log_keys(self) -> dict[str, str | int]:
        """Keys by which its log lines are found: the session is in the ACK_ID; the Controller has no epoch."""
        keys_of_lines: dict[str, str | int] = {"image": self.obsid} if self.obsid else {}
        keys_of_lines["ack_id"] = self.ack_id
        if self.of_forwarder:
            keys_of_lines["epoch"] = self.epoch
        return keys_of_lines


class PendingAcks:
    """All answers owed to this bridge.

    Parameters
    ----------
    ack_timeout : `float`
        Seconds a peer may take.
    """

    def __init__(self, ack_timeout: float) -> None:
        self._timeout = ack_timeout
        self._pending_acks: dict[str, PendingAck] = {}
        self._due: dict[str, float] = {}
        self._place: dict[str, int] = {}
        self._places = itertools.count()
        self._heard: dict[str, list[tuple[int, float]]] = {}
        """Of each queue: from which place on answers are due at which time, both rising."""

    async def load(self, redis: Redis) -> None:
        """Read what an earlier process of this bridge was owed."""
        for text in (await retry_until_available(lambda: read_hash(redis, keys.PENDING_ACKS))).values():
            self.expect(PendingAck.model_validate_json(text))

    def find(self, ack_id: str) -> PendingAck | None:
        """Look an answer up by its ACK_ID; None if nobody owes it."""
        return self._pending_acks.get(ack_id)

    def expect(self, pending: PendingAck) -> None:
        """Expect an answer from now on; before the message goes out, as the answer may be quicker than its record."""
        self._pending_acks[pending.ack_id] = pending
        self._due[pending.ack_id] = time.monotonic() + self._timeout
        self._place[pending.ack_id] = next(self._places)

    def find_late(self, pending: PendingAck) -> None:
        """Take an answer as a sign of life: what the peer got later than this has its full time from now.

        A peer serves its queue in order. With a hundred images in its queue the last is answered long after it was
        sent, and yet nobody is silent. What it has passed over keeps its deadline.
        """
        place = self._place.get(pending.ack_id, -1)
        heard = self._heard.setdefault(pending.queue, [])
        while heard and heard[-1][0] >= place:
            heard.pop()  # what follows those follows this one as well, and has more time now
        heard.append((place, time.monotonic() + self._timeout))
        if len(heard) > HEARD_KEPT:
            oldest = min((self._place[ack_id] for ack_id in self._due), default=place)
            del heard[: max(0, bisect.bisect_left(heard, (oldest,)) - 1)]

    def _due_at(self, ack_id: str) -> float:
        """Give the time (monotonic) at which an answer is due, with what its peer's other answers add."""
        place, due = self._place[ack_id], self._due[ack_id]
        heard = self._heard.get(self._pending_acks[ack_id].queue, [])
        before = bisect.bisect_left(heard, (place,)) - 1
        return max(due, heard[before][1]) if before >= 0 else due

    def extend(self, ack_id: str) -> None:
        """Give one answer its full time again."""
        if ack_id in self._due:
            self._due[ack_id] = time.monotonic() + self._timeout

    def forget(self, ack_id: str) -> None:
        """Expect an answer no longer."""
        self._pending_acks.pop(ack_id, None)
        self._due.pop(ack_id, None)
        self._place.pop(ack_id, None)

    def give_up(self, ack_id: str) -> None:
        """Stop waiting, but know the answer still if it does come."""
        self._due.pop(ack_id, None)

    def drop_outdated(self, session: Session, transaction: Transaction) -> None:
        """Forget what was owed to another session, or by a Forwarder of an older epoch."""
        for pending in list(self._pending_acks.values()):
            other_session = pending.session_id != session.id or not session.is_active
            other_forwarder = (
                pending.of_forwarder and pending.instruction is not None and pending.epoch != session.epoch
            )
            if other_session or other_forwarder:
                self.forget(pending.ack_id)
                settle(transaction, pending.ack_id)

    def restart_deadlines(self) -> None:
        """Give every peer its full time again: until now its answer could not be heard."""
        for ack_id in self._due:
            self._due[ack_id] = time.monotonic() + self._timeout

    def overdue(self, read_until: float) -> list[PendingAck]:
        """Answers that should have come by a time up to which all that came has been read, oldest first."""
        late = sorted(
            (self._place[ack_id], ack_id)
            for ack_id, due in self._due.items()
            if due <= read_until and self._due_at(ack_id) <= read_until
        )
        return [self._pending_acks[ack_id] for _, ack_id in late]


def record(transaction: Transaction, pending: PendingAck) -> None:
    """Write an owed answer within the step that records its message."""
    transaction.command("HSET", keys.PENDING_ACKS, pending.ack_id, pending.model_dump_json())


def settle(transaction: Transaction, ack_id: str) -> None:
    """Write that an answer is no longer owed."""
    transaction.command("HDEL", keys.PENDING_ACKS, ack_id)
