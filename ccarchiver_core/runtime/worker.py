"""What every worker's process is made of: settings, Redis, lease, mailbox, heartbeat, signals, exit codes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import __version__
from ccarchiver_core.base.errors import CcArchiverError, ConfigError, FencedError, LeaseHeldError
from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.log import logs
from ccarchiver_core.messaging.mailbox import Mailbox
from ccarchiver_core.redis import client as redis_client
from ccarchiver_core.runtime.heartbeat import HeartbeatPublisher
from ccarchiver_core.runtime.lease import Lease
from ccarchiver_core.store.transaction_pipeline import TransactionPipeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ccarchiver_core.keys import Worker

EXIT_CONFIG = 78
"""The configuration is wrong (EX_CONFIG of sysexits.h)."""

EXIT_LEASE_HELD = 75
"""Another instance runs (EX_TEMPFAIL of sysexits.h: supervisord tries again)."""

EXIT_FENCED = 70
"""Another instance took over while this one was away."""

_log = structlog.get_logger(__name__)


class WorkerContext:
    """The parts of one worker, made but not yet connected.

    Parameters
    ----------
    worker : `Worker`
        Which of the three.
    settings : `Settings`
        The site's settings.
    """

    def __init__(self, worker: Worker, settings: Settings) -> None:
        self.worker = worker
        self.settings = settings
        self.redis = redis_client.make_client(settings)
        self._blocking_redis = redis_client.make_client(settings, blocking=True)
        self.transactions = TransactionPipeline(self.redis, worker)
        self.lease = Lease(self.redis, worker, self.transactions, settings.lease_ttl, stand_by=settings.standby)
        self.mailbox = Mailbox(self._blocking_redis, worker, self.transactions, settings)
        self.heartbeat = HeartbeatPublisher(self.redis, worker, self.mailbox)

    async def close(self) -> None:
        """Show no life any more, give the lease back and close the connections; safe to repeat."""
        if self.transactions.epoch is not None:  # otherwise what is there is another instance's
            await self.heartbeat.stop()
        await self.transactions.close()
        await self.lease.release()
        await self.redis.aclose()
        await self._blocking_redis.aclose()


def run(worker: Worker, description: str, body: Callable[[WorkerContext], Awaitable[None]]) -> int:
    """Run a worker's program until SIGTERM or SIGINT; the value is the process' exit code.

    Parameters
    ----------
    worker : `Worker`
        Which of the three.
    description : `str`
        For ``--help``.
    body : callable
        The worker's own work: runs until it is cancelled.
    """
    name = f"run_ccarchiver_{worker}"
    parser = argparse.ArgumentParser(name, description=description)
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args()
    try:
        settings = load_settings()
        logs.configure(worker, settings.log_dir)
        asyncio.run(_supervise(WorkerContext(worker, settings), body))
    except ConfigError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EXIT_CONFIG
    except BaseExceptionGroup as group:
        return exit_code_of(group)
    except CcArchiverError as error:
        return exit_code_of(error)
    return 0


def exit_code_of(error: BaseException) -> int:
    """Log why a worker stops and give the exit code; anything not foreseen is raised again."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            with contextlib.suppress(BaseException):
                return exit_code_of(part)
        raise error
    match error:
        case LeaseHeldError():
            _log.critical("worker.already_running", error=str(error))
            return EXIT_LEASE_HELD
        case FencedError():
            _log.critical("worker.fenced", error=str(error))
            return EXIT_FENCED
        case ConfigError():
            _log.critical("worker.configuration", error=str(error))
            return EXIT_CONFIG
        case _:
            raise error


async def _supervise(context: WorkerContext, body: Callable[[WorkerContext], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.create_task(_work(context, body))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            _log.info("worker.stopping")
        await cancel_and_wait(work)
    finally:
        stopped.cancel()
        await context.close()


async def _work(context: WorkerContext, body: Callable[[WorkerContext], Awaitable[None]]) -> None:
    _log.info("worker.starting", version=__version__, redis=context.settings.redis_address)
    await context.lease.acquire()
    async with asyncio.TaskGroup() as group:
        group.create_task(context.lease.renew_forever())
        group.create_task(context.heartbeat.publish())
        group.create_task(_body(context, body))


async def _body(context: WorkerContext, body: Callable[[WorkerContext], Awaitable[None]]) -> None:
    await body(context)
    msg = f"{context.worker}: the worker's own work ended without being asked to"
    raise RuntimeError(msg)
