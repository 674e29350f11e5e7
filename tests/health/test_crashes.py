"""What health makes of a program's end that the event listener tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import ProgramEnded
from ccarchiver_core.programs import Program, ProgramState
from tests.core.place import counter, eventually, mail_in, post
from tests.health.desk import health_at_work

if TYPE_CHECKING:
    from ccarchiver_sim.brokers import PrivateRedis


async def test_ends_are_logged_and_those_nobody_asked_for_counted(fresh_redis: PrivateRedis) -> None:
    ends = [
        Program(name="ccarchiver:sal", state=ProgramState.EXITED, at=time.time(), expected=True, pid=7),
        Program(name="ccarchiver:bridge", state=ProgramState.EXITED, at=time.time(), pid=8),
        Program(name="ccarchiver:bridge", state=ProgramState.BACKOFF, at=time.time(), tries=2, pid=9),
        Program(name="ccarchiver:bridge", state=ProgramState.FATAL, at=time.time()),
        Program(name="other:one", state=ProgramState.EXITED, at=time.time(), pid=10),
    ]
    with capture_logs() as logs:
        async with health_at_work(fresh_redis) as desk:
            await post(desk.redis, Worker.HEALTH, *(ProgramEnded(program=program) for program in ends))

            async def read() -> bool:
                return await mail_in(desk.redis, Worker.HEALTH) == []

            await eventually(read, "health to have read it all")
            crashes = {worker: await counter(desk.redis, f"worker_crashes:{worker}") for worker in Worker}

    assert crashes == {Worker.SAL: 0, Worker.BRIDGE: 2, Worker.HEALTH: 0}, "given up is no further end"
    lines = [(line["program"], line["state"], line["log_level"]) for line in logs if line["event"] == "program.ended"]
    assert lines == [
        ("ccarchiver:sal", "EXITED", "info"),
        ("ccarchiver:bridge", "EXITED", "warning"),
        ("ccarchiver:bridge", "BACKOFF", "warning"),
        ("ccarchiver:bridge", "FATAL", "warning"),
        ("other:one", "EXITED", "warning"),
    ]
