"""Apply transactions to Redis in sequence, each exactly once, even if the connection breaks.

All transactions of a worker use one connection. They are pipelined: each is sent without waiting
for the reply to the one before it, so that several share one write to Redis' disk. Each has a
number. By it Redis recognizes a transaction that is repeated after a lost reply, and one that
arrives before its predecessor. Redis rejects the transactions of a worker that has lost its lease
to another instance (`FencedError`).
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import hiredis
import structlog
from redis import exceptions

from ccarchiver_core import keys
from ccarchiver_core.base import failpoint
from ccarchiver_core.base.backoff import Backoff
from ccarchiver_core.base.errors import DataLostError, FencedError
from ccarchiver_core.base.scripts import read_script
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, is_write_rejected
from ccarchiver_core.redis.retry import backoff_or_raise
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT
from ccarchiver_core.store.transaction import Outcome, Transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

    from ccarchiver_core.keys import Worker
    from ccarchiver_core.store.transaction import Value

FAILED_PRECONDITIONS_KEPT: Final = 1000
"""Numbers of transactions with a failed precondition that Redis keeps for each worker.

Far fewer are in flight at once.
"""

MAX_INFLIGHT_BYTES: Final = 12_000
"""Maximum bytes of transactions in flight while an effect outside Redis may happen.

Redis reads 16 kB of a connection at once. So it has read all of them before it can detect that the
sender is dead and discard what it has not read.
"""

CLOSE_LIMIT: Final = 2.0
"""Seconds for which a stopping worker waits for the replies to transactions in flight.

The work of those without a reply is repeated after the restart.
"""

_PLAIN_TYPES: Final = frozenset({str, bytes, int, float})
"""Types of most words: a quicker test than isinstance, which calls Python code for an Enum."""

_log = structlog.get_logger(__name__)

_SCRIPT: Final = read_script(__package__, "transaction.lua")


@dataclass
class _InFlight:
    """A submitted transaction that has no reply yet."""

    number: int
    arguments: list[Value]
    outcome: asyncio.Future[Outcome]
    """For the caller of `submit`, which may cancel it."""
    replied: asyncio.Future[None]
    """Done when the reply has arrived. Only the pipeline uses it."""
    size: int = 0
    sent_at: float = 0.0
    """When it was last sent, by the event loop's clock."""


class _DiscardedError(Exception):
    """Redis cannot run the oldest transaction at all. Those behind it are sent again."""


class TransactionPipeline:
    """Applies the transactions of one worker under its fencing token.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        A client without retries of its own. One of its connections is used only for transactions.
    worker : `Worker`
        The worker that writes.
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
        self._awaiting_safety: set[asyncio.Future[None]] = set()
        """One for each task that waits in `wait_until_safe`."""
        self.fencing_token: int | None = None
        """The number of the lease. The lease sets it; None before."""
        self.lease_valid_until = 0.0
        """Time until which no other instance can acquire the lease, by the event loop's clock.

        The lease sets it with each renewal.
        """

    async def apply(self, transaction: Transaction) -> Outcome:
        """Apply a transaction. Wait while Redis is unavailable or rejects writes.

        Raises
        ------
        FencedError
            If another instance has acquired the lease.
        redis.exceptions.ResponseError
            If Redis rejects a command as invalid, which is a defect of this project.
        """
        return await (await self.submit(transaction))

    async def submit(self, transaction: Transaction) -> asyncio.Future[Outcome]:
        """Send a transaction without waiting for its reply. Transactions are applied in sequence.

        When this returns, the operating system has the bytes, unless Redis is unavailable. If
        `wait_until_safe` returned just before, they reach Redis even if this process is killed
        immediately, unless a reply has arrived since.

        Returns
        -------
        outcome
            The outcome, to be awaited later. It raises what `apply` raises.

        Raises
        ------
        FencedError
            If this worker has no lease, or has lost it.
        """
        if self._failure is not None:
            raise self._failure
        if self.fencing_token is None:
            msg = f"{self._worker}: a transaction was submitted before the lease was acquired"
            raise FencedError(msg)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        failpoint.hit(f"{self._worker}.before_transaction")
        entry = self._new_inflight(self._number + 1, transaction)
        packed = self._pack(entry)
        self._number = entry.number
        self._inflight.append(entry)
        entry.size = len(packed)
        self._inflight_bytes += entry.size
        self._work_available.set()
        if self._connection is not None and self._connection.is_connected:
            # If this fails, the reader of the replies fails too, and all in flight are sent again.
            with contextlib.suppress(*UNAVAILABLE_ERRORS):
                await self._send(self._connection, entry, packed)
        return entry.outcome

    async def wait_until_safe(self) -> None:
        """Wait until it is safe to cause an effect outside Redis and to submit its record next.

        It is safe if few bytes are in flight, so that the record cannot be lost with this process,
        and if this worker certainly holds the lease. A process that was frozen must not act before
        it has checked the lease.

        Raises
        ------
        FencedError
            If another instance has acquired the lease.
        """
        if asyncio.get_running_loop().time() > self.lease_valid_until:
            await self.apply(Transaction())
        if self._inflight:
            # Read the replies that have arrived: if one is unread when this process is killed, the
            # connection is reset. In the first pass the event loop finds them, but it reads them
            # after this task has run. So a second pass is needed.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if self._is_unsafe:
            continued: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaiting_safety.add(continued)
            try:
                while self._is_unsafe:
                    await asyncio.wait([self._inflight[0].replied])
            finally:
                self._awaiting_safety.discard(continued)
                continued.set_result(None)
        if self._failure is not None:
            raise self._failure

    async def let_effects_pass(self) -> None:
        """Wait until the tasks that wait in `wait_until_safe` now have continued.

        Call it before each of many large transactions in a row. Without it, the next one would be
        in flight before those tasks have noticed the reply to the one before, and they would wait
        until the last one.
        """
        if self._awaiting_safety:
            await asyncio.wait(set(self._awaiting_safety))

    @property
    def _is_unsafe(self) -> bool:
        return bool(self._inflight) and (
            self._connection is None or self._inflight_bytes > MAX_INFLIGHT_BYTES
        )

    async def drain(self) -> None:
        """Wait for the replies to all submitted transactions.

        What is read from Redis afterwards includes their writes.
        """
        if self._inflight:
            await asyncio.wait([entry.replied for entry in self._inflight])

    async def close(self) -> None:
        """Wait a short time for outstanding replies, then close the connection. Safe to repeat."""
        if self._task is None:
            return
        if self._connection is not None and self._inflight:
            replies = [entry.replied for entry in self._inflight]
            await asyncio.wait(replies, timeout=CLOSE_LIMIT)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._fail_all(None)  # also if it was cancelled before it began

    def _new_inflight(self, number: int, transaction: Transaction) -> _InFlight:
        loop = asyncio.get_running_loop()
        arguments = _script_arguments(transaction)
        entry = _InFlight(number, arguments, loop.create_future(), loop.create_future())
        # The caller may have ended because of an earlier error. That error is enough.
        entry.outcome.add_done_callback(lambda outcome: outcome.cancelled() or outcome.exception())
        return entry

    async def _run(self) -> None:
        """Keep a connection open and read replies until the lease is lost."""
        try:
            while True:
                await self._work_available.wait()
                try:
                    async with self._connected() as connection:
                        await self._send_all(connection)
                        await self._read_replies(connection)
                except (exceptions.NoScriptError, _DiscardedError):
                    continue  # Redis' scripts were flushed: connecting loads this one again
                except (*UNAVAILABLE_ERRORS, exceptions.ResponseError) as error:
                    await backoff_or_raise(error, self._backoff)
        except asyncio.CancelledError:
            self._fail_all(None)
            raise
        except BaseException as error:  # noqa: BLE001  the callers raise it
            self._fail_all(error)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[AbstractConnection]:
        pool = self._redis.connection_pool
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                # redis-py has no type for this.
                connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        except TimeoutError:
            raise exceptions.TimeoutError(f"no connection in {COMMAND_TIMEOUT:g} s") from None
        transport = connection._writer.transport  # noqa: SLF001  not public in redis-py
        transport.set_write_buffer_limits(high=0)  # write to the socket at once
        try:
            yield connection
        finally:
            self._connection = None
            await connection.disconnect(nowait=True)
            # Closing waits until all bytes are sent. The connection may be dead, and then the task
            # that sends would wait as well.
            transport.abort()
            await pool.release(connection)

    async def _send_all(self, connection: AbstractConnection) -> None:
        """Load the script and send all transactions that have no reply yet."""
        async with asyncio.timeout(COMMAND_TIMEOUT):
            load = _command("SCRIPT", "LOAD", _SCRIPT)
            await connection.send_packed_command(load, check_health=False)
            self._sha = (await connection.read_response()).decode()
        sent = 0
        while sent < len(self._inflight):  # more may be submitted meanwhile
            async with asyncio.timeout(COMMAND_TIMEOUT):
                await self._send(connection, self._inflight[sent], self._pack(self._inflight[sent]))
            sent += 1
        self._connection = connection

    def _pack(self, entry: _InFlight) -> bytes:
        # Redis has confirmed all transactions before the oldest in flight. If they are missing, it
        # has lost them, and waiting for them would not end.
        is_oldest = not self._inflight or entry is self._inflight[0]
        token = (self._worker.fencing_token, str(self.fencing_token))
        head = ("EVALSHA", self._sha, 0, *token, self._worker.applied, keys.UNREADABLE)
        numbers = (entry.number, entry.number - 1, int(is_oldest), FAILED_PRECONDITIONS_KEPT)
        return _command(*head, *numbers, *entry.arguments)

    @staticmethod
    async def _send(connection: AbstractConnection, entry: _InFlight, packed: bytes) -> None:
        entry.sent_at = asyncio.get_running_loop().time()
        await connection.send_packed_command(packed, check_health=False)

    async def _read_replies(self, connection: AbstractConnection) -> None:
        """Read the reply to each transaction, oldest first, until an error."""
        loop = asyncio.get_running_loop()
        last_reply_at = 0.0
        while True:
            while self._inflight:
                oldest = self._inflight[0]
                try:
                    deadline = max(last_reply_at, oldest.sent_at) + COMMAND_TIMEOUT
                    async with asyncio.timeout_at(deadline):
                        reply = await connection.read_response()
                except TimeoutError:
                    msg = f"no reply to a transaction in {COMMAND_TIMEOUT:g} s"
                    raise exceptions.TimeoutError(msg) from None
                except exceptions.ResponseError as error:
                    self._discard_if_invalid(error)
                    raise
                last_reply_at = loop.time()
                outcome = self._outcome_of(reply)
                failpoint.hit(f"{self._worker}.after_transaction")
                self._backoff = Backoff()
                self._inflight.popleft()
                self._inflight_bytes -= oldest.size
                oldest.replied.set_result(None)
                if not oldest.outcome.done():  # the caller may have cancelled it
                    oldest.outcome.set_result(outcome)
            self._work_available.clear()
            await self._work_available.wait()

    def _discard_if_invalid(self, error: exceptions.ResponseError) -> None:
        """Discard the oldest transaction if Redis cannot run it at all.

        Those behind it can then continue.

        Raises
        ------
        _DiscardedError
            If it was discarded.
        """
        if isinstance(error, exceptions.NoScriptError) or is_write_rejected(error):
            return
        oldest = self._inflight[0]
        if not oldest.outcome.done():
            oldest.outcome.set_exception(error)
        # An empty transaction takes its number, which the next one names as its predecessor.
        blank = self._new_inflight(oldest.number, Transaction())
        blank.replied, blank.size = oldest.replied, oldest.size
        self._inflight[0] = blank
        raise _DiscardedError from error

    def _outcome_of(self, reply: bytes) -> Outcome:
        result, _, lost = reply.partition(b":")
        if lost:
            _log.critical(
                "redis.writes_lost",
                transactions=int(lost),
                effect="Redis has lost writes that it had confirmed, so images can be incomplete",
                remedy=f"supervisorctl restart ccarchiver:{self._worker}; then ccarchiver night",
            )
        match result:
            case b"lost":
                msg = (
                    f"{self._worker}: Redis has lost its data (is it append-only?); "
                    "this worker stops and starts again"
                )
                raise DataLostError(msg)
            case b"fenced":
                msg = (
                    f"{self._worker}: another instance has acquired the lease since fencing token "
                    f"{self.fencing_token}; this one stops"
                )
                raise FencedError(msg)
            case b"early":
                # Its predecessor is not sent again yet, or Redis lost the last second in a restart.
                raise exceptions.ConnectionError(
                    "Redis lacks the transaction before this one; sending again from the oldest"
                )
            case b"precondition_failed":
                return Outcome.PRECONDITION_FAILED
            case _:
                return Outcome.APPLIED

    def _fail_all(self, error: BaseException | None) -> None:
        """Fail or, without an error, cancel all transactions in flight; later ones fail at once."""
        if self._failure is None:
            self._failure = error or FencedError(
                f"{self._worker}: a transaction was submitted after the end"
            )
        for entry in self._inflight:
            if not entry.replied.done():
                entry.replied.set_result(None)
            if error is None:
                entry.outcome.cancel()
            elif not entry.outcome.done():
                entry.outcome.set_exception(error)
        self._inflight.clear()


def _command(*words: Value) -> bytes:
    # The type hint of hiredis is a tuple of one.
    return bytes(hiredis.pack_command(words))  # type: ignore[arg-type]


def _script_arguments(transaction: Transaction) -> list[Value]:
    words: list[Value] = [len(transaction.preconditions)]
    for key, name, expected in transaction.preconditions:
        words += [key, name, "" if expected is None else expected, "0" if expected is None else "1"]
    words.append(len(transaction.commands))
    for operation in transaction.commands:
        words += [len(operation), *operation]
    # hiredis does not accept an IntEnum, for example ErrorCode.NO_RABBITMQ.
    return [
        int(value) if type(value) not in _PLAIN_TYPES and isinstance(value, enum.IntEnum) else value
        for value in words
    ]
