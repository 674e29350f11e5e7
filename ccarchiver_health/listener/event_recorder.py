"""Writes supervisord's events to Redis: the newest of each program for whoever looks, an end as a letter to health."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import psutil
import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError

from ccarchiver_core import keys
from ccarchiver_core.base.errors import CcArchiverError
from ccarchiver_core.base.host import host_name
from ccarchiver_core.domain.supervised_process import ProcessState, SupervisedProcess
from ccarchiver_core.domain.worker_messages import ProcessExited
from ccarchiver_core.redis.client import read_hash, retry_until_available, transact
from ccarchiver_core.store.supervised_processes import parse_process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_health.listener.protocol import Event, EventBuffer

STATE_EVENT = "PROCESS_STATE_"
"""How the names of the events begin that we ask for; the state follows."""

MOST_LETTERS = 1000
"""Letters in health's mailbox from which on it gets none of ours: it is away, and the newest state is there anyway."""

ENDS = frozenset({ProcessState.EXITED, ProcessState.BACKOFF, ProcessState.FATAL})
"""States that health is told of by a letter."""

Command = tuple[str | bytes | int, ...]

_log = structlog.get_logger(__name__)


class EventRecorder:
    """Tells Redis of one event after the other; waits while Redis is away.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        Where to.
    kept : `Kept`
        The events that wait.
    """

    def __init__(self, redis: Redis, kept: EventBuffer) -> None:
        self._redis = redis
        self._kept = kept
        self._host = host_name()
        self._supervisord = _supervisord()
        self._told_of_dropped = 0

    async def run(self) -> None:
        """Tell until cancelled; what Redis refuses for good is logged and left out."""
        await self._try(self._forget_another_supervisord)
        while True:
            event = await self._kept.first()
            program = program_of(event)
            if program is not None:
                signed = program.model_copy(update={"host": self._host, "supervisord": self._supervisord})
                await self._try(partial(self._tell, signed))
            self._kept.done(event)
            self._report_dropped()

    async def _try(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write something that may be written twice, when Redis allows it; one event that it never takes is no end."""
        try:
            await retry_until_available(write)
        except (RedisError, CcArchiverError) as error:
            _log.error("event.refused", error=str(error), effect="one change of a program's state is not told")

    async def _forget_another_supervisord(self) -> None:
        """Take away what another one of this host said: it may have had other programs."""
        for name, record in (await read_hash(self._redis, keys.SUPERVISED_PROCESSES)).items():
            program = parse_process(record)
            if name.startswith(f"{self._host} ") and (program is None or program.supervisord != self._supervisord):
                await transact(self._redis, ("HDEL", keys.SUPERVISED_PROCESSES, name))

    async def _tell(self, program: SupervisedProcess) -> None:
        commands: list[Command] = [("HSET", keys.SUPERVISED_PROCESSES, program.field, program.model_dump_json())]
        health = keys.Worker.HEALTH.mailbox
        if program.state in ENDS and await self._redis.xlen(health) < MOST_LETTERS:
            commands.append(("XADD", health, "*", "message", ProcessExited(process=program).model_dump_json()))
        await transact(self._redis, *commands)

    def _report_dropped(self) -> None:
        dropped = self._kept.dropped
        if dropped > self._told_of_dropped:
            _log.warning("events.dropped", count=dropped - self._told_of_dropped, reason="Redis was away for too long")
            self._told_of_dropped = dropped


def program_of(event: Event) -> SupervisedProcess | None:
    """Read an event of a state; None, and a line in the log, for what is none, or none that we know."""
    facts = event.facts
    try:
        return SupervisedProcess(
            name=f"{facts['groupname']}:{facts['processname']}",
            state=ProcessState(event.name.removeprefix(STATE_EVENT)),
            changed_at=event.at,
            expected=facts.get("expected") == "1",
            tries=int(facts.get("tries", 0)),
            pid=int(facts.get("pid", 0)),
        )
    except (KeyError, ValueError, ValidationError) as error:
        _log.warning("event.not_known", event_name=event.name, facts=facts, error=str(error))
        return None


def _supervisord() -> str:
    """Name the supervisord that started this process, among those of this host."""
    parent = os.getppid()
    return f"{parent} {psutil.Process(parent).create_time():.2f}"
