"""One handled message, one atomic step in Redis.

A worker collects in a `Step` everything that handling a message changes: records, mail to the others, counters,
and that the message is done. `StepRunner.apply` makes all of it true at once, or none. It may be repeated, also
after a lost reply: the step's number tells Redis that it has been done. A worker that lost its lease to another
instance is refused (`FencedError`).
"""

from __future__ import annotations

import enum
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from ccarchiver_core import keys, killpoint
from ccarchiver_core.backoff import Backoff
from ccarchiver_core.errors import DataLostError, FencedError
from ccarchiver_core.redis_client import AWAY_ERRORS, wait_or_raise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from ccarchiver_core.mail import Mail

APPLIED_KEPT = 1000
"""Step numbers Redis remembers for each worker; a worker has far fewer under way at once."""

Value = str | bytes | int | float

# ARGV: epoch key, own epoch, applied key, step number, numbers kept,
#       count of guards, {key, field or '', expected or '', 1 if it must exist}...,
#       count of operations, {count of words, words...}...
_SCRIPT = """
local at = 0
local function take() at = at + 1; return ARGV[at] end
local epoch_key, epoch, applied, number, kept = take(), take(), take(), take(), tonumber(take())
local newest = redis.call('GET', epoch_key)
if not newest then return 'lost' end
if newest ~= epoch then return 'fenced' end
if redis.call('ZSCORE', applied, number) then return 'repeated' end
for _ = 1, tonumber(take()) do
  local key, field, expected, present = take(), take(), take(), take()
  local found
  if field == '' then found = redis.call('GET', key) else found = redis.call('HGET', key, field) end
  if present == '1' then
    if found ~= expected then return 'refused' end
  elseif found then return 'refused' end
end
for _ = 1, tonumber(take()) do
  local words = {}
  for i = 1, tonumber(take()) do words[i] = take() end
  redis.call(unpack(words))
end
redis.call('ZADD', applied, number, number)
redis.call('ZREMRANGEBYRANK', applied, 0, -kept - 1)
return 'applied'
"""


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


class StepRunner:
    """Applies steps for one worker under its lease's epoch.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        A client without retries of its own.
    worker : `Worker`
        Who writes.
    """

    def __init__(self, redis: Redis, worker: keys.Worker) -> None:
        self._redis = redis
        self._worker = worker
        self._script = redis.register_script(_SCRIPT)
        self._numbers = itertools.count(1)
        self.epoch: int | None = None
        """The lease's epoch; set by the lease, None before."""

    async def apply(self, step: Step) -> Outcome:
        """Make a step true, waiting as long as Redis is away or refuses to write.

        Raises
        ------
        FencedError
            If another instance has taken the lease.
        redis.exceptions.ResponseError
            If Redis was asked nonsense: a defect of this project.
        """
        if self.epoch is None:
            msg = f"{self._worker}: a step was tried before the lease was taken"
            raise FencedError(msg)
        arguments = self._arguments(step, next(self._numbers))
        backoff = Backoff()
        while True:
            try:
                killpoint.reach(f"{self._worker}.before_step")
                answer = await self._script(keys=[], args=arguments)
                killpoint.reach(f"{self._worker}.after_step")
            except (*AWAY_ERRORS, ResponseError) as error:
                await wait_or_raise(error, backoff)
                continue
            return self._outcome(answer)

    def _outcome(self, answer: bytes | str) -> Outcome:
        text = answer.decode() if isinstance(answer, bytes) else answer
        if text == "lost":
            msg = f"{self._worker}: Redis has lost its data (is it append-only?); this worker stops and begins anew"
            raise DataLostError(msg)
        if text == "fenced":
            msg = f"{self._worker}: another instance has taken the lease since epoch {self.epoch}; this one stops"
            raise FencedError(msg)
        return Outcome.REFUSED if text == "refused" else Outcome.APPLIED

    def _arguments(self, step: Step, number: int) -> list[Value]:
        arguments: list[Value] = [
            self._worker.lease_epoch,
            str(self.epoch),
            self._worker.applied,
            str(number),
            APPLIED_KEPT,
            len(step.guards),
        ]
        for key, name, expected in step.guards:
            arguments += [key, name, "" if expected is None else expected, "0" if expected is None else "1"]
        arguments.append(len(step.operations))
        for words in step.operations:
            arguments += [len(words), *words]
        # redis-py would write the repr of a number that is an enumeration's: <ErrorCode.NO_RABBITMQ: 5071>
        return [int(value) if isinstance(value, enum.IntEnum) else value for value in arguments]
