"""One instance of each worker: a lease in Redis with an owner, a time to live and an epoch.

The epoch is the fencing token (M. Kleppmann, "How to do distributed locking", 2016): every step carries it, and
Redis refuses a step whose epoch is not the newest. So a holder that was frozen past its lease does no harm.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from typing import TYPE_CHECKING, cast

import psutil
import structlog
from redis.exceptions import ResponseError

from ccarchiver_core.base.backoff import LONGEST, Backoff
from ccarchiver_core.base.errors import DataLostError, FencedError, LeaseHeldError
from ccarchiver_core.base.host import host_name
from ccarchiver_core.redis.client import COMMAND_TIMEOUT, UNAVAILABLE_ERRORS, backoff_or_raise

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.keys import Worker
    from ccarchiver_core.store.transaction_pipeline import TransactionPipeline

_log = structlog.get_logger(__name__)

RENEWALS_PER_TTL = 5
"""How often a lease is renewed in its time to live: four renewals may fail before it ends."""

STANDBY_POLL_S = 0.5
"""Seconds between two looks of a standby: little beside the time a lease outlives its holder."""

STANDBY_TTL_MS = 5_000
"""How long a standby counts as there after it said so: ten looks, so that a slow machine does not flicker."""

STALE_POLL_S = 2.0
"""Seconds between two looks of a standby beyond which Redis was away, hung or took no writes: nobody could renew then,
and that a lease has ended meanwhile says nothing about its holder."""

MIN_GRACE_S = 2 * COMMAND_TIMEOUT + LONGEST
"""Seconds within which a holder that lives renews when Redis is back: it ends one command, waits, and asks again."""

# KEYS: lease, epoch, applied. ARGV: owner, ttl in ms. The same owner may ask again after a lost reply.
_TAKE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return {'held', held} end
if held then return {'taken', redis.call('GET', KEYS[2])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[3])
return {'taken', tostring(redis.call('INCR', KEYS[2]))}
"""

# KEYS: lease, epoch. ARGV: owner, ttl in ms, own epoch. An ended lease that nobody took is taken up again.
_RENEW = """
local newest = redis.call('GET', KEYS[2])
if not newest then return 'lost' end
if newest ~= ARGV[3] then return 'fenced' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'renewed'
"""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Lease:
    """The right of this process to be its worker.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        A client without retries of its own.
    worker : `Worker`
        Which of the three.
    runner : `StepRunner`
        Gets the epoch.
    ttl : `float`
        Seconds the lease outlives its holder.
    stand_by : `bool`
        Whether to wait for the end of another instance instead of giving up.
    """

    def __init__(
        self, redis: Redis, worker: Worker, transactions: TransactionPipeline, ttl: float, *, stand_by: bool = False
    ) -> None:
        self._redis = redis
        self._worker = worker
        self._transactions = transactions
        self._ttl_ms = int(ttl * 1000)
        self._interval = ttl / RENEWALS_PER_TTL
        self._stand_by = stand_by
        self._standing_by_for = b""
        self._stood_by = False
        self._looked_at = 0.0
        self._not_before = 0.0
        self._grace = max(ttl, MIN_GRACE_S)
        self._owner = json.dumps(
            {
                "host": host_name(),
                "pid": os.getpid(),
                "run": uuid.uuid4().hex,  # in a container every process may have the same number
                "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
        self._acquire_script = redis.register_script(_TAKE)
        self._renew_script = redis.register_script(_RENEW)
        self._release_script = redis.register_script(_RELEASE)

    async def acquire(self) -> bool:
        """Take the lease, waiting while Redis is away, and as the standby while another instance has it.

        A lease whose holder died on this host is taken over at once; one that is alive is respected. A lease that ended
        while Redis was away is left to its holder for a time: nobody could have renewed it.

        Returns
        -------
        stood_by
            Whether another instance had it when this one came.

        Raises
        ------
        LeaseHeldError
            If another instance runs and this one shall not wait for its end; the text says where.
        """
        backoff = Backoff()
        names = [self._worker.lease, self._worker.fencing_token, self._worker.applied]
        while True:
            try:
                if self._standing_by_for and await self._must_keep_waiting():
                    backoff = Backoff()
                    await asyncio.sleep(STANDBY_POLL_S)
                    continue
                asked_at = asyncio.get_running_loop().time()
                verdict, detail = await self._acquire_script(keys=names, args=[self._owner, self._ttl_ms])
                if verdict == b"taken":
                    self._transactions.epoch = int(detail)
                    self._transactions.lease_valid_until = asked_at + self._ttl_ms / 1000
                    await self._leave_standby()
                    return self._stood_by
                if self._should_wait_for(detail):
                    self._looked_at = asked_at
                    continue
                await self._release_script(keys=[self._worker.lease], args=[detail])
                _log.info("lease.dead_holder_released", holder=detail.decode())
            except (*UNAVAILABLE_ERRORS, ResponseError) as error:
                await backoff_or_raise(error, backoff)

    async def _must_keep_waiting(self) -> bool:
        """Say that this one stands by, and look whether it must go on doing so.

        It looks before it asks for the lease: what is asked of a Redis that hangs is done when that wakes up, maybe
        before the holder's renewal.
        """
        held = cast("bytes | None", await self._redis.get(self._worker.lease))
        await self._redis.set(self._worker.standby, self._owner, px=STANDBY_TTL_MS)
        now = asyncio.get_running_loop().time()
        late_s, self._looked_at = now - self._looked_at, now
        if late_s > STALE_POLL_S:
            self._not_before = now + self._grace
            _log.info("lease.wait_started", redis_away_s=round(late_s, 1), for_s=self._grace)
        return self._should_wait_for(held) if held else now < self._not_before

    async def _leave_standby(self) -> None:
        if self._standing_by_for:
            await self._release_script(keys=[self._worker.standby], args=[self._owner])
            self._standing_by_for = b""

    def _should_wait_for(self, held_by: bytes) -> bool:
        """Tell whether the holder is respected as the active one; a dead one is not."""
        holder: dict[str, object] = json.loads(held_by)
        if _is_dead(holder):
            return False
        if self._stand_by:
            self._stood_by = True
            if held_by != self._standing_by_for:
                self._standing_by_for = held_by
                _log.info("lease.standby_started", active_host=holder["host"], active_pid=holder["pid"])
            return True
        msg = (
            f"{self._worker}: already running as pid {holder['pid']} on {holder['host']} since {holder['since']}; "
            f"only one may. Stop that one first (supervisorctl stop ccarchiver:{self._worker}; kill {holder['pid']} if "
            "no supervisord runs it), or wait for its lease to end if its host is down. "
            "(STANDBY: true makes this one the standby)"
        )
        raise LeaseHeldError(msg)

    async def renew_forever(self) -> None:
        """Renew for ever, through outages.

        Raises
        ------
        FencedError
            If another instance has taken the lease.
        """
        backoff = Backoff()
        while True:
            asked_at = asyncio.get_running_loop().time()
            try:
                answer = await self._renew_script(
                    keys=[self._worker.lease, self._worker.fencing_token],
                    args=[self._owner, self._ttl_ms, str(self._transactions.epoch)],
                )
            except (*UNAVAILABLE_ERRORS, ResponseError) as error:
                await backoff_or_raise(error, backoff)
                continue
            if answer == b"lost":
                msg = f"{self._worker}: Redis has lost its data (is it append-only?); this worker stops and begins anew"
                raise DataLostError(msg)
            if answer == b"fenced":
                msg = f"{self._worker}: the lease of epoch {self._transactions.epoch} was taken by another instance"
                raise FencedError(msg)
            self._transactions.lease_valid_until = asked_at + self._ttl_ms / 1000
            backoff = Backoff()
            await asyncio.sleep(self._interval)

    async def release(self) -> None:
        """Give the lease back, so that a successor need not wait; best effort, safe to repeat."""
        try:
            await self._release_script(keys=[self._worker.lease], args=[self._owner])
        except (*UNAVAILABLE_ERRORS, ResponseError):
            _log.info("lease.not_released", reason="Redis is away or cannot write; it ends by itself")


async def read_standby(redis: Redis, worker: Worker) -> str:
    """Read which host waits to take a worker over; empty if none does."""
    raw = await redis.get(worker.standby)
    return str(json.loads(raw)["host"]) if raw else ""


def _is_dead(holder: dict[str, object]) -> bool:
    """Tell whether the holder's process on this very host is gone; of another host nothing is known."""
    pid = holder.get("pid")
    if holder.get("host") != host_name() or not isinstance(pid, int):
        return False
    try:
        return pid == os.getpid() or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
