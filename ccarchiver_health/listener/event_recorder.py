"""Recording of supervisord's events in Redis.

The newest state of each process is stored in `keys.SUPERVISED_PROCESSES`. The exit of a process is
also enqueued as a message to health.
"""

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
from ccarchiver_core.redis.replies import read_hash, read_length, transact
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.store.supervised_processes import parse_process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

    from ccarchiver_health.listener.protocol import Event, EventBuffer

STATE_EVENT = "PROCESS_STATE_"
"""Prefix of the names of subscribed events; the state follows."""

MAX_MAILBOX_ENTRIES = 1000
"""Depth of health's mailbox from which on the listener enqueues no more messages.

Health is down then, and the newest state of each process is stored in any case.
"""

ENDS = frozenset({ProcessState.EXITED, ProcessState.BACKOFF, ProcessState.FATAL})
"""States for which the listener enqueues a message to health."""

Command = tuple[str | bytes | int, ...]

_log = structlog.get_logger(__name__)


class EventRecorder:
    """Recorder that writes events to Redis one by one, and waits while Redis is unavailable.

    Parameters
    ----------
    redis : `redis.asyncio.Redis`
        Client of the Redis to write to.
    buffer : `EventBuffer`
        The events to record.
    """

    def __init__(self, redis: Redis, buffer: EventBuffer) -> None:
        self._redis = redis
        self._buffer = buffer
        self._host = host_name()
        self._supervisord = _supervisord()
        self._reported_dropped = 0

    async def run(self) -> None:
        """Record events until cancelled. An event that Redis rejects is logged and skipped."""
        await self._try(self._forget_another_supervisord)
        while True:
            event = await self._buffer.first()
            program = process_of(event)
            if program is not None:
                complete = program.model_copy(
                    update={"host": self._host, "supervisord": self._supervisord}
                )
                await self._try(partial(self._record, complete))
            self._buffer.remove(event)
            self._log_dropped()

    async def _try(self, write: Callable[[], Awaitable[None]]) -> None:
        """Run an idempotent write, and repeat it until Redis is available.

        An error of another kind is logged: one event that cannot be written does not end the task.
        """
        try:
            await retry_until_available(write)
        except (RedisError, CcArchiverError) as error:
            _log.error(
                "process_event.not_recorded",
                error=str(error),
                effect="one change of a process state is not recorded",
            )

    async def _forget_another_supervisord(self) -> None:
        """Remove what another supervisord on this host recorded: its programs may be other ones."""
        for name, record in (await read_hash(self._redis, keys.SUPERVISED_PROCESSES)).items():
            program = parse_process(record)
            if name.startswith(f"{self._host} ") and (
                program is None or program.supervisord != self._supervisord
            ):
                await transact(self._redis, ("HDEL", keys.SUPERVISED_PROCESSES, name))

    async def _record(self, program: SupervisedProcess) -> None:
        commands: list[Command] = [
            ("HSET", keys.SUPERVISED_PROCESSES, program.field, program.model_dump_json())
        ]
        health = keys.Worker.HEALTH.mailbox
        if program.state in ENDS and await read_length(self._redis, health) < MAX_MAILBOX_ENTRIES:
            commands.append(
                ("XADD", health, "*", "message", ProcessExited(process=program).model_dump_json())
            )
        await transact(self._redis, *commands)

    def _log_dropped(self) -> None:
        dropped = self._buffer.dropped
        if dropped > self._reported_dropped:
            count = dropped - self._reported_dropped
            _log.warning(
                "process_events.dropped", count=count, reason="Redis was unavailable for too long"
            )
            self._reported_dropped = dropped


def process_of(event: Event) -> SupervisedProcess | None:
    """Return the process that a state event describes; log an unknown event and return None."""
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
        _log.warning(
            "process_event.not_recognized", event_name=event.name, facts=facts, error=str(error)
        )
        return None


def _supervisord() -> str:
    """Return an id of the supervisord that started this process, unique on this host."""
    parent = os.getppid()
    return f"{parent} {psutil.Process(parent).create_time():.2f}"
