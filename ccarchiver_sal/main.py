"""The program ``run_ccarchiver_sal``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

import ccarchiver_core.log.plain_structlog  # noqa: F401  before all that imports structlog

# isort: split

import structlog

from ccarchiver_core import __version__
from ccarchiver_core.base.errors import ConfigError, LeaseHeldError
from ccarchiver_core.base.exit_codes import EXIT_CONFIG
from ccarchiver_core.base.resilient_output import resilient_output
from ccarchiver_core.config import dds_environment
from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.keys import Worker
from ccarchiver_core.log import logs
from ccarchiver_core.redis.retry import retry_until_available
from ccarchiver_core.runtime.worker import WorkerContext, exit_code_of
from ccarchiver_sal import saved_state
from ccarchiver_sal.adapter import DdsError, State
from ccarchiver_sal.csc import CCArchiverCsc

REDIS_AT_START = 5.0
"""Seconds to wait for Redis at the start.

After that the CSC appears in STANDBY without Redis, because an operator must see it.
"""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells: 128 plus the number of SIGINT."""

EXIT_TERMINATED = 143
"""Exit code after SIGTERM, as in shells: 128 plus the number of SIGTERM.

supervisord does not restart the CSC after exit code 0. So a process that something other than
supervisord terminates, for example the system because it lacks memory, must not exit with 0.
"""

_log = structlog.get_logger(__name__)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line: salobj's usual options and the archiver's own."""
    parser = argparse.ArgumentParser(
        "run_ccarchiver_sal", description="CCArchiver's CSC: SAL commands and events"
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--loglevel", type=int, help="log level: error=40, warning=30, info=20, debug=10"
    )
    parser.add_argument(
        "--no-resume",
        action="store_true",
        help="start in STANDBY, whatever state the last run stopped in",
    )
    return parser.parse_args(arguments)


def require_bus() -> None:
    """Check the environment variables of DDS.

    Raises
    ------
    ConfigError
        If the variable of the partition is missing, or another one has an impossible value.
    """
    wrong = "; ".join(dds_environment.problems(os.environ))
    if wrong:
        msg = f"{wrong}; set it to what every SAL component of this site has"
        raise ConfigError(msg)
    domain = dds_environment.DOMAIN
    if not os.environ.get(domain, "").strip():
        _log.warning("dds.domain", reason=f"{domain} is not set", effect="domain 0")


async def run(arguments: argparse.Namespace) -> int:
    """Run the CSC until exitControl, SIGTERM or SIGINT; return the exit code of the process.

    After exitControl it is 0, also if SIGTERM arrives while the CSC ends.
    """
    require_bus()
    settings = load_settings()
    logs.configure(Worker.SAL, settings.log_dir)
    _log.info("worker.starting", version=__version__, redis=settings.redis_address)
    context = WorkerContext(Worker.SAL, settings)
    try:
        if settings.standby and await _was_ended_while_standing_by(context):
            _log.warning(
                "csc.ended",
                reason="exitControl on the other host",
                remedy="supervisorctl start ccarchiver:sal",
            )
            return 0
        saved = await _prepare(context, may_resume=not arguments.no_resume)
        try:
            csc = CCArchiverCsc(context, saved)
        except DdsError as error:
            msg = (
                f"no SAL bus: {error}; is the network interface up "
                "(LSST_DDS_INTERFACE, CYCLONEDDS_URI)?"
            )
            raise ConfigError(msg) from error
        if arguments.loglevel is not None:
            csc.log.setLevel(arguments.loglevel)
        loop = asyncio.get_running_loop()
        stopping: list[asyncio.Task[None]] = []
        signals: list[signal.Signals] = []

        def stop(number: signal.Signals) -> None:
            signals.append(number)
            stopping.append(asyncio.create_task(csc.close()))

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        await csc.done_task
        _log.info("worker.stopping")
        if csc.failure is not None:
            return exit_code_of(csc.failure)
        if signal.SIGTERM in signals and csc.summary_state is not State.OFFLINE:
            return EXIT_TERMINATED
    except (LeaseHeldError, ConfigError) as error:
        return exit_code_of(error)
    finally:
        await context.close()
    return 0


async def _was_ended_while_standing_by(context: WorkerContext) -> bool:
    """Acquire the lease, waiting as the standby; return whether exitControl has ended the CSC.

    An operator who sends exitControl wants no CSC on either host.
    """
    return await context.lease.acquire() and await retry_until_available(
        lambda: saved_state.is_ended(context.redis)
    )


async def _prepare(context: WorkerContext, *, may_resume: bool) -> saved_state.SavedState | None:
    """Acquire the lease and return the state to resume; None if Redis is unavailable."""
    settings = context.settings
    try:
        # Two CSCs with one name must not be on the bus. On a site with a standby, no CSC therefore
        # appears there without Redis.
        async with asyncio.timeout(None if settings.standby else REDIS_AT_START):
            await context.lease.acquire()
            if not may_resume:
                return None
            return await retry_until_available(
                lambda: saved_state.read_saved(context.redis, settings.resume_window)
            )
    except TimeoutError:
        _log.warning(
            "redis.unavailable",
            redis=context.settings.redis_address,
            effect="starting in STANDBY without it",
        )
        return None


@resilient_output()
def main() -> None:
    """Run the CSC."""
    arguments = parse()
    try:
        code = asyncio.run(run(arguments))
    except ConfigError as error:
        sys.stderr.write(f"run_ccarchiver_sal: {error}\n")
        code = EXIT_CONFIG
    except KeyboardInterrupt:  # before the CSC handled signals: there is nothing to clean up yet
        code = EXIT_INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
