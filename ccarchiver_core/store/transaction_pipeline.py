"""Steps on their way into Redis: in the order in which they are given, each once, whatever becomes of the connection.

All steps of a worker go over one connection, one behind the other, without waiting for each other's replies: what
comes at once shares one write to Redis' disk. Each has a number, by which Redis knows a step that is repeated after a
lost reply, and one that comes before its predecessor. A worker that lost its lease to another instance is refused
(`FencedError`).
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import hiredis
from redis import exceptions

from ccarchiver_core.base import failpoint
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.errors import DataLostError, FencedError
from ccarchiver_core.redis.client import COMMAND_TIMEOUT, UNAVAILABLE_ERRORS, backoff_or_raise, is_write_rejected
from ccarchiver_core.store.transaction import Outcome, Transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    from ccarchiver_core.keys import Worker
    from ccarchiver_core.store.transaction import Value

FAILED_PRECONDITIONS_KEPT: Final = 1000
"""Numbers of refused steps that Redis remembers for each worker; far fewer are under way at once."""

MAX_INFLIGHT_BYTES: Final = 12_000
"""Bytes of steps without a reply up to which there may be another effect outside. Redis reads 16 kB of a connection at
once: so it has taken in all of them before it can notice that their sender is dead, and forget what it has not read."""

CLOSE_LIMIT: Final = 2.0
"""Seconds that steps which were given may still take when a worker stops; what is left then is done again."""

# ARGV: epoch key, own epoch, key of what was applied, number, number it must come after (0: any),
#       refused numbers kept,
#       count of guards, {key, field or '', expected or '', 1 if it must exist}...,
#       count of operations, {count of words, words...}...
_SCRIPT: Final = """
local at = 0
local function take() at = at + 1; return ARGV[at] end
local epoch_key, epoch, applied = take(), take(), take()
local number, after, kept = tonumber(take()), tonumber(take()), tonumber(take())
local newest = redis.call('GET', epoch_key)
if not newest then return 'lost' end
if newest ~= epoch then return 'fenced' end
local last = tonumber(redis.call('HGET', applied, 'last') or 0)
if number <= last then
  local refused = redis.call('HGET', applied, 'refused') or ''
  if string.find(refused, ' ' .. number .. ' ', 1, true) then return 'refused' end
  return 'repeated'
end
if last < after then return 'early' end
local held = true
for _ = 1, tonumber(take()) do
  local key, field, expected, present = take(), take(), take(), take()
  local found
  if field == '' then found = redis.call('GET', key) else found = redis.call('HGET', key, field) end
  if present == '1' then
    if found ~= expected then held = false end
  elseif found then held = false end
end
if not held then
  local refused = redis.call('HGET', applied, 'refused') or ' '
  refused = string.sub(refused .. number .. ' ', -8 * kept)
  redis.call('HSET', applied, 'last', number, 'refused', refused)
  return 'refused'
end
for _ = 1, tonumber(take()) do
  local words = {}
  for i = 1, tonumber(take()) do words[i] = take() end
  redis.call(unpack(words))
end
redis.call('HSET', applied, 'last', number)
return 'applied'
"""


@dataclass
class _InFlight:
    """A step that was given and has no reply yet."""

    number: int
    arguments: list[Value]
    outcome: asyncio.Future[Outcome]
    """For whoever gave it, who may cancel it."""
    replied: asyncio.Future[None]
    """Done when it has its reply; nobody else holds it."""
    size: int = 0
    sent_at: float = 0.0
    """When it was sent last, by the event loop's clock."""


class _DiscardedError(Exception):
    """The oldest step could not be done at all; those behind it are sent again."""


class TransactionPipeline:
    """Applies steps for one worker under its lease's epoch.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        A client without retries of its own; one of its connections is used for steps alone.
    worker : `Worker`
        Who writes.
    """

    def __init__(self, redis: Redis, worker: Worker) -> None:
        self._redis = redis
        self._worker = worker
        self._number = 0
        self._inflight: collections.deque[_InFlight] = collections.deque()
        self._work_available = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._sha = ""
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._backoff = Backoff()
        self._inflight_bytes = 0
        self.epoch: int | None = None
        """The lease's epoch; set by the lease, None before."""
        self.lease_valid_until = 0.0
        """Until when nobody else can have the lease, by the event loop's clock; set by the lease with each renewal."""

    async def apply(self, transaction: Transaction) -> Outcome:
        """Make a step true, waiting as long as Redis is away or refuses to write.

        Raises
        ------
        FencedError
            If another instance has taken the lease.
        redis.exceptions.ResponseError
            If Redis was asked nonsense: a defect of this project.
        """
        return await (await self.submit(transaction))

    async def submit(self, transaction: Transaction) -> asyncio.Future[Outcome]:
        """Send a step without waiting for the reply; it is applied after all that were given before.

        The bytes are with the operating system when this returns, unless Redis is away. After `ready` they reach
        Redis even if this process is killed in the next instruction, unless a reply has come since.

        Returns
        -------
        outcome
            To be awaited at some time; raises what `apply` raises.

        Raises
        ------
        FencedError
            If there is no lease, or no longer.
        """
        if self._failure is not None:
            raise self._failure
        if self.epoch is None:
            msg = f"{self._worker}: a step was tried before the lease was taken"
            raise FencedError(msg)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        failpoint.hit(f"{self._worker}.before_step")
        given = self._new_inflight(self._number + 1, transaction)
        packed = self._pack(given)
        self._number = given.number
        self._inflight.append(given)
        given.size = len(packed)
        self._inflight_bytes += given.size
        self._work_available.set()
        if self._connection is not None and self._connection.is_connected:
            # If this fails, the reader of the replies fails as well, and what was given is sent again.
            with contextlib.suppress(*UNAVAILABLE_ERRORS):
                await self._send(self._connection, given, packed)
        return given.outcome

    async def wait_until_safe(self) -> None:
        """Wait until there may be an effect outside Redis whose record is given next.

        That is when Redis is not so far behind that a record could be lost with this process, and when it is sure that
        the lease is still ours: a process that was frozen must not act before it has asked.

        Raises
        ------
        FencedError
            If another instance has taken the lease.
        """
        if asyncio.get_running_loop().time() > self.lease_valid_until:
            await self.apply(Transaction())
        if self._inflight:
            # Reads the replies that are here: with one unread, the connection of a killed process is reset. In the
            # first pass the event loop finds that they are here, but reads them behind this task: hence the second.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        while self._inflight and (self._connection is None or self._inflight_bytes > MAX_INFLIGHT_BYTES):
            await asyncio.wait([self._inflight[0].replied])
        if self._failure is not None:
            raise self._failure

    async def drain(self) -> None:
        """Wait until all that was given has a reply: what is read from Redis then is not behind it."""
        if self._inflight:
            await asyncio.wait([given.replied for given in self._inflight])

    async def close(self) -> None:
        """Let what was given come to its end, for a short time, and close the connection; safe to repeat."""
        if self._task is None:
            return
        if self._connection is not None and self._inflight:
            await asyncio.wait([given.replied for given in self._inflight], timeout=CLOSE_LIMIT)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._fail_all(None)  # also if it was cancelled before it began

    def _new_inflight(self, number: int, transaction: Transaction) -> _InFlight:
        loop = asyncio.get_running_loop()
        given = _InFlight(number, _script_arguments(transaction), loop.create_future(), loop.create_future())
        # Whoever gave it may have ended over the one before it; that error is enough.
        given.outcome.add_done_callback(lambda outcome: outcome.cancelled() or outcome.exception())
        return given

    async def _run(self) -> None:
        """Keep a connection and read replies, until the lease is lost."""
        try:
            while True:
                await self._work_available.wait()
                try:
                    async with self._connected() as connection:
                        await self._send_all(connection)
                        await self._read_replies(connection)
                except (exceptions.NoScriptError, _DiscardedError):
                    continue  # somebody flushed Redis' scripts: connecting loads ours again
                except (*UNAVAILABLE_ERRORS, exceptions.ResponseError) as error:
                    await backoff_or_raise(error, self._backoff)
        except asyncio.CancelledError:
            self._fail_all(None)
            raise
        except BaseException as error:  # noqa: BLE001  whoever gave a step raises it
            self._fail_all(error)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AbstractConnection]:
        pool = self._redis.connection_pool
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py has no type there
        except TimeoutError:
            raise exceptions.TimeoutError(f"no connection in {COMMAND_TIMEOUT:g} s") from None
        transport = connection._writer.transport  # noqa: SLF001  redis-py has no public way to it
        transport.set_write_buffer_limits(high=0)  # what is sent is with the operating system
        try:
            yield connection
        finally:
            self._connection = None
            await connection.disconnect(nowait=True)
            # Closing waits until all is sent, over a connection that may be dead, and who sends waits with it.
            transport.abort()
            await pool.release(connection)

    async def _send_all(self, connection: AbstractConnection) -> None:
        """Load the script and send all that has no reply yet."""
        async with asyncio.timeout(COMMAND_TIMEOUT):
            await connection.send_packed_command(_command("SCRIPT", "LOAD", _SCRIPT), check_health=False)
            self._sha = (await connection.read_response()).decode()
        sent = 0
        while sent < len(self._inflight):  # more may be given while the socket takes these
            async with asyncio.timeout(COMMAND_TIMEOUT):
                await self._send(connection, self._inflight[sent], self._pack(self._inflight[sent]))
            sent += 1
        self._connection = connection

    def _pack(self, given: _InFlight) -> bytes:
        # Before the oldest there is nothing that Redis has not confirmed. (Without fsync always it may have lost that.)
        is_oldest = not self._inflight or given is self._inflight[0]
        after = 0 if is_oldest else given.number - 1
        head = ("EVALSHA", self._sha, 0, self._worker.fencing_token, str(self.epoch), self._worker.applied)
        return _command(*head, given.number, after, FAILED_PRECONDITIONS_KEPT, *given.arguments)

    @staticmethod
    async def _send(connection: AbstractConnection, given: _InFlight, packed: bytes) -> None:
        given.sent_at = asyncio.get_running_loop().time()
        await connection.send_packed_command(packed, check_health=False)

    async def _read_replies(self, connection: AbstractConnection) -> None:
        """Read a reply for each step, oldest first; without end."""
        loop = asyncio.get_running_loop()
        heard_at = 0.0
        while True:
            while self._inflight:
                oldest = self._inflight[0]
                try:
                    async with asyncio.timeout_at(max(heard_at, oldest.sent_at) + COMMAND_TIMEOUT):
                        reply = await connection.read_response()
                except TimeoutError:
                    raise exceptions.TimeoutError(f"no answer to a step in {COMMAND_TIMEOUT:g} s") from None
                except exceptions.ResponseError as error:
                    self._discard_if_invalid(error)
                    raise
                heard_at = loop.time()
                outcome = self._outcome_of(reply)
                failpoint.hit(f"{self._worker}.after_step")
                self._backoff = Backoff()
                self._inflight.popleft()
                self._inflight_bytes -= oldest.size
                oldest.replied.set_result(None)
                if not oldest.outcome.done():  # whoever gave it may have been cancelled meanwhile
                    oldest.outcome.set_result(outcome)
            self._work_available.clear()
            await self._work_available.wait()

    def _discard_if_invalid(self, error: exceptions.ResponseError) -> None:
        """Give the oldest step up if Redis cannot do it at all, so that those behind it go on.

        Raises
        ------
        _GivenUpError
            If it was that.
        """
        if isinstance(error, exceptions.NoScriptError) or is_write_rejected(error):
            return
        oldest = self._inflight[0]
        if not oldest.outcome.done():
            oldest.outcome.set_exception(error)
        # Its number is still what the next one comes after.
        blank = self._new_inflight(oldest.number, Transaction())
        blank.replied, blank.size = oldest.replied, oldest.size
        self._inflight[0] = blank
        raise _DiscardedError from error

    def _outcome_of(self, reply: bytes) -> Outcome:
        match reply:
            case b"lost":
                msg = f"{self._worker}: Redis has lost its data (is it append-only?); this worker stops and begins anew"
                raise DataLostError(msg)
            case b"fenced":
                msg = f"{self._worker}: another instance has taken the lease since epoch {self.epoch}; this one stops"
                raise FencedError(msg)
            case b"early":
                # The one before it is still to be sent again, or Redis came back without its last second.
                raise exceptions.ConnectionError("Redis has not the step before this one; sending from the oldest on")
            case b"refused":
                return Outcome.PRECONDITION_FAILED
            case _:
                return Outcome.APPLIED

    def _fail_all(self, error: BaseException | None) -> None:
        """End everything that was given with an error, or as cancelled; what comes later fails at once."""
        self._failure = self._failure or error or FencedError(f"{self._worker}: a step was tried after the last one")
        for given in self._inflight:
            if not given.replied.done():
                given.replied.set_result(None)
            if error is None:
                given.outcome.cancel()
            elif not given.outcome.done():
                given.outcome.set_exception(error)
        self._inflight.clear()


def _command(*words: Value) -> bytes:
    return bytes(hiredis.pack_command(words))  # type: ignore[arg-type]  # its types say: a tuple of one


def _script_arguments(transaction: Transaction) -> list[Value]:
    words: list[Value] = [len(transaction.preconditions)]
    for key, name, expected in transaction.preconditions:
        words += [key, name, "" if expected is None else expected, "0" if expected is None else "1"]
    words.append(len(transaction.commands))
    for operation in transaction.commands:
        words += [len(operation), *operation]
    # hiredis does not take a number that is an enumeration's: ErrorCode.NO_RABBITMQ
    return [int(value) if isinstance(value, enum.IntEnum) else value for value in words]
