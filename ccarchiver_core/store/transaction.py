"""One handled message, one atomic step in Redis.

A worker collects in a `Step` everything that handling a message changes: records, mail to the others, counters,
and that the message is done. `ccarchiver_core.store.transaction_pipeline` makes all of it true at once, or none.
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccarchiver_core import keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.domain.worker_messages import WorkerMessage

Value = str | bytes | int | float


class Outcome(enum.Enum):
    """What became of a step."""

    APPLIED = "applied"
    PRECONDITION_FAILED = "refused"
    """A guard did not hold: nothing was written."""


@dataclass
class Transaction:
    """The writes of one handled message; build it, then apply it once.

    Notes
    -----
    Redis runs a script to its end and other clients see all of it or nothing. A command that fails in the middle
    would leave the first half, so only commands on keys of known types are used, and a full or read-only Redis
    refuses a writing script before its first command.
    """

    preconditions: list[tuple[str, str, Value | None]] = field(default_factory=list)
    commands: list[tuple[Value, ...]] = field(default_factory=list)

    def require(self, key: str, field_name: str, expected: Value | None) -> Transaction:
        """Apply only if the hash field (or, with an empty name, the string) has this value; None: is not there."""
        self.preconditions.append((key, field_name, expected))
        return self

    def command(self, *words: Value) -> Transaction:
        """Add one Redis command."""
        self.commands.append(words)
        return self

    def set_fields(self, key: str, values: Mapping[str, Value]) -> Transaction:
        """Set fields of a hash; an empty mapping adds nothing."""
        if values:
            self.command("HSET", key, *itertools.chain.from_iterable(values.items()))
        return self

    def count(self, name: str, amount: int = 1) -> Transaction:
        """Raise one of the counters operators see."""
        return self.command("HINCRBY", keys.COUNTERS, name, amount)

    def enqueue(self, to: keys.Worker, message: WorkerMessage) -> Transaction:
        """Put a letter into a worker's mailbox."""
        return self.command("XADD", to.mailbox, "*", "message", message.model_dump_json())

    def ack(self, worker: keys.Worker, entry_id: str) -> Transaction:
        """Mark a mailbox entry as handled, and remove it."""
        self.command("XACK", worker.mailbox, keys.MAILBOX_GROUP, entry_id)
        return self.command("XDEL", worker.mailbox, entry_id)
