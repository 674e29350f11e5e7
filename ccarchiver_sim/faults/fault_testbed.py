"""The testbed of a campaign, with proxies between workers and brokers, and with failpoints."""

import asyncio
import random
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, cast

import psutil
import redis.asyncio
import yaml
from lsst.ts import salobj
from typing_extensions import override

from ccarchiver_core.base.failpoint import FOLDER_VARIABLE
from ccarchiver_core.base.tasks import cancel_and_wait
from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.keys import DEAD_LETTERS
from ccarchiver_sim.faults import timing
from ccarchiver_sim.faults.moving_address import follow_master
from ccarchiver_sim.faults.oracle import STATUS_TOPICS, Oracle
from ccarchiver_sim.faults.peer_pool import PeerPool
from ccarchiver_sim.faults.proxy import TcpProxy
from ccarchiver_sim.faults.sal_recorder import SalRecorder
from ccarchiver_sim.faults.sal_source import SalSource
from ccarchiver_sim.faults.services import Services
from ccarchiver_sim.peers.common.daq import DaqCatalogue
from ccarchiver_sim.peers.header_service import header_file
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.brokers.redis_group import RedisGroup
from ccarchiver_sim.testbed.folder import PRIVATE_DIRECTORY_MODE, SITE_FILE
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.sal_observer import SUMMARY_STATE
from ccarchiver_sim.testbed.supervisor import WORKERS, Supervisor

SETTINGS: Mapping[str, object] = {
    "ACK_TIMEOUT": timing.ACK_TIMEOUT_S,
    "SCAN_TIMEOUT": timing.ACK_TIMEOUT_S,
    "LEASE_TTL": timing.LEASE_TTL_S,
    "PAIR_TIMEOUT": timing.PAIR_TIMEOUT_S,
    "WATCHDOG_TIMEOUT": timing.WATCHDOG_TIMEOUT_S,
    "CONNECT_TIMEOUT": timing.CONNECT_TIMEOUT_S,
    "REASSIGN_GRACE": timing.REASSIGN_GRACE_S,
}
"""Settings with which a fault has an effect within seconds. Limits after which an operator is
needed keep the values of a site."""
ONE_BOARD: Mapping[str, object] = {"WFS_RAFT": "22", "WFS_CCD": ["22/0"]}
"""Camera of the testbed with catch-up: the number of CCDs has no influence on what is missed."""
SMALL_FILES = ("--amplifiers", "1")
"""Options of its Forwarders."""
HOST_DOWN_EXPOSURES = 120
"""Exposures of an hour of a night, one every 30 s. They are more than the 100 events that DDS
keeps, so no restart finds them by itself. More of them, such as 300, only take longer: the archiver
requests two to four a second."""
SENSORS_PER_BOARD = 3
"""CCDs that a board reads; the name of a CCD is S, board, place."""
START_LIMIT_S = 60.0
"""Limit for the CSC to publish its state after the start of the host."""


def _catch_up_settings(header_port: int) -> dict[str, object]:
    """Return the settings of the testbed with catch-up, whose headers have this port."""
    name = header_file.file_name("{obsid}")
    return {
        "ATS": ONE_BOARD,
        "CATCH_UP": "automatic",
        "HEADER_URL_TEMPLATE": f"http://{LOOPBACK}:{header_port}/{name}",
        "SCAN_INTERVAL": timing.SCAN_INTERVAL_S,
    }


class CampaignRig(Rig):
    """A rig whose workers use a site file of their own, with the addresses of the proxies.

    Parameters
    ----------
    settings, parent
        See `Rig`.
    with_redis_group
        Whether to have a master of Redis with replicas and Sentinels. The workers then ask the
        Sentinels, and only the peers use the proxy, which must lead to the master.
    """

    def __init__(
        self,
        settings: Mapping[str, object],
        parent: Path | None = None,
        *,
        with_redis_group: bool = False,
    ) -> None:
        self.redis_port = free_port()
        self.rabbit_port = free_port()
        super().__init__(settings, parent=parent)
        self.redis_group: RedisGroup | None = None
        if with_redis_group:
            self._use_redis_group(RedisGroup(self.folder.brokers / "redis-group"))
        self.failpoints = self.folder.root / "failpoints"
        self.failpoints.mkdir(mode=PRIVATE_DIRECTORY_MODE)
        worker_env = self.env | {
            "IIP_CONFIG_DIR": str(self._worker_config()),
            FOLDER_VARIABLE: str(self.failpoints),
        }
        self.worker_env: Mapping[str, str] = worker_env
        self.supervisor = Supervisor(worker_env, self.folder.logs)
        self.sal_recorder = SalRecorder()
        self.observer = self.sal_recorder

    def _use_redis_group(self, group: RedisGroup) -> None:
        self._own_brokers.remove(self.redis)
        self._own_brokers += group.all_servers
        self.redis_group, self.redis = group, group.first
        self.write_site(**group.addresses, REDIS_PORT=self.redis_port)

    @override
    def write_site(self, **changes: object) -> None:
        super().write_site(**changes)
        site = yaml.safe_load(self.folder.site_file.read_text(encoding="utf-8"))
        site["ROOT"]["REDIS_PORT"] = self.redis_port
        address = self.rabbit.address_of(self.vhost).replace(
            f":{self.rabbit.port}/", f":{self.rabbit_port}/"
        )
        site["ROOT"]["BASE_BROKER_ADDR"] = address
        (self._worker_config() / SITE_FILE).write_text(
            yaml.safe_dump(site, sort_keys=False), encoding="utf-8"
        )

    def _worker_config(self) -> Path:
        folder = self.folder.root / "config-workers"
        folder.mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)
        return folder


class FaultTestbed:
    """The testbed that a scenario acts on: rig, proxies, peers, SAL source and oracle.

    Parameters
    ----------
    seed
        Seed of all random choices of the campaign.
    parent
        Folder in which to create the run folder.
    settings
        Keys of the site file that take precedence over `SETTINGS`.
    with_redis_group
        Whether Redis is a master with replicas and Sentinels; see `CampaignRig`.
    with_catch_up
        Whether the archiver archives missed exposures, the Forwarders list those of the camera, and
        the oracle expects all of them.
    """

    def __init__(
        self,
        seed: int,
        parent: Path | None = None,
        settings: Mapping[str, object] = MappingProxyType({}),
        *,
        with_redis_group: bool = False,
        with_catch_up: bool = False,
    ) -> None:
        header_port = free_port() if with_catch_up else 0
        own = _catch_up_settings(header_port) if with_catch_up else {}
        self.rig = CampaignRig(
            {**SETTINGS, **own, **settings}, parent, with_redis_group=with_redis_group
        )
        self.random = random.Random(seed)  # noqa: S311 - choices that can be repeated, not secrets
        self.redis_proxy = TcpProxy(self.rig.redis_port, self.rig.redis.port)
        self.rabbit_proxy = TcpProxy(self.rig.rabbit_port, self.rig.rabbit.port)
        self.settings = load_settings(self.rig.folder.site_file)
        self.oracle = Oracle(self._sensors(), self._files_missing, has_catch_up=with_catch_up)
        self.sal_source = SalSource(
            self.rig.folder.root / "headers",
            self._record_put,
            port=header_port,
            daq=DaqCatalogue(self.rig.folder.daq) if with_catch_up else None,
        )
        self.peer_pool = PeerPool(
            self.rig,
            self.settings,
            self.redis,
            ("--daq", str(self.rig.folder.daq), *SMALL_FILES) if with_catch_up else (),
        )
        self.host_down_exposures = HOST_DOWN_EXPOSURES
        """Exposures that the camera takes while the archiver's host is down."""
        self.services = Services()
        """What the testbed itself has of the brokers while faults are injected."""
        self.may_reject_images = False
        """Whether images may become dead letters in the running scenario."""
        self._stack = AsyncExitStack()
        self._position = 0

    # ---- what is seen

    @property
    def state(self) -> salobj.State | None:
        """Summary state that the CSC last published."""
        return self.rig.sal_recorder.state

    def observe(self) -> None:
        """Pass the events received since the last call to the oracle."""
        new_events = self.rig.sal_recorder.after(self._position)
        self._position += len(new_events)
        for event in new_events:
            if event.topic in STATUS_TOPICS:
                self.oracle.reported(event.topic, event.fields, event.received)
            elif (
                event.topic == SUMMARY_STATE and event.fields[SUMMARY_STATE] != salobj.State.ENABLED
            ):
                self.oracle.left_enabled(event.received)

    def redis(self, database: int | None = None) -> redis.asyncio.Redis:
        """Return a client of a database, by default the archiver's; no network fault affects it."""
        db = self.settings.archiver_redis_db if database is None else database
        return redis.asyncio.Redis(
            host=LOOPBACK, port=self._redis_port, db=db, decode_responses=True
        )

    @property
    def _redis_port(self) -> int:
        # The master of a group can be any of its servers; the proxy leads to it.
        is_group = self.rig.redis_group is not None
        return self.redis_proxy.port if is_group else self.rig.redis.port

    @property
    def redis_group(self) -> RedisGroup:
        """The Redis group; only a scenario with `needs_redis_group` may use it."""
        if self.rig.redis_group is None:
            raise RuntimeError("this testbed has one Redis; make it with_redis_group")
        return self.rig.redis_group

    async def report_rejected(self) -> None:
        """Report the images among the dead letters to the oracle."""
        # Read as bytes: dead letters hold messages that are not text.
        database = self.settings.archiver_redis_db
        async with redis.asyncio.Redis(host=LOOPBACK, port=self._redis_port, db=database) as client:
            entries = await client.xrange(DEAD_LETTERS)
        for _, entry in cast("list[tuple[bytes, dict[bytes, bytes]]]", entries):
            self.oracle.record_rejected(entry[b"obsid"].decode())

    def _record_put(self, topic: str, image: str) -> None:
        self.oracle.put(topic, image, time.monotonic(), enabled=self.state == salobj.State.ENABLED)

    def _sensors(self) -> frozenset[tuple[str, str]]:
        ccds = self.settings.wfs.ccds
        return frozenset(
            (raft, f"S{board}{place}")
            for raft, board in (ccd.split("/") for ccd in ccds)
            for place in range(SENSORS_PER_BOARD)
        )

    def _files_missing(self, obsid: str) -> int:
        folder = self.rig.folder
        names = [f"{obsid}-R{raft}{sensor}.fits" for raft, sensor in self._sensors()]
        missing = 0
        for tree in (folder.oods_staging, folder.dbb_staging):
            days = [day for day in tree.iterdir() if day.is_dir()]
            missing += sum(not any(_has_content(day / name) for day in days) for name in names)
        return missing

    # ---- workers

    def worker_pid(self, worker: str) -> int | None:
        """Return the process id of supervisord's instance of a worker; None if it does not run."""
        supervisors = [
            child for child in psutil.Process().children() if _is_program(child, "supervisord")
        ]
        for supervisor in supervisors:
            for process in supervisor.children():
                if _is_program(process, f"run_ccarchiver_{worker}"):
                    return process.pid
        return None

    def signal_worker(self, worker: str, number: signal.Signals) -> int | None:
        """Send a signal to a worker; return its process id, or None if it does not run."""
        pid = self.worker_pid(worker)
        if pid is not None:
            psutil.Process(pid).send_signal(number)
        return pid

    def arm(self, point: str) -> None:
        """Arm a failpoint: the next worker that reaches it dies there."""
        (self.rig.failpoints / point).touch()

    def is_armed(self, point: str) -> bool:
        """Return whether no worker has reached an armed failpoint yet."""
        return (self.rig.failpoints / point).exists()

    def disarm(self, point: str) -> bool:
        """Disarm a failpoint; return whether no worker had reached it."""
        path = self.rig.failpoints / point
        armed = path.exists()
        path.unlink(missing_ok=True)
        return armed

    async def stop_host(self) -> None:
        """Kill all workers, and let supervisord start none again."""
        self._signal_supervisord(signal.SIGSTOP)
        for worker in WORKERS:
            self.signal_worker(worker, signal.SIGKILL)

    async def start_host(self) -> salobj.State:
        """Let supervisord start the workers, and return the state in which the CSC is then."""
        recorder = self.rig.sal_recorder
        since = recorder.position
        self._signal_supervisord(signal.SIGCONT)
        return await recorder.wait_state(*salobj.State, since=since, limit=START_LIMIT_S)

    def _signal_supervisord(self, number: signal.Signals) -> None:
        psutil.Process(self.rig.supervisor.pid).send_signal(number)

    # ---- the whole

    async def open(self) -> None:
        """Start brokers, workers and peers, and bring the CSC to ENABLED."""
        await self.rig.start_brokers()
        if self.rig.redis_group is not None:
            await self.rig.redis_group.wait_ready()
            following = asyncio.create_task(follow_master(self.rig.redis_group, self.redis_proxy))
            self._stack.push_async_callback(cancel_and_wait, following)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.rig.start_workers())
            tasks.create_task(self.peer_pool.make_whole())
        await self.rig.sal_recorder.go_to(salobj.State.ENABLED)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.rig.close)
            await stack.enter_async_context(self.redis_proxy)
            await stack.enter_async_context(self.rabbit_proxy)
            await stack.enter_async_context(self.rig)
            await stack.enter_async_context(self.sal_source)
            stack.callback(self.thaw_all)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def thaw_all(self) -> None:
        """Continue all frozen processes: a frozen process cannot end cleanly."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _is_program(process: psutil.Process, name: str) -> bool:
    """Return whether a process runs a program, directly or as a script, and has not ended."""
    try:
        words = process.cmdline()[:2]
        return process.status() != psutil.STATUS_ZOMBIE and any(
            Path(word).name == name for word in words
        )
    except psutil.NoSuchProcess:
        return False


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
