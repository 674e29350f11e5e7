"""One handled message, one atomic step in Redis.

A worker collects in a `Step` everything that handling a message changes: records, mail to the others, counters,
and that the message is done. `ccarchiver_core.step_runner` makes all of it true at once, or none.
"""

from __future__ import annotations

import enum
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccarchiver_core import keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.mail import Mail

Value = str | bytes | int | float


def unix_time() -> float:
    """Give the time for a record: Unix seconds, UTC, to a millisecond."""
    return round(time.time(), 3)


class Outcome(enum.Enum):
    """What became of a step."""

    APPLIED = "applied"
    REFUSED = "refused"
    """A guard did not hold: nothing was written."""


@dataclass
class Step:
    """The writes of one handled message; build it, then apply it once.

    Notes
    -----
    Redis runs a script to its end and other clients see all of it or nothing. A command that fails in the middle
    would leave the first half, so only commands on keys of known types are used, and a full or read-only Redis
    refuses a writing script before its first command.
    """

    guards: list[tuple[str, str, Value | None]] = field(default_factory=list)
    operations: list[tuple[Value, ...]] = field(default_factory=list)

    def require(self, key: str, field_name: str, expected: Value | None) -> Step:
        """Apply only if the hash field (or, with an empty name, the string) has this value; None: is not there."""
        self.guards.append((key, field_name, expected))
        return self

    def do(self, *words: Value) -> Step:
        """Add one Redis command."""
        self.operations.append(words)
        return self

    def set_fields(self, key: str, values: Mapping[str, Value]) -> Step:
        """Set fields of a hash; an empty mapping adds nothing."""
        if values:
            self.do("HSET", key, *itertools.chain.from_iterable(values.items()))
        return self

    def count(self, name: str, amount: int = 1) -> Step:
        """Raise one of the counters operators see."""
        return self.do("HINCRBY", keys.COUNTERS, name, amount)

    def post(self, to: keys.Worker, mail: Mail) -> Step:
        """Put a letter into a worker's mailbox."""
        return self.do("XADD", to.mailbox, "*", "mail", mail.model_dump_json())

    def settle(self, worker: keys.Worker, entry_id: str) -> Step:
        """Mark a mailbox entry as handled, and remove it."""
        self.do("XACK", worker.mailbox, keys.MAIL_GROUP, entry_id)
        return self.do("XDEL", worker.mailbox, entry_id)
