"""Duration of a takeover when one of two hosts fails during exposures; none may be lost.

    python -m benchmarks.takeover --rounds 4

Two supervisords with three workers each share private brokers. The active host loses its power (all
its processes are killed at once) or is stopped cleanly, alternately twice each. Then it returns as
the standby, and the other host fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import redis
from lsst.ts import salobj

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.keys import Worker
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.delivery_check import check_delivery
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.sal_observer import SUMMARY_STATE

HOSTS = ("north", "south")
CADENCE_S = 1.0
"""From one exposure to the next."""
IMAGES_BEFORE = 3
"""Exposures before the host fails, so that it fails in a running night."""
IMAGES_AFTER = 3
"""Exposures after the other host has taken over."""
LIMIT_S = 180.0
"""Limit of each wait."""


@dataclass(frozen=True)
class Round:
    """One change of hosts; its times count from the failure."""

    how: str
    to: str
    leases_s: float
    """Until the other host had all three leases."""
    csc_s: float
    """Until the CSC on the other host published ENABLED."""
    images: int
    """Exposures in the round, before, during and after the failure."""
    lost: int
    slowest_image_s: float
    """From endReadout to the last event of the slowest exposure."""


class Takeover:
    """Two hosts of one archiver, and a camera with a fixed cadence."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        settings = Settings()
        self._expected = settings.files_per_image
        self._redis = redis.Redis(
            host=LOOPBACK, port=rig.redis.port, db=settings.archiver_redis_db, decode_responses=True
        )

    async def begin(self) -> None:
        """Start both hosts, the first one as the active one, the peers and the session."""
        for name in HOSTS:
            self._rig.add_host(name)
        await self._rig.start_brokers()
        self._rig.hosts[HOSTS[0]].supervisor.start()
        await self._rig.observer.wait_for_first_state()
        self._rig.hosts[HOSTS[1]].supervisor.start()
        await self._stands_by(HOSTS[1])
        await self._rig.start_peers()
        await self._rig.observer.go_to(salobj.State.ENABLED)

    async def change(self, how: str, at: str, to: str) -> Round:
        """Make the active host fail during exposures and wait until the other one takes over."""
        host, images = self._rig.hosts[at], list[str]()
        shooting = asyncio.create_task(self._shoot(images))
        await polling.wait_for(lambda: len(images) >= IMAGES_BEFORE, LIMIT_S, lambda: "exposures")
        await asyncio.sleep(random.random() * CADENCE_S)  # noqa: S311  any moment of an exposure
        position, began = self._rig.observer.position, time.monotonic()
        end = host.power_off if how == "power" else host.supervisor.stop
        ending = asyncio.create_task(asyncio.to_thread(end))
        await polling.wait_for(
            lambda: self._holders() == {to}, LIMIT_S, lambda: f"takeover by {to}"
        )
        leases_s = time.monotonic() - began
        await polling.wait_for(
            lambda: self._is_back(position), LIMIT_S, lambda: "the return of the CSC"
        )
        csc_s = time.monotonic() - began
        await ending
        seen = len(images)
        await polling.wait_for(
            lambda: len(images) >= seen + IMAGES_AFTER, LIMIT_S, lambda: "exposures"
        )
        shooting.cancel()
        await asyncio.wait({shooting})
        lost = await self._wait_for(images)
        checks = [check_delivery(self._rig.observer, self._rig.folder, image) for image in images]
        slowest = max(check.seconds or LIMIT_S for check in checks)
        host.supervisor.start()
        await self._stands_by(at)
        return Round(how, to, leases_s, csc_s, len(images), lost, slowest)

    def _is_back(self, position: int) -> bool:
        """Return whether the newest state that the CSC published since a position is ENABLED."""
        states = [
            event.fields["summaryState"]
            for event in self._rig.observer.of(SUMMARY_STATE, since=position)
        ]
        return bool(states) and states[-1] == salobj.State.ENABLED

    async def _shoot(self, images: list[str]) -> None:
        while True:
            images.append(self._rig.take())
            await asyncio.sleep(CADENCE_S)

    async def _wait_for(self, images: list[str]) -> int:
        """Wait for every exposure and return how many did not become complete."""

        def missing() -> int:
            checks = (
                check_delivery(self._rig.observer, self._rig.folder, image) for image in images
            )
            return sum(not check.is_complete(self._expected) for check in checks)

        with contextlib.suppress(AssertionError):  # an exposure is lost; counted below
            await polling.wait_for(lambda: missing() == 0, LIMIT_S, lambda: "every exposure")
        return missing()

    async def _stands_by(self, name: str) -> None:
        await polling.wait_for(
            lambda: {self._host_of(worker.standby) for worker in Worker} == {name},
            LIMIT_S,
            lambda: f"standby on {name}",
        )

    def _holders(self) -> set[str]:
        return {self._host_of(worker.lease) for worker in Worker}

    def _host_of(self, key: str) -> str:
        owner = self._redis.get(key)
        return str(json.loads(str(owner))["host"]) if owner else ""


async def measure(rounds: int, folder: Path | None) -> list[Round]:
    """Change hosts repeatedly and print each round."""
    done = list[Round]()
    rig = Rig({"STANDBY": True}, parent=folder)
    try:
        async with rig:
            takeover = Takeover(rig)
            await takeover.begin()
            for number in range(rounds):
                at, to = HOSTS[number % 2], HOSTS[(number + 1) % 2]
                done.append(await takeover.change("stop" if number % 4 > 1 else "power", at, to))
                one = done[-1]
                print(
                    f"{number + 1} of {rounds}: {one.how} at {at}: "
                    f"leases after {one.leases_s:.1f} s, CSC after {one.csc_s:.1f} s; "
                    f"{one.images} exposures, {one.lost} lost, slowest {one.slowest_image_s:.1f} s",
                    flush=True,
                )
    finally:
        await rig.close()
    return done


def report(rounds: list[Round]) -> None:
    """Print the median and the longest time of each kind of failure."""
    for how in sorted({one.how for one in rounds}):
        of_it = [one for one in rounds if one.how == how]
        print(
            f"{how}: {len(of_it)} rounds, "
            f"median {statistics.median(one.csc_s for one in of_it):.1f} s until the CSC is back, "
            f"longest {max(one.csc_s for one in of_it):.1f} s; "
            f"{sum(one.images for one in of_it)} exposures, "
            f"{sum(one.lost for one in of_it)} lost"
        )


def main() -> int:
    """Run the measurement and return the exit code: 1 if an exposure was lost."""
    parser = argparse.ArgumentParser("benchmarks.takeover", description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=4,
        help="changes of hosts: two by a power loss, two by a stop, and so on",
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    rounds = asyncio.run(measure(options.rounds, None))
    report(rounds)
    if options.json:
        options.json.write_text(
            json.dumps([asdict(one) for one in rounds], indent=1) + "\n", encoding="utf-8"
        )
    return int(any(one.lost for one in rounds))


if __name__ == "__main__":
    sys.exit(main())
