"""The Redis transaction of one handled message.

A worker collects in a `Transaction` everything that handling a message changes: records, messages
to other workers, counters, and the ack of the message itself. The pipeline in
`ccarchiver_core.store.transaction_pipeline` applies all of it or nothing.
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

MAX_MERGED_WORDS = 1000
"""Words up to which a command is merged with others; Lua can pass some thousand to Redis."""


class Outcome(enum.Enum):
    """Result of a transaction."""

    APPLIED = "applied"
    PRECONDITION_FAILED = "precondition_failed"
    """A precondition failed: nothing was written."""


@dataclass
class Transaction:
    """The writes of one handled message. Build it, then apply it once.

    Notes
    -----
    Redis runs a script to its end, and other clients see all of its writes or none. A command that
    fails in the middle would leave the writes before it. Therefore only commands on keys of known
    types are used, and a key of another type is renamed before its command runs again. A full or
    read-only Redis rejects a writing script before its first command.

    A transaction of many messages has few commands: the increments of one counter are added, the
    acks in one mailbox share their commands, and so do consecutive settings of fields of one hash.
    """

    preconditions: list[tuple[str, str | bytes, Value | None]] = field(default_factory=list)
    commands: list[tuple[Value, ...]] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    """The place in `commands` of the last ack in a mailbox, and of the increment of a counter."""

    def require(self, key: str, field_name: str | bytes, expected: Value | None) -> Transaction:
        """Add a precondition: the value of a hash field, or of a string if the field name is empty.

        None means that it must not exist.
        """
        self.preconditions.append((key, field_name, expected))
        return self

    def command(self, *words: Value) -> Transaction:
        """Add one Redis command."""
        self.commands.append(words)
        return self

    def set_fields(self, key: str, values: Mapping[str, Value]) -> Transaction:
        """Add the setting of hash fields. An empty mapping adds nothing."""
        if not values:
            return self
        words = tuple(itertools.chain.from_iterable(values.items()))
        last = self.commands[-1] if self.commands else ()
        if last[:2] == ("HSET", key) and len(last) + len(words) <= MAX_MERGED_WORDS:
            self.commands[-1] = (*last, *words)
            return self
        return self.command("HSET", key, *words)

    def count(self, name: str, amount: int = 1) -> Transaction:
        """Add the increment of a counter, which metrics and `ccarchiver status` show."""
        place = self._places.setdefault(name, len(self.commands))
        if place == len(self.commands):
            return self.command("HINCRBY", keys.COUNTERS, name, amount)
        *words, before = self.commands[place]
        self.commands[place] = (*words, int(before) + amount)
        return self

    def enqueue(self, to: keys.Worker, message: WorkerMessage) -> Transaction:
        """Add a message to a worker's mailbox."""
        return self.command("XADD", to.mailbox, "*", "message", message.model_dump_json())

    def ack(self, worker: keys.Worker, entry_id: str) -> Transaction:
        """Add the ack of a mailbox entry, which removes it."""
        place = self._places.get(worker.mailbox)
        if place is not None and len(self.commands[place]) < MAX_MERGED_WORDS:
            for command in (place, place + 1):
                self.commands[command] = (*self.commands[command], entry_id)
            return self
        self._places[worker.mailbox] = len(self.commands)
        self.command("XACK", worker.mailbox, keys.MAILBOX_GROUP, entry_id)
        return self.command("XDEL", worker.mailbox, entry_id)
