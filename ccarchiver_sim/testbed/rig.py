"""The whole archiver on one machine, to be taken apart at will."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from ccarchiver_core.config.settings import load_settings
from ccarchiver_sim.peers.camera.exposure import SOURCE, SOURCES, image_name, observing_date
from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.brokers.server import PrivateServer
from ccarchiver_sim.testbed.environment import applied, run_environment, sal_environment
from ccarchiver_sim.testbed.folder import RunFolder
from ccarchiver_sim.testbed.host import Host
from ccarchiver_sim.testbed.peer_process import Peer
from ccarchiver_sim.testbed.sal_observer import SalObserver
from ccarchiver_sim.testbed.supervisor import Supervisor

CAMERA = "camera"
HEADER_SERVICE = "header_service"
CONTROLLER = "controller"
OODS = "oods"
FORWARDER = "f99"
"""The known release's name for its Forwarder."""
EXPOSURE_S = 0.2
"""Short, as nobody looks at the pixels, but long enough for the Controller's answer to come within the exposure."""


class Rig:
    """Brokers, workers, peers and an observer of one run, all in one folder and on one private piece of the SAL bus.

    Nothing is started by making it. Whatever was started has ended when it is closed.

    Parameters
    ----------
    settings
        ROOT keys of the site file, on top of the addresses of the brokers and the staging trees.
    redis, rabbit
        Brokers to use that someone else starts and ends; private ones by default.
    vhost
        The virtual host of `rabbit` to use; its first one by default.
    parent
        Where to make the run's folder.
    environment
        More variables for the workers and the peers.
    """

    peer_kind: type[Peer] = Peer
    """What the peers are; another way to start them, for tests."""

    def __init__(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        redis: PrivateRedis | None = None,
        rabbit: PrivateRabbit | None = None,
        vhost: str | None = None,
        parent: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = RunFolder(parent)
        self.redis = redis or PrivateRedis(self.folder.brokers / "redis")
        self.rabbit = rabbit or PrivateRabbit(self.folder.brokers / "rabbit")
        self._own_brokers: list[PrivateServer] = []
        if redis is None:
            self._own_brokers.append(self.redis)
        if rabbit is None:
            self._own_brokers.append(self.rabbit)
        self.sal = sal_environment()
        self.env = run_environment(self.folder, self.sal) | dict(environment or {})
        self.folder.write_environment(self.env)
        self.supervisor = Supervisor(self.env, self.folder.logs)
        self.hosts: dict[str, Host] = {}
        self.peers: dict[str, Peer] = {}
        self.vhost = vhost or self.rabbit.vhosts[0]
        self.status_port = free_port()
        self._settings = dict(settings or {})
        self._images = 0
        self._stack = AsyncExitStack()
        self.folder.write_credentials(self.rabbit.user, self.rabbit.password)
        self.write_site()
        self.names = load_settings(self.folder.site_file).sal
        self.observer = SalObserver(self.names.archiver, self.names.camera)

    def write_site(self, **changes: object) -> None:
        """Write the site file anew with changed ROOT keys; programs started from now on read it."""
        self._settings.update(changes)
        address = {
            "REDIS_HOST": LOOPBACK,
            "REDIS_PORT": self.redis.port,
            "BASE_BROKER_ADDR": self.rabbit.address_of(self.vhost),
            "STATUS_PORT": self.status_port,
        }
        self.folder.write_site(address | self._settings)

    @property
    def status_url(self) -> str:
        """Address of the status page, which is there as soon as the health worker is."""
        return f"http://{LOOPBACK}:{self.status_port}/"

    # ---- brokers

    async def start_broker(self, broker: PrivateServer) -> None:
        """Start a broker, or start it again with its data, without holding up the event loop."""
        broker.launch()
        await asyncio.to_thread(broker.wait_ready)

    async def stop_broker(self, broker: PrivateServer) -> None:
        """Stop a broker cleanly without holding up the event loop."""
        await asyncio.to_thread(broker.stop)

    async def start_brokers(self) -> None:
        """Start those brokers that are this rig's own."""
        await asyncio.gather(*(self.start_broker(broker) for broker in self._own_brokers))

    def require_running(self) -> None:
        """Raise a ChildError that names the first of the own brokers, supervisord and the peers that has ended."""
        for broker in self._own_brokers:
            broker.require_running()
        self.supervisor.require_running()
        for peer in self.peers.values():
            peer.require_running()

    # ---- workers

    async def start_workers(self) -> None:
        """Start supervisord and wait until the CSC has said on SAL what state it is in."""
        self.supervisor.start()
        try:
            await self.observer.wait_heard()
        except AssertionError:
            # More telling than that nothing was heard.
            self.supervisor.require_running()
            raise

    async def restart_worker(self, worker: str) -> None:
        """Restart one worker through supervisorctl without holding up the event loop."""
        await asyncio.to_thread(self.supervisor.restart, worker)

    def add_host(self, name: str, **changes: object) -> Host:
        """Make another host of the archiver, with changed ROOT keys; its supervisor is not started."""
        root = yaml.safe_load(self.folder.site_file.read_text(encoding="utf-8"))["ROOT"]
        self.hosts[name] = Host(name, self.folder.root / name, root | {"STATUS_PORT": free_port()} | changes, self.env)
        return self.hosts[name]

    # ---- peers

    def peer(self, name: str, module: str, options: Sequence[str] = (), *, with_stdin: bool = False) -> Peer:
        """Start a simulated peer without waiting for it; one of the same name must have ended.

        Raises
        ------
        RuntimeError
            If it still runs.
        """
        if name in self.peers and self.peers[name].is_running:
            raise RuntimeError(f"the peer {name} still runs (pid {self.peers[name].pid}); end it first")
        peer = self.peer_kind(name, module, options, env=self.env, logs=self.folder.logs, with_stdin=with_stdin)
        self.peers[name] = peer
        peer.launch()
        return peer

    def start_forwarder(self, name: str = FORWARDER, *options: str) -> Peer:
        """Start a Forwarder with a name, a hostname and a queue of its own; see its --help for more options."""
        own = ("--name", name, "--hostname", name)
        return self.peer(name, "ccarchiver_sim.peers.forwarder.main", own + options)

    def start_controller(self, *options: str) -> Peer:
        """Start the Controller."""
        return self.peer(CONTROLLER, "ccarchiver_sim.peers.controller.main", options)

    def start_oods(self, *options: str) -> Peer:
        """Start the OODS."""
        return self.peer(OODS, "ccarchiver_sim.peers.oods.main", options)

    def start_header_service(self, *options: str) -> Peer:
        """Start the header service."""
        names = ("--component", self.names.header_service, "--camera", self.names.camera)
        return self.peer(HEADER_SERVICE, "ccarchiver_sim.peers.header_service.main", (*names, *options))

    def start_camera(self, *options: str) -> Peer:
        """Start the camera, which exposes as `take`, `begin_exposure` and `end_exposure` say."""
        own = ("--stdin", "--component", self.names.camera)
        return self.peer(CAMERA, "ccarchiver_sim.peers.camera.main", (*own, *options), with_stdin=True)

    async def start_peers(self) -> None:
        """Start one of each and wait until all serve."""
        started = [
            self.start_header_service(),
            self.start_camera(),
            self.start_controller(),
            self.start_oods(),
            self.start_forwarder(),
        ]
        await asyncio.gather(*(peer.wait_ready() for peer in started))

    async def end_peers(self, names: Iterable[str] | None = None) -> None:
        """End some peers cleanly, all by default; those that have ended already stay so."""
        ending = [self.peers[name] for name in (self.peers if names is None else names)]
        for peer in ending:
            peer.terminate()
        await asyncio.gather(*(asyncio.to_thread(peer.end) for peer in ending))

    # ---- exposures

    def take(self, exposure: float = EXPOSURE_S) -> str:
        """Have the camera take one image, after those asked for before; return its name without waiting for it."""
        name = self._next_name()
        self.peers[CAMERA].tell(take={"image": name, "exposure": exposure})
        return name

    def begin_exposure(self) -> str:
        """Have the camera begin an exposure that lasts until `end_exposure`; return its name."""
        name = self._next_name()
        self.peers[CAMERA].tell(start=name)
        return name

    def end_exposure(self, name: str) -> None:
        """Have the camera end an exposure and read it out."""
        self.peers[CAMERA].tell(end=name)

    def _next_name(self) -> str:
        self._images += 1
        source = SOURCES.get(self.names.camera, SOURCE)
        return image_name(observing_date(datetime.now(UTC)), self._images, source)

    # ---- the whole

    async def __aenter__(self) -> Self:
        """Start the observer; from now on this process has the run's SAL environment."""
        self._stack.enter_context(applied(self.sal))
        await self._stack.enter_async_context(self.observer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything this rig started; safe to repeat. The folder stays, for whoever wants its logs."""
        await self._stack.aclose()
        # First all are asked, then all are waited for: the slowest sets the time, not the sum.
        supervisors = [self.supervisor, *(host.supervisor for host in self.hosts.values())]
        for supervisor in supervisors:
            supervisor.terminate()
        await self.end_peers()
        await asyncio.gather(*(asyncio.to_thread(supervisor.stop) for supervisor in supervisors))
        for broker in self._own_brokers:
            broker.terminate()
        await asyncio.gather(*(self.stop_broker(broker) for broker in self._own_brokers))
