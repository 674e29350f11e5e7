"""What health does with a process exit that the event listener sends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from ccarchiver_core.domain.supervised_process import ProcessState, SupervisedProcess
from ccarchiver_core.domain.worker_messages import ProcessExited
from ccarchiver_core.keys import Worker
from tests.core.redis_helpers import counter, enqueue, eventually, messages_in
from tests.health.harness import running_health

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis


async def test_process_exits_are_logged_and_unexpected_ones_are_counted(
    fresh_redis: PrivateRedis,
) -> None:
    ends = [
        SupervisedProcess(
            name="ccarchiver:sal",
            state=ProcessState.EXITED,
            changed_at=time.time(),
            expected=True,
            pid=7,
        ),
        SupervisedProcess(
            name="ccarchiver:bridge", state=ProcessState.EXITED, changed_at=time.time(), pid=8
        ),
        SupervisedProcess(
            name="ccarchiver:bridge",
            state=ProcessState.BACKOFF,
            changed_at=time.time(),
            tries=2,
            pid=9,
        ),
        SupervisedProcess(
            name="ccarchiver:bridge", state=ProcessState.FATAL, changed_at=time.time()
        ),
        SupervisedProcess(
            name="other:one", state=ProcessState.EXITED, changed_at=time.time(), pid=10
        ),
    ]
    with capture_logs() as logs:
        async with running_health(fresh_redis) as harness:
            await enqueue(
                harness.redis, Worker.HEALTH, *(ProcessExited(process=program) for program in ends)
            )

            async def read() -> bool:
                return await messages_in(harness.redis, Worker.HEALTH) == []

            await eventually(read, "an empty mailbox of health")
            crashes = {
                worker: await counter(harness.redis, f"worker_crashes:{worker}")
                for worker in Worker
            }

    assert crashes == {Worker.SAL: 0, Worker.BRIDGE: 2, Worker.HEALTH: 0}, (
        "FATAL is not another exit"
    )
    lines = [
        (line["program"], line["state"], line["log_level"])
        for line in logs
        if line["event"] == "process.exited"
    ]
    assert lines == [
        ("ccarchiver:sal", "EXITED", "info"),
        ("ccarchiver:bridge", "EXITED", "warning"),
        ("ccarchiver:bridge", "BACKOFF", "warning"),
        ("ccarchiver:bridge", "FATAL", "warning"),
        ("other:one", "EXITED", "warning"),
    ]
