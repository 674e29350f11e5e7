"""Ctrl-C in ``ccarchiver catchup NAME``: the wait ends, the request stays, and the text says so."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import MissedBy, MissedImage
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_sim import pace
from tests.cli.test_catchup import miss
from tests.cli.test_watch import LIMIT_S, PROGRAM, environment

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis
    from tests.cli.cli_runner import CommandRunner

pytestmark = pytest.mark.processes

ENABLED = 2


def interrupt_wait(env: dict[str, str]) -> tuple[int, str]:
    """Request an image, press Ctrl-C during the wait, and return the exit code and the errors."""
    with subprocess.Popen(
        [PROGRAM, "catchup", "CC_1"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting: CC_1\n"
            process.send_signal(signal.SIGINT)
            _, error = pace.communicate(process, LIMIT_S)
        finally:
            process.kill()
    return process.returncode, " ".join(error.split())


async def test_interrupted_wait_says_that_the_request_stays(
    cli: CommandRunner, fresh_redis: PrivateRedis
) -> None:
    await cli.pair()
    await cli.write_heartbeats(keys.Worker.HEALTH)
    await cli.csc(ENABLED)
    await miss(cli, MissedImage("CC_1", time.time() - 60, MissedBy.SCAN))

    code, error = await asyncio.to_thread(interrupt_wait, environment(cli.folder, fresh_redis.port))

    assert code == 130
    assert "the wait has ended, and the request stays" in error
    assert "ccarchiver catchup" in error
    assert await ImageLedger(cli.redis).requested_images() == ["CC_1"]
