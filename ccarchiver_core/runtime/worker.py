"""The common parts of the workers' processes: resources, signal handling and exit codes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import __version__
from ccarchiver_core.base.errors import (
    CcArchiverError,
    ConfigError,
    FencedError,
    InterfaceChangedError,
    LeaseHeldError,
)
from ccarchiver_core.base.exit_codes import (
    EXIT_CONFIG,
    EXIT_FENCED,
    EXIT_INTERFACE_CHANGED,
    EXIT_LEASE_HELD,
)
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


_log = structlog.get_logger(__name__)


class WorkerContext:
    """The resources of one worker. Its constructor opens no connection.

    Parameters
    ----------
    worker : `Worker`
        The worker.
    settings : `Settings`
        The site's settings.
    """

    def __init__(self, worker: Worker, settings: Settings) -> None:
        self.worker = worker
        self.settings = settings
        self.redis = redis_client.make_client(settings)
        self._blocking_redis = redis_client.make_client(settings, blocking=True)
        self.transactions = TransactionPipeline(self.redis, worker)
        self.lease = Lease(
            self.redis, worker, self.transactions, settings.lease_ttl, stand_by=settings.standby
        )
        self.mailbox = Mailbox(self._blocking_redis, worker, self.transactions, settings)
        self.heartbeat = HeartbeatPublisher(self.redis, worker, self.mailbox)

    async def close(self) -> None:
        """Delete the heartbeat, release the lease and close the connections; safe to repeat."""
        if (
            self.transactions.fencing_token is not None
        ):  # otherwise another instance writes the heartbeat
            await self.heartbeat.stop()
        await self.transactions.close()
        await self.lease.release()
        await self.redis.aclose()
        await self._blocking_redis.aclose()


def run(worker: Worker, description: str, body: Callable[[WorkerContext], Awaitable[None]]) -> int:
    """Run a worker until SIGTERM or SIGINT.

    Parameters
    ----------
    worker : `Worker`
        The worker.
    description : `str`
        Text for ``--help``.
    body : callable
        The worker's own task; it must run until it is cancelled.

    Returns
    -------
    exit_code
        The exit code of the process.
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
    """Log why a worker stops, and return the exit code.

    Parameters
    ----------
    error : `BaseException`
        The error, or a group of errors that has a known one in it.

    Raises
    ------
    BaseException
        The error itself, if it is not one of this project's errors with an exit code.
    """
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
        case InterfaceChangedError():
            _log.critical("worker.interface_changed", error=str(error))
            return EXIT_INTERFACE_CHANGED
        case ConfigError():
            _log.critical("worker.configuration", error=str(error))
            return EXIT_CONFIG
        case _:
            raise error


async def _supervise(
    context: WorkerContext, body: Callable[[WorkerContext], Awaitable[None]]
) -> None:
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
    msg = f"{context.worker}: the worker's own task ended without being cancelled"
    raise RuntimeError(msg)
