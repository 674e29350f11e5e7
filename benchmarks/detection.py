"""How long until a worker or a Forwarder that failed is noticed, and until another one does its work.

    python -m benchmarks.detection --rounds 2

Each is killed (its process is gone) and hung (its process is stopped, its connections stay open), one after the other.
A figure means little without the interval that the site set for it, so each stands beside that interval.
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
from ccarchiver_sim.testbed.delivery_check import prove
from ccarchiver_sim.testbed.peer_process import Peer
from ccarchiver_sim.testbed.rig import FORWARDER, Rig
from ccarchiver_sim.testbed.wiretap import WireTap

if TYPE_CHECKING:
    from collections.abc import Callable

HUNG_AFTER_S = 10.0
"""Shorter than on a site, so that a round takes two minutes: it is the ratio that counts."""
LOOK_EVERY_S = 0.01
"""Between two looks at what is timed; far below what is measured."""
LIMIT_S = 180.0
"""For whatever is due."""
XFER_PARAMS = "CC_FWDR_XFER_PARAMS"
"""The first message about an image to a Forwarder."""


@dataclass(frozen=True)
class Failure:
    """One failure; seconds from the moment from which it could be noticed."""

    who: str
    how: str
    interval: str
    """The key of the site file by which the time is set."""
    interval_s: float
    shown_s: float
    """Until it showed: a worker's end in supervisord's events or in the count of the hung; a Forwarder's in the first
    message of its image to the next one."""
    recovered_s: float
    """Until another process did the work: holds the lease and shows life, or was sent the image."""
    key_s: float = 0.0
    """How long the key of a Forwarder that hung was there still."""

    @property
    def ratio(self) -> float:
        """How many times the interval it took until it showed."""
        return self.shown_s / self.interval_s


class Detection:
    """One archiver, whose parts fail one after the other.

    Parameters
    ----------
    rig
        The archiver; started by `begin`.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._settings: Settings = load_settings(rig.folder.site_file)
        self._redis = redis.Redis(
            host=LOOPBACK, port=rig.redis.port, db=self._settings.archiver_redis_db, decode_responses=True
        )
        self._forwarders = 0

    async def begin(self) -> None:
        """Start it all, and the session."""
        await self._rig.start_brokers()
        await self._rig.start_workers()
        await self._rig.start_peers()
        await self._rig.observer.go_to(salobj.State.ENABLED)
        await polling.wait_for(lambda: all(self._holder(worker) for worker in Worker), LIMIT_S, "all workers at work")

    # ---- workers

    async def worker_killed(self, worker: Worker) -> Failure:
        """Kill a worker. It shows in supervisord's events; its successor takes the lease."""
        pid = self._holder(worker)
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        shown, recovered = await asyncio.gather(
            self._moment(lambda: self._has_ended(worker, pid), f"the end of {worker} to be told"),
            self._moment(lambda: self._holder(worker) not in (0, pid), f"another {worker} at work"),
        )
        ttl = self._settings.lease_ttl
        return Failure(worker, "killed", "LEASE_TTL", ttl, shown - began, recovered - began)

    async def worker_hung(self, worker: Worker) -> Failure:
        """Stop a worker's process. Another worker counts it and ends it; its successor takes the lease."""
        pid, before = self._holder(worker), self._hung(worker)
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        shown, recovered = await asyncio.gather(
            self._moment(lambda: self._hung(worker) > before, f"a hung {worker} to be counted"),
            self._moment(lambda: self._holder(worker) not in (0, pid), f"another {worker} at work"),
        )
        after = self._settings.watchdog_timeout
        return Failure(worker, "hung", "WATCHDOG_TIMEOUT", after, shown - began, recovered - began)

    def _holder(self, worker: Worker) -> int:
        """Return the pid of the worker that holds the lease and shows life; 0 if there is none."""
        lease, alive = self._redis.mget(worker.lease, worker.alive)
        pids = {json.loads(text)["pid"] if text else 0 for text in (lease, alive)}
        return int(pids.pop()) if len(pids) == 1 else 0

    def _has_ended(self, worker: Worker, pid: int) -> bool:
        """Tell whether supervisord's newest event of a worker's program is one after a process's end."""
        programs = cast("dict[str, str]", self._redis.hgetall(keys.SUPERVISED_PROCESSES))  # it decodes responses
        for field, record in programs.items():
            if field.endswith(f":{worker}"):
                program = json.loads(record)
                return bool(program["state"] != "RUNNING" or program["pid"] != pid)
        return False

    def _hung(self, worker: Worker) -> int:
        return int(self._redis.hget(keys.COUNTERS, f"watchdog_kills:{worker}") or 0)

    # ---- Forwarders

    async def forwarder_fails(self, how: str) -> tuple[Failure, bool]:
        """Have a Forwarder fail with an image in its hands; return whether the image became complete, too."""
        with WireTap(self._rig.rabbit, self._rig.vhost) as tap:
            first, second, key = await self._cast(tap)
            image = self._rig.begin_exposure()
            await polling.wait_for(lambda: self._was_sent(tap, first, image), LIMIT_S, f"{image} to {first.name}")
            failed = began = time.monotonic()
            if how == "killed":
                first.kill()
            else:
                first.freeze()
                began = await self._moment(lambda: not self._redis.exists(key), f"{key} to end")
            shown = await self._moment(lambda: self._was_sent(tap, second, image), f"{image} to {second.name}")
            grace = self._settings.presence_grace
            failure = Failure("forwarder", how, "PRESENCE_GRACE", grace, shown - began, shown - began, began - failed)
            self._rig.end_exposure(image)
            is_complete = await self._completed(image)
            if how != "killed":
                first.kill()
        return failure, is_complete

    async def _cast(self, tap: WireTap) -> tuple[Peer, Peer, str]:
        """Start two Forwarders, and the session; return the paired one, the other one, and the paired one's key."""
        await self._rig.observer.go_to(salobj.State.STANDBY)
        await self._rig.end_peers(name for name in self._rig.peers if name.startswith((FORWARDER, "detection")))
        self._redis.delete(keys.FORWARDER_LIST)
        peers = list[Peer]()
        for _ in range(2):
            self._forwarders += 1
            name = f"detection{self._forwarders}"
            tap.declare(_queue(name))
            tap.listen_to(_queue(name))
            peer = self._rig.start_forwarder(name, "--presence-key", f"{name}_association")
            await asyncio.gather(peer.wait_ready(), peer.wait_said("serving"))
            peers.append(peer)
        await self._rig.observer.go_to(salobj.State.ENABLED)
        paired = str(self._redis.get(self._settings.association_key))
        first, second = sorted(peers, key=lambda peer: peer.name != paired)
        if first.name != paired:
            raise RuntimeError(f"{paired} is paired, which is neither {first.name} nor {second.name}")
        return first, second, f"{first.name}_association"

    @staticmethod
    def _was_sent(tap: WireTap, forwarder: Peer, image: str) -> bool:
        return bool(tap.heard(XFER_PARAMS, _queue(forwarder.name), IMAGE_ID=image))

    async def _completed(self, image: str) -> bool:
        expected = self._settings.files_per_image

        def is_complete() -> bool:
            return prove(self._rig.observer, self._rig.folder, image).is_complete(expected)

        try:
            await polling.wait_for(is_complete, LIMIT_S, f"{image} complete")
        except polling.WaitError:
            return False
        return True

    @staticmethod
    async def _moment(condition: Callable[[], bool], what: str) -> float:
        """Wait until a condition holds, and return when."""
        deadline = Deadline(LIMIT_S)
        while not condition():
            if deadline.has_passed():
                raise polling.WaitError(f"waited {LIMIT_S:g} s in vain for {what}")
            await asyncio.sleep(LOOK_EVERY_S)
        return time.monotonic()


def _queue(forwarder: str) -> str:
    return f"{forwarder}_consume"


async def measure(rounds: int, watchdog_timeout: float) -> tuple[list[Failure], int]:
    """Have each fail in each way, and print it; return the failures, and how many images were lost."""
    failures, lost = list[Failure](), 0

    def note(failure: Failure) -> None:
        failures.append(failure)
        print(show(failure), flush=True)

    rig = Rig({"WATCHDOG_TIMEOUT": watchdog_timeout})
    try:
        async with rig:
            detection = Detection(rig)
            await detection.begin()
            for _ in range(rounds):
                for worker in Worker:
                    note(await detection.worker_killed(worker))
                    note(await detection.worker_hung(worker))
                for how in ("killed", "hung"):
                    failure, is_complete = await detection.forwarder_fails(how)
                    note(failure)
                    lost += not is_complete
    finally:
        await rig.close()
    return failures, lost


def show(one: Failure) -> str:
    """Return one line with the figures of a failure."""
    since = f", its key ended after {one.key_s:.1f} s" if one.key_s else ""
    return (
        f"{one.who} {one.how}{since}: shown after {one.shown_s:.2f} s, {one.ratio:.2f} x {one.interval} "
        f"({one.interval_s:g} s); recovered after {one.recovered_s:.2f} s"
    )


def report(failures: list[Failure]) -> None:
    """Print the medians of each kind."""
    for who, how, interval in sorted({(one.who, one.how, one.interval) for one in failures}):
        of_it = [one for one in failures if (one.who, one.how) == (who, how)]
        print(
            f"{who} {how}, {len(of_it)} times: shown after {statistics.median(one.ratio for one in of_it):.2f} x "
            f"{interval} (median), {max(one.ratio for one in of_it):.2f} x (longest); recovered after "
            f"{statistics.median(one.recovered_s for one in of_it):.2f} s (median), "
            f"{max(one.recovered_s for one in of_it):.2f} s (longest)"
        )


def main() -> int:
    """Measure; the value is 1 if an image was lost."""
    parser = argparse.ArgumentParser("benchmarks.detection", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="how often each fails in each way")
    parser.add_argument(
        "--hung-after", type=float, default=HUNG_AFTER_S, help="WATCHDOG_TIMEOUT of the site, in seconds"
    )
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    failures, lost = asyncio.run(measure(options.rounds, options.watchdog_timeout))
    report(failures)
    if options.json:
        figures = [asdict(one) | {"ratio": one.ratio} for one in failures]
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
