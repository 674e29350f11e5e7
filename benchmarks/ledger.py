"""Size of a ledger with many exposures, and duration of the commands that read it."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import yaml

from ccarchiver_cli import image
from ccarchiver_core.config.settings import Settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.status.images import bounds_of, observing_day
from ccarchiver_core.status.night import read_night
from ccarchiver_core.status.overview import collect
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.support.ledger_builder import LedgerBuilder, Progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

EXPOSURES = 10_000
"""A month of nights."""
CADENCE_S = 8.0
"""Seconds between two exposures: all are in one observing day, the worst case of `night`."""
BATCH = 200
"""Exposures in one round trip."""
ROUNDS = 5
"""Repetitions of each measurement."""

LIMITS_S = {"image, by name": 0.2, "image, by number": 0.2, "night": 2.0}
"""Longest median time in seconds that is acceptable to an operator."""


async def main(count: int) -> int:
    """Fill a private Redis, measure, print, and return the exit code: 1 if a limit is exceeded."""
    with tempfile.TemporaryDirectory() as folder, PrivateRedis(Path(folder) / "redis") as server:
        site = {"REDIS_HOST": LOOPBACK, "REDIS_PORT": server.port}
        (Path(folder) / "ccarchiver_config.yaml").write_text(
            yaml.safe_dump({"ROOT": site}), encoding="utf-8"
        )
        settings = Settings.model_validate(site)
        redis = make_client(settings)
        try:
            return await _measure(redis, settings, count, Path(folder))
        finally:
            await redis.aclose()


async def _measure(redis: Redis, settings: Settings, count: int, config: Path) -> int:
    day = observing_day(time.time())
    names = await _fill(redis, settings, count, bounds_of(day)[0])
    newest = names[-1]
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "image, by name": lambda: image.read_details(redis, settings, newest),
        "image, by number": lambda: image.read_details(
            redis, settings, newest.rpartition("_")[2].lstrip("0")
        ),
        "night": lambda: read_night(redis, day, settings.files_per_image),
        "status": lambda: collect(redis, settings),
    }
    too_slow = 0
    for name, ask in questions.items():
        took = [await _time(ask) for _ in range(ROUNDS)]
        limit = LIMITS_S.get(name)
        _print(f"answer: {name}", took, "" if limit is None else f"  limit {limit:g} s")
        too_slow += limit is not None and statistics.median(took) > limit
    environment = {**os.environ, "IIP_CONFIG_DIR": str(config)}
    commands = (
        ["--version"],
        ["image", newest],
        ["image", "--json", newest],
        ["night"],
        ["images"],
        ["status"],
    )
    for words in commands:
        took = [await asyncio.to_thread(_run, words, environment) for _ in range(ROUNDS)]
        _print(f"whole command: ccarchiver {' '.join(words)}", took)
    return int(too_slow > 0)


async def _fill(redis: Redis, settings: Settings, count: int, begin: float) -> list[str]:
    empty = await _memory(redis)
    ledger_builder, began = LedgerBuilder(redis, settings), time.monotonic()
    names = [f"CC_O_20261122_{number:06d}" for number in range(1, count + 1)]
    for first in range(0, count, BATCH):
        await ledger_builder.write(
            *(
                transaction
                for at, name in enumerate(names[first : first + BATCH], start=first)
                for transaction in ledger_builder.transactions(
                    name, at + 1, begin + at * CADENCE_S, Progress.COMPLETE
                )
            )
        )
    used = await _memory(redis) - empty
    print(
        f"{count} exposures of {settings.files_per_image} CCDs written in "
        f"{time.monotonic() - began:.1f} s"
    )
    print(f"Redis memory: {used / 1e6:.1f} MB, {used / count:.0f} bytes an exposure")
    encoding = await redis.object("ENCODING", f"ccarchiver:image:{names[0]}")
    record = await redis.hgetall(f"ccarchiver:image:{names[0]}")
    content = sum(
        len(name) + len(value) for name, value in cast("dict[bytes, bytes]", record).items()
    )
    print(f"one record: {len(record)} fields, {content} bytes of content, kept as {encoding!r}")
    return names


async def _memory(redis: Redis) -> int:
    info = await redis.info("memory")
    return int(info["used_memory_dataset"])


async def _time(ask: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await ask()
    return time.perf_counter() - began


def _run(words: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    argv = [str(Path(sys.executable).with_name("ccarchiver")), *words]
    done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    took = time.perf_counter() - began
    if done.stderr:
        sys.stderr.write(done.stderr.decode())
    return took


def _print(name: str, took: list[float], more: str = "") -> None:
    print(f"{name:<60} median {statistics.median(took):6.3f} s, worst {max(took):6.3f} s{more}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exposures", type=int, default=EXPOSURES)
    sys.exit(asyncio.run(main(parser.parse_args().exposures)))
