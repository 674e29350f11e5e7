"""The CSC's program as standby, when the active instance on the other host ends."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.keys import Worker
from ccarchiver_sal.adapter import State
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.child_process import base_environment
from tests.core.redis_helpers import LIMIT_S, eventually, looking_into, site

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRedis

pytestmark = pytest.mark.processes

ACTIVE = json.dumps({"host": "the-other-host", "pid": 1, "since": "2026-11-22T08:18:37Z"})


async def test_standby_ends_too_when_exit_control_ended_the_active_csc(
    fresh_redis: PrivateRedis, tmp_path: Path
) -> None:
    (tmp_path / "ccarchiver_config.yaml").write_text(
        f"ROOT:\n  REDIS_HOST: 127.0.0.1\n  REDIS_PORT: {fresh_redis.port}\n  STANDBY: true\n",
        encoding="utf-8",
    )
    env = base_environment() | {
        "IIP_CONFIG_DIR": str(tmp_path),
        "IIP_LOG_DIR": str(tmp_path),
        "LSST_DDS_PARTITION_PREFIX": "unused-partition",
        "LSST_DDS_DOMAIN_ID": "0",
        "LSST_SITE": "test",
    }
    async with looking_into(site(fresh_redis.port)) as redis:
        await redis.set(Worker.SAL.lease, ACTIVE)
        await redis.set(Worker.SAL.fencing_token, 1)
        await redis.hset(keys.CSC, "state", int(State.STANDBY))
        standby = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ccarchiver_sal.main", env=env
        )
        try:
            await eventually(lambda: redis.exists(Worker.SAL.standby), "the standby")
            # the state after exitControl
            await redis.hset(keys.CSC, "state", int(State.OFFLINE))
            await redis.delete(Worker.SAL.lease)

            async with within(LIMIT_S):
                assert await standby.wait() == 0, "supervisord would start it again"
            assert not await redis.exists(Worker.SAL.lease), (
                "an instance started by hand would have to wait for the lease"
            )
            assert "csc.ended" in (tmp_path / "ccarchiver_sal.log").read_text(encoding="utf-8")
        finally:
            if standby.returncode is None:
                standby.kill()
                await standby.wait()
