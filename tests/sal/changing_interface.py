"""A program that changes the address of loopback in its network namespace while a CSC runs there.

It prints what the CSC's heartbeat reports, its exit code, and whether another one starts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_sim.pace import within
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.child_process import base_environment
from tests.core.redis_helpers import LIMIT_S, eventually, looking_into, site

SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1
NO_ADDRESS, USUAL, OTHER = "0.0.0.0", "127.0.0.1", "127.0.0.9"  # noqa: S104  not a bind


def set_address(address: str) -> None:
    """Give loopback an address; `NO_ADDRESS` removes it. Redis stays reachable with the others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH2x4s8x", b"lo", socket.AF_INET, socket.inet_aton(address))
        fcntl.ioctl(control, SIOCSIFADDR, request)
        if address != NO_ADDRESS:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


async def main(folder: Path) -> None:
    set_address(USUAL)
    with PrivateRedis(folder / "redis") as server:
        (folder / "ccarchiver_config.yaml").write_text(
            f"ROOT:\n  REDIS_HOST: 127.0.0.1\n  REDIS_PORT: {server.port}\n", encoding="utf-8"
        )
        env = base_environment() | {
            "IIP_CONFIG_DIR": str(folder),
            "IIP_LOG_DIR": str(folder),
            "LSST_DDS_PARTITION_PREFIX": "alone",
            "LSST_DDS_DOMAIN_ID": "0",
            "LSST_SITE": "test",
            "PYTHONPATH": os.environ["PYTHONPATH"],
        }

        async def start() -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ccarchiver_sal.main", env=env
            )

        async with looking_into(site(server.port)) as redis:
            # Redis counts 127.0.0.9 as another host.
            await redis.config_set("protected-mode", "no")

            async def degraded_reason() -> str | None:
                heartbeat = await read_heartbeat(redis, Worker.SAL)
                return None if heartbeat is None else heartbeat.degraded_reason

            async def runs() -> bool:
                return await degraded_reason() == ""

            csc = await start()
            try:
                await eventually(runs, "the CSC")
                # The address is replaced: a pause without one would cut off Redis too.
                set_address(OTHER)
                print(await eventually(degraded_reason, "the alarm"))  # noqa: T201  the test reads it
                async with within(LIMIT_S):
                    print(await csc.wait())  # noqa: T201  likewise
                csc = await start()
                await eventually(runs, "the next CSC")
                print("started again")  # noqa: T201  likewise
            finally:
                if csc.returncode is None:
                    csc.kill()
                    await csc.wait()


asyncio.run(main(Path(sys.argv[1])))
