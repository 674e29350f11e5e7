"""Rounds that measure floor and system alternately, so that a change of speed affects both."""

from collections.abc import Callable
from pathlib import Path

from benchmarks import paths
from benchmarks.baselines import REDIS_HOPS, STRICT, WARM_UP, Floor
from benchmarks.load import site_of
from benchmarks.result import Latency, put_together
from benchmarks.testbed import ONE_BOARD, BenchmarkTestbed, open_testbed

Done = Callable[[], None]


def steps_of(images: int, rounds: int) -> int:
    """Return how often `measure_latency` calls `done`, for a progress bar."""
    return rounds * (WARM_UP + 2 * images) + images_taken(images, rounds)


def images_taken(images: int, rounds: int) -> int:
    """Return how many images `measure_latency` takes in all."""
    return rounds * len(REDIS_HOPS) * (paths.WARM_UP + images)


async def measure_latency(
    images: int,
    rounds: int,
    done: Done,
    *,
    configuration: Path | None = None,
    begin: Callable[[BenchmarkTestbed], None] = lambda _testbed: None,
) -> Latency:
    """Measure floor and system in rounds.

    Parameters
    ----------
    images
        Images counted in each round, after the warm-up; each hop of the floor is measured as often.
    rounds
        Number of rounds. Each measures first the floor, then the system with each durability of
        Redis.
    done
        Called `steps_of` times.
    configuration
        File of supervisord; the repository's own if None.
    begin
        Called once, when the CSC is ENABLED.
    """
    floors: list[dict[str, list[float]]] = []
    found: dict[str, list[dict[str, paths.Round]]] = {fsync: [] for fsync in REDIS_HOPS}
    # One board is enough, and every image is complete before the next begins.
    async with open_testbed(site_of(ONE_BOARD), configuration=configuration) as testbed:
        await testbed.enable()
        begin(testbed)
        floor = Floor(testbed, done)
        for _ in range(rounds):
            floors.append(await floor.measure(images))
            for fsync in REDIS_HOPS:
                await testbed.redis.config_set("appendfsync", fsync)
                named = testbed.new_images(paths.WARM_UP + images)
                await paths.expose(testbed, named, done)
                found[fsync].append(paths.read(testbed, named[paths.WARM_UP :]))
            await testbed.redis.config_set("appendfsync", STRICT)
    return put_together(images, floors, found, paths.PATHS)
