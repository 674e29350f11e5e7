"""Time until a failed worker or Forwarder is detected, and until another one does its work.

    python -m benchmarks.detection --rounds 2

Each one is killed (its process ends) and then hung (its process is stopped, its connections stay
open). Each time depends on an interval in the site file, so the ratio to that interval is printed
too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import redis
from lsst.ts import salobj

from ccarchiver_core import keys
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.keys import Worker
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from ccarchiver_sim.testbed.delivery_check import check_delivery
from ccarchiver_sim.testbed.peer_process import Peer
from ccarchiver_sim.testbed.rig import FORWARDER, Rig
from ccarchiver_sim.testbed.wiretap import WireTap

if TYPE_CHECKING:
    from collections.abc import Callable

WATCHDOG_TIMEOUT_S = 10.0
"""Shorter than at a site, so that a round takes two minutes. The ratio is the result."""
POLL_INTERVAL_S = 0.01
"""Interval between two checks of a condition; it is much shorter than the measured times."""
LIMIT_S = 180.0
"""Limit of each wait."""
XFER_PARAMS = "CC_FWDR_XFER_PARAMS"
"""The first message about an image to a Forwarder."""


@dataclass(frozen=True)
class Failure:
    """One failure; its times count from the moment at which it could be detected."""

    who: str
    how: str
    interval: str
    """The key of the site file that sets the time."""
    interval_s: float
    shown_s: float
    """Until it was detected. A worker: its end is in supervisord's events, or it is in the count of
    watchdog kills. A Forwarder: the first message of its image is sent to the next Forwarder."""
    recovered_s: float
    """Until another worker has the lease and a heartbeat, or another Forwarder has the image."""
    key_s: float = 0.0
    """How long the presence key of a hung Forwarder still existed."""

    @property
    def ratio(self) -> float:
        """Time until detection, as a multiple of the interval."""
        return self.shown_s / self.interval_s


class Detection:
    """One archiver whose parts fail one after the other.

    Parameters
    ----------
    rig
        The archiver; `begin` starts it.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._settings: Settings = load_settings(rig.folder.site_file)
        self._redis = redis.Redis(
            host=LOOPBACK,
            port=rig.redis.port,
            db=self._settings.archiver_redis_db,
            decode_responses=True,
        )
        self._forwarders = 0

    async def begin(self) -> None:
        """Start the brokers, the workers, the peers and the session."""
        await self._rig.start_brokers()
        await self._rig.start_workers()
        await self._rig.start_peers()
        await self._rig.observer.go_to(salobj.State.ENABLED)
        await polling.wait_for(
            lambda: all(self._holder(worker) for worker in Worker), LIMIT_S, "all workers active"
        )

    # ---- workers

    async def worker_killed(self, worker: Worker) -> Failure:
        """Kill a worker and wait for supervisord's event and for the successor's lease."""
        pid = self._holder(worker)
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        shown, recovered = await asyncio.gather(
            self._moment(
                lambda: self._has_ended(worker, pid), f"supervisord's event of the end of {worker}"
            ),
            self._moment(lambda: self._holder(worker) not in (0, pid), f"another active {worker}"),
        )
        ttl = self._settings.lease_ttl
        return Failure(worker, "killed", "LEASE_TTL", ttl, shown - began, recovered - began)

    async def worker_hung(self, worker: Worker) -> Failure:
        """Stop a worker's process and wait for the watchdog's count and the successor's lease."""
        pid, before = self._holder(worker), self._hung(worker)
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        shown, recovered = await asyncio.gather(
            self._moment(lambda: self._hung(worker) > before, f"the count of the hung {worker}"),
            self._moment(lambda: self._holder(worker) not in (0, pid), f"another active {worker}"),
        )
        after = self._settings.watchdog_timeout
        return Failure(worker, "hung", "WATCHDOG_TIMEOUT", after, shown - began, recovered - began)

    def _holder(self, worker: Worker) -> int:
        """Return the pid of the worker that has the lease and a heartbeat; 0 if there is none."""
        lease, alive = self._redis.mget(worker.lease, worker.alive)
        pids = {json.loads(text)["pid"] if text else 0 for text in (lease, alive)}
        return int(pids.pop()) if len(pids) == 1 else 0

    def _has_ended(self, worker: Worker, pid: int) -> bool:
        """Return whether supervisord's newest event of a worker follows the end of its process."""
        programs = cast(
            "dict[str, str]", self._redis.hgetall(keys.SUPERVISED_PROCESSES)
        )  # it decodes responses
        for field, record in programs.items():
            if field.endswith(f":{worker}"):
                program = json.loads(record)
                return bool(program["state"] != "RUNNING" or program["pid"] != pid)
        return False

    def _hung(self, worker: Worker) -> int:
        return int(self._redis.hget(keys.COUNTERS, f"watchdog_kills:{worker}") or 0)

    # ---- Forwarders

    async def forwarder_fails(self, how: str) -> tuple[Failure, bool]:
        """Make a Forwarder fail during an image.

        Returns
        -------
        failure
            The times.
        is_complete
            Whether the image became complete.
        """
        with WireTap(self._rig.rabbit, self._rig.vhost) as tap:
            first, second, key = await self._cast(tap)
            image = self._rig.begin_exposure()
            await polling.wait_for(
                lambda: self._was_sent(tap, first, image), LIMIT_S, f"{image} at {first.name}"
            )
            failed = began = time.monotonic()
            if how == "killed":
                first.kill()
            else:
                first.freeze()
                began = await self._moment(lambda: not self._redis.exists(key), f"the end of {key}")
            shown = await self._moment(
                lambda: self._was_sent(tap, second, image), f"{image} at {second.name}"
            )
            grace = self._settings.presence_grace
            failure = Failure(
                "forwarder",
                how,
                "PRESENCE_GRACE",
                grace,
                shown - began,
                shown - began,
                began - failed,
            )
            self._rig.end_exposure(image)
            is_complete = await self._completed(image)
            if how != "killed":
                first.kill()
        return failure, is_complete

    async def _cast(self, tap: WireTap) -> tuple[Peer, Peer, str]:
        """Start two Forwarders and the session.

        Returns
        -------
        paired, other
            The two Forwarders.
        key
            Presence key of the paired one.
        """
        await self._rig.observer.go_to(salobj.State.STANDBY)
        await self._rig.end_peers(
            name for name in self._rig.peers if name.startswith((FORWARDER, "detection"))
        )
        self._redis.delete(keys.FORWARDER_LIST)
        peers = list[Peer]()
        for _ in range(2):
            self._forwarders += 1
            name = f"detection{self._forwarders}"
            tap.declare(_queue(name))
            tap.listen_to(_queue(name))
            peer = self._rig.start_forwarder(name, "--presence-key", f"{name}_association")
            await asyncio.gather(peer.wait_ready(), peer.wait_printed("serving"))
            peers.append(peer)
        await self._rig.observer.go_to(salobj.State.ENABLED)
        paired = str(self._redis.get(self._settings.association_key))
        first, second = sorted(peers, key=lambda peer: peer.name != paired)
        if first.name != paired:
            raise RuntimeError(f"{paired} is paired; it is neither {first.name} nor {second.name}")
        return first, second, f"{first.name}_association"

    @staticmethod
    def _was_sent(tap: WireTap, forwarder: Peer, image: str) -> bool:
        return bool(tap.published(XFER_PARAMS, _queue(forwarder.name), IMAGE_ID=image))

    async def _completed(self, image: str) -> bool:
        expected = self._settings.files_per_image

        def is_complete() -> bool:
            return check_delivery(self._rig.observer, self._rig.folder, image).is_complete(expected)

        try:
            await polling.wait_for(is_complete, LIMIT_S, f"{image} complete")
        except polling.WaitError:
            return False
        return True

    @staticmethod
    async def _moment(condition: Callable[[], bool], what: str) -> float:
        """Wait until a condition holds and return the time (monotonic clock)."""
        deadline = Deadline(LIMIT_S)
        while not condition():
            if deadline.has_passed():
                raise polling.WaitError(f"waited {LIMIT_S:g} s in vain for {what}")
            await asyncio.sleep(POLL_INTERVAL_S)
        return time.monotonic()


def _queue(forwarder: str) -> str:
    return f"{forwarder}_consume"


async def measure(rounds: int, watchdog_timeout: float) -> tuple[list[Failure], int]:
    """Make each worker and the Forwarder fail in each way, and print each failure.

    Returns
    -------
    failures
        All failures.
    lost
        How many images were lost.
    """
    failures, lost = list[Failure](), 0

    def record(failure: Failure) -> None:
        failures.append(failure)
        print(show(failure), flush=True)

    rig = Rig({"WATCHDOG_TIMEOUT": watchdog_timeout})
    try:
        async with rig:
            detection = Detection(rig)
            await detection.begin()
            for _ in range(rounds):
                for worker in Worker:
                    record(await detection.worker_killed(worker))
                    record(await detection.worker_hung(worker))
                for how in ("killed", "hung"):
                    failure, is_complete = await detection.forwarder_fails(how)
                    record(failure)
                    lost += not is_complete
    finally:
        await rig.close()
    return failures, lost


def show(one: Failure) -> str:
    """Return one line with the times of a failure."""
    since = f", its key expired after {one.key_s:.1f} s" if one.key_s else ""
    return (
        f"{one.who} {one.how}{since}: detected after {one.shown_s:.2f} s, "
        f"{one.ratio:.2f} x {one.interval} ({one.interval_s:g} s); "
        f"recovered after {one.recovered_s:.2f} s"
    )


def report(failures: list[Failure]) -> None:
    """Print the median and the longest time of each kind of failure."""
    for who, how, interval in sorted({(one.who, one.how, one.interval) for one in failures}):
        of_it = [one for one in failures if (one.who, one.how) == (who, how)]
        print(
            f"{who} {how}, {len(of_it)} times: detected after "
            f"{statistics.median(one.ratio for one in of_it):.2f} x {interval} (median), "
            f"{max(one.ratio for one in of_it):.2f} x (longest); recovered after "
            f"{statistics.median(one.recovered_s for one in of_it):.2f} s (median), "
            f"{max(one.recovered_s for one in of_it):.2f} s (longest)"
        )


def main() -> int:
    """Run the measurement and return the exit code: 1 if an image was lost."""
    parser = argparse.ArgumentParser("benchmarks.detection", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="failures of each kind")
    parser.add_argument(
        "--watchdog-timeout",
        type=float,
        default=WATCHDOG_TIMEOUT_S,
        help="WATCHDOG_TIMEOUT of the site, in seconds",
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    failures, lost = asyncio.run(measure(options.rounds, options.watchdog_timeout))
    report(failures)
    if options.json:
        figures = [asdict(one) | {"ratio": one.ratio} for one in failures]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
