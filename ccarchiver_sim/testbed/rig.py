"""The whole archiver on one machine, with methods to start, stop and kill each part."""

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
BACKBONE = "backbone"
FORWARDER = "f99"
"""Name of the Forwarder in the known release."""
EXPOSURE_S = 0.2
"""Short, because the pixels are not used, but long enough for the Controller's acknowledgement to
arrive within the exposure."""


class Rig:
    """Brokers, workers, peers and a SAL observer of one run, in one folder and one SAL partition.

    The constructor starts nothing. Everything that the rig has started ends when it is closed.

    Parameters
    ----------
    settings
        ROOT keys of the site file, in addition to the addresses of the brokers and the staging
        trees.
    redis, rabbit
        Brokers that the caller starts and ends; private ones by default.
    vhost
        Virtual host of `rabbit`; its first one by default.
    parent
        Folder in which to create the run folder.
    environment
        Additional variables for the workers and the peers.

    Raises
    ------
    ConfigError
        If SAL does not start with the environment of this process.
    """

    peer_kind: type[Peer] = Peer
    """Class of the peers; tests replace it to start them differently."""

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
        self.sal = sal_environment()  # first, because it raises an error for a wrong variable
        self.folder = RunFolder(parent)
        self.redis = redis or PrivateRedis(self.folder.brokers / "redis")
        self.rabbit = rabbit or PrivateRabbit(self.folder.brokers / "rabbit")
        self._own_brokers: list[PrivateServer] = []
        if redis is None:
            self._own_brokers.append(self.redis)
        if rabbit is None:
            self._own_brokers.append(self.rabbit)
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
        """Write the site file again with changed ROOT keys; programs started later read it."""
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
        """Address of the status page, which the health worker serves."""
        return f"http://{LOOPBACK}:{self.status_port}/"

    # ---- brokers

    async def start_broker(self, broker: PrivateServer) -> None:
        """Start a broker, or restart it with its data, without blocking the event loop."""
        broker.launch()
        await asyncio.to_thread(broker.wait_ready)

    async def stop_broker(self, broker: PrivateServer) -> None:
        """Stop a broker cleanly without blocking the event loop."""
        await asyncio.to_thread(broker.stop)

    async def start_brokers(self) -> None:
        """Start the brokers that belong to this rig."""
        await asyncio.gather(*(self.start_broker(broker) for broker in self._own_brokers))

    def how_a_program_ended(self) -> str | None:
        """Return name, exit status and log of the first program that has ended; None if all run.

        The rig's own brokers come first, because other programs may end for lack of them. Programs
        that were not started do not count.
        """
        endings = (
            *(broker.how_it_ended() for broker in self._own_brokers),
            self.supervisor.how_it_ended(),
            *(peer.how_it_ended() for peer in self.peers.values()),
        )
        return next((text for text in endings if text is not None), None)

    # ---- workers

    async def start_workers(self) -> None:
        """Start supervisord and wait until the CSC has published its summary state."""
        self.supervisor.start()
        try:
            await self.observer.wait_for_first_state()
        except AssertionError:
            # An ended supervisord explains the failure better than the missing event.
            self.supervisor.require_running()
            raise

    async def restart_worker(self, worker: str) -> None:
        """Restart one worker with supervisorctl without blocking the event loop."""
        await asyncio.to_thread(self.supervisor.restart, worker)

    def add_host(self, name: str, **changes: object) -> Host:
        """Return another host of the archiver with changed ROOT keys, not yet started."""
        root = yaml.safe_load(self.folder.site_file.read_text(encoding="utf-8"))["ROOT"]
        self.hosts[name] = Host(
            name, self.folder.root / name, root | {"STATUS_PORT": free_port()} | changes, self.env
        )
        return self.hosts[name]

    # ---- peers

    def peer(
        self, name: str, module: str, options: Sequence[str] = (), *, with_stdin: bool = False
    ) -> Peer:
        """Start a simulated peer without waiting for it.

        Raises
        ------
        RuntimeError
            If a peer of the same name still runs.
        """
        if name in self.peers and self.peers[name].is_running:
            raise RuntimeError(
                f"the peer {name} still runs (pid {self.peers[name].pid}); end it first"
            )
        peer = self.peer_kind(
            name, module, options, env=self.env, logs=self.folder.logs, with_stdin=with_stdin
        )
        self.peers[name] = peer
        peer.launch()
        return peer

    def start_forwarder(self, name: str = FORWARDER, *options: str) -> Peer:
        """Start a Forwarder with its own name, hostname and queue; see its --help for options."""
        own = ("--name", name, "--hostname", name)
        return self.peer(name, "ccarchiver_sim.peers.forwarder.main", own + options)

    def start_controller(self, *options: str) -> Peer:
        """Start the Controller."""
        return self.peer(CONTROLLER, "ccarchiver_sim.peers.controller.main", options)

    def start_oods(self, *options: str) -> Peer:
        """Start the OODS."""
        return self.peer(OODS, "ccarchiver_sim.peers.oods.main", options)

    def start_backbone(self, *options: str) -> Peer:
        """Start the client of the data backbone."""
        return self.peer(BACKBONE, "ccarchiver_sim.peers.backbone.main", options)

    def start_header_service(self, *options: str) -> Peer:
        """Start the header service."""
        names = ("--component", self.names.header_service, "--camera", self.names.camera)
        return self.peer(
            HEADER_SERVICE, "ccarchiver_sim.peers.header_service.main", (*names, *options)
        )

    def start_camera(self, *options: str) -> Peer:
        """Start the camera, which `take`, `begin_exposure` and `end_exposure` control."""
        own = ("--stdin", "--component", self.names.camera)
        return self.peer(
            CAMERA, "ccarchiver_sim.peers.camera.main", (*own, *options), with_stdin=True
        )

    async def start_peers(
        self, *forwarder_options: str, camera_options: Sequence[str] = ()
    ) -> None:
        """Start one peer of each kind and wait until all serve."""
        started = [
            self.start_header_service(),
            self.start_camera(*camera_options),
            self.start_controller(),
            self.start_oods(),
            self.start_forwarder(FORWARDER, *forwarder_options),
        ]
        await asyncio.gather(*(peer.wait_ready() for peer in started))

    async def end_peers(self, names: Iterable[str] | None = None) -> None:
        """End the named peers cleanly, or all by default; those that have ended stay ended."""
        ending = [self.peers[name] for name in (self.peers if names is None else names)]
        for peer in ending:
            peer.terminate()
        await asyncio.gather(*(asyncio.to_thread(peer.end) for peer in ending))

    # ---- exposures

    def take(self, exposure: float = EXPOSURE_S) -> str:
        """Instruct the camera to take one image, and return its obsid without waiting.

        The camera takes images in the sequence of the calls.
        """
        name = self._next_name()
        self.peers[CAMERA].send_command(take={"image": name, "exposure": exposure})
        return name

    def begin_exposure(self) -> str:
        """Instruct the camera to begin an exposure, which `end_exposure` ends; return its obsid."""
        name = self._next_name()
        self.peers[CAMERA].send_command(start=name)
        return name

    def end_exposure(self, name: str) -> None:
        """Instruct the camera to end an exposure and read it out."""
        self.peers[CAMERA].send_command(end=name)

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
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything that this rig has started; safe to repeat.

        The folder remains, for its logs.
        """
        await self._stack.aclose()
        # First signal all, then wait for all: the total time is that of the slowest, not the sum.
        supervisors = [self.supervisor, *(host.supervisor for host in self.hosts.values())]
        for supervisor in supervisors:
            supervisor.terminate()
        await self.end_peers()
        await asyncio.gather(*(asyncio.to_thread(supervisor.stop) for supervisor in supervisors))
        for broker in self._own_brokers:
            broker.terminate()
        await asyncio.gather(*(self.stop_broker(broker) for broker in self._own_brokers))
