"""One instance of each worker: a lease in Redis with an owner, a time to live and a fencing token.

Every transaction carries the fencing token (M. Kleppmann, "How to do distributed locking", 2016).
Redis rejects a transaction whose token is not the newest. Therefore a holder that was frozen until
after the end of its lease writes nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from typing import TYPE_CHECKING

import psutil
import structlog
from redis.exceptions import ResponseError

from ccarchiver_core.base.backoff import LONGEST, Backoff
from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.errors import DataLostError, FencedError, LeaseHeldError
from ccarchiver_core.base.host import host_name
from ccarchiver_core.base.scripts import read_script
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS
from ccarchiver_core.redis.replies import read_string, text
from ccarchiver_core.redis.retry import backoff_or_raise
from ccarchiver_core.redis.timeout_redis import COMMAND_TIMEOUT
from ccarchiver_core.store import unreadable
from ccarchiver_core.store.field_parser import FieldParser

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.keys import Worker
    from ccarchiver_core.store.transaction_pipeline import TransactionPipeline

_log = structlog.get_logger(__name__)

RENEWALS_PER_TTL = 5
"""Renewals of a lease within its time to live. Four may fail in a row before it expires."""

STANDBY_POLL_S = 0.5
"""Seconds between two polls of a standby, short compared with a lease's time to live."""

STANDBY_TTL_MS = 5_000
"""Time to live of a standby's entry, in ms.

Ten polls, so that the entry of a standby on a slow machine does not expire in between.
"""

STALE_POLL_S = 2.0
"""Seconds between two polls of a standby beyond which Redis counts as having had an outage.

In an outage (unavailable, hung or read-only Redis) no holder can renew its lease. So a lease that
has expired meanwhile does not mean that its holder is dead.
"""

MIN_GRACE_S = 2 * COMMAND_TIMEOUT + LONGEST
"""Seconds within which a live holder renews its lease after an outage of Redis.

Its command times out, it waits for the longest backoff, and it sends the command again.
"""

_ACQUIRE = read_script(__package__, "acquire_lease.lua")
_RENEW = read_script(__package__, "renew_lease.lua")
_RELEASE = read_script(__package__, "release_lease.lua")


class Lease:
    """The lease by which this process is the active instance of its worker.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        A client without retries of its own.
    worker : `Worker`
        The worker.
    transactions : `TransactionPipeline`
        The worker's transactions; they receive the fencing token and the end of the lease.
    ttl : `float`
        Time to live of the lease, in seconds.
    stand_by : `bool`
        Whether to wait for the end of another instance as its standby, instead of raising.
    """

    def __init__(
        self,
        redis: Redis,
        worker: Worker,
        transactions: TransactionPipeline,
        ttl: float,
        *,
        stand_by: bool = False,
    ) -> None:
        self._redis = redis
        self._worker = worker
        self._transactions = transactions
        self._ttl_ms = int(ttl * 1000)
        self._interval = ttl / RENEWALS_PER_TTL
        self._stand_by = stand_by
        self._standing_by_for = b""
        self._stood_by = False
        self._polled_at = 0.0
        self._not_before = 0.0
        self._grace = max(ttl, MIN_GRACE_S)
        self._owner = json.dumps(
            {
                "host": host_name(),
                "pid": os.getpid(),
                # In containers, several processes may have the same process id.
                "run": uuid.uuid4().hex,
                "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
        self._acquire_script = redis.register_script(_ACQUIRE)
        self._renew_script = redis.register_script(_RENEW)
        self._release_script = redis.register_script(_RELEASE)

    async def acquire(self) -> bool:
        """Acquire the lease; wait while Redis is unavailable, and as a standby if that is allowed.

        A lease whose holder died on this host is released at once. The lease of a live holder is
        respected. After an outage of Redis, a standby leaves an expired lease to its holder for a
        grace period, because the holder could not renew it.

        Returns
        -------
        stood_by
            Whether this instance was the standby of another one.

        Raises
        ------
        LeaseHeldError
            If another instance is running and this one may not wait as its standby. The text names
            its host and process.
        """
        backoff = Backoff()
        names = [self._worker.lease, self._worker.fencing_token, self._worker.applied]
        while True:
            try:
                if self._standing_by_for and await self._must_keep_waiting():
                    backoff = Backoff()
                    await asyncio.sleep(STANDBY_POLL_S)
                    continue
                requested_at = asyncio.get_running_loop().time()
                verdict, detail = await self._acquire_script(
                    keys=names, args=[self._owner, self._ttl_ms]
                )
                if verdict == b"acquired":
                    self._transactions.fencing_token = int(detail)
                    self._transactions.lease_valid_until = requested_at + self._ttl_ms / 1000
                    await self._leave_standby()
                    return self._stood_by
                if self._should_wait_for(detail):
                    self._polled_at = requested_at
                    continue
                await self._release_script(keys=[self._worker.lease], args=[detail])
                _log.info("lease.dead_holder_released", holder=text(detail))
            except (*UNAVAILABLE_ERRORS, ResponseError) as error:
                await backoff_or_raise(error, backoff)

    async def _must_keep_waiting(self) -> bool:
        """Write the standby's entry, and return whether this instance must remain the standby.

        It reads the lease before it tries to acquire it: a Redis that hangs runs a pending command
        when it continues, possibly before the holder's renewal.
        """
        held = await read_string(self._redis, self._worker.lease)
        await self._redis.set(self._worker.standby, self._owner, px=STANDBY_TTL_MS)
        now = asyncio.get_running_loop().time()
        late_s, self._polled_at = now - self._polled_at, now
        if late_s > STALE_POLL_S:
            self._not_before = now + self._grace
            _log.info("lease.wait_started", redis_unavailable_s=round(late_s, 1), for_s=self._grace)
        return self._should_wait_for(held) if held else now < self._not_before

    async def _leave_standby(self) -> None:
        if self._standing_by_for:
            await self._release_script(keys=[self._worker.standby], args=[self._owner])
            self._standing_by_for = b""

    def _should_wait_for(self, held_by: bytes) -> bool:
        """Return whether to wait for a holder; there is no wait for a dead one.

        Raises
        ------
        LeaseHeldError
            If the holder lives and this instance may not wait as its standby.
        """
        holder = parse_holder(self._worker, held_by)
        if holder is None:
            # Its holder finds the change at its next renewal and stops, so no instance has it.
            return False
        if _is_dead(holder):
            return False
        if self._stand_by:
            self._stood_by = True
            if held_by != self._standing_by_for:
                self._standing_by_for = held_by
                _log.info(
                    "lease.standby_started",
                    active_host=holder.get("host"),
                    active_pid=holder.get("pid"),
                )
            return True
        msg = (
            f"{self._worker}: already running as pid {holder['pid']} on {holder['host']} "
            f"since {holder.get('since')}; this instance exits, because only one may run. "
            "Stop the other one first "
            f"(supervisorctl stop ccarchiver:{self._worker}; kill {holder['pid']} if it does not "
            "run under supervisord). If its host is down, wait until its lease expires. "
            "(With STANDBY: true, this instance waits as the standby)"
        )
        raise LeaseHeldError(msg)

    async def renew_forever(self) -> None:
        """Renew the lease until cancelled; retry while Redis is unavailable.

        Raises
        ------
        FencedError
            If another instance has acquired the lease.
        DataLostError
            If Redis has lost its data.
        """
        backoff = Backoff()
        while True:
            requested_at = asyncio.get_running_loop().time()
            try:
                answer = await self._renew_script(
                    keys=[self._worker.lease, self._worker.fencing_token],
                    args=[self._owner, self._ttl_ms, str(self._transactions.fencing_token)],
                )
            except (*UNAVAILABLE_ERRORS, ResponseError) as error:
                await backoff_or_raise(error, backoff)
                continue
            if answer == b"lost":
                msg = (
                    f"{self._worker}: Redis has lost its data (is it append-only?); "
                    "this worker stops and must start again"
                )
                raise DataLostError(msg)
            if answer == b"fenced":
                msg = (
                    f"{self._worker}: another instance has acquired the lease "
                    f"(own fencing token: {self._transactions.fencing_token})"
                )
                raise FencedError(msg)
            self._transactions.lease_valid_until = requested_at + self._ttl_ms / 1000
            backoff = Backoff()
            await next_beat(self._interval)

    async def release(self) -> None:
        """Release the lease, so that a successor need not wait; best effort, safe to repeat."""
        try:
            await self._release_script(keys=[self._worker.lease], args=[self._owner])
        except (*UNAVAILABLE_ERRORS, ResponseError):
            _log.info(
                "lease.not_released",
                reason="Redis is unavailable or read-only; the lease expires by itself",
            )


async def read_fencing_token(redis: Redis, worker: Worker) -> int:
    """Return the fencing token of a worker: how often its lease was acquired; 0 if unknown."""
    fields = {"": text(await read_string(redis, worker.fencing_token) or b"0")}
    return FieldParser(worker.fencing_token, fields).integer("")


async def read_standby(redis: Redis, worker: Worker) -> str:
    """Return the host of a worker's standby; empty if there is none."""
    raw = await read_string(redis, worker.standby)
    holder = parse_holder(worker, raw, key=worker.standby) if raw else None
    return "" if holder is None else str(holder["host"])


def parse_holder(worker: Worker, raw: bytes, *, key: str = "") -> dict[str, object] | None:
    """Return the process that a lease or a standby's entry names; None if it cannot be read."""
    try:
        holder = json.loads(raw)
    except (ValueError, RecursionError) as error:
        unreadable.report(key or worker.lease, "", str(error))
        return None
    if not isinstance(holder, dict) or not {"host", "pid"} <= holder.keys():
        unreadable.report(key or worker.lease, "", "names no process")
        return None
    return holder


def _is_dead(holder: dict[str, object]) -> bool:
    """Return whether the holder ran on this host and has ended; False for another host's holder."""
    pid = holder.get("pid")
    if holder.get("host") != host_name() or not isinstance(pid, int):
        return False
    try:
        return pid == os.getpid() or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
