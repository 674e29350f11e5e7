"""A whole bridge at work between a real Redis and a real RabbitMQ; the test plays SAL, health and all the peers."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
import yaml

from ccarchiver_bridge.bridge import Bridge
from ccarchiver_core import keys, ledger
from ccarchiver_core.credentials import CREDENTIAL_DIR_VARIABLE, CREDENTIAL_FILE
from ccarchiver_core.exposure import EndReadout, HeaderReady, StartIntegration
from ccarchiver_core.keys import Worker
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.mail import ExposureMail, SessionChanged
from ccarchiver_core.session import PairedForwarder
from ccarchiver_core.step import Step, unix_time
from tests.bridge.peer import CONTROLLER, FORWARDER, Letter, Peer, on_the_wire
from tests.core.place import end, eventually, holding, looking_into, mail_in, post, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis.asyncio import Redis

    from ccarchiver_core.exposure import ExposureEvent
    from ccarchiver_core.mail import Mail
    from ccarchiver_core.session import Loss
    from ccarchiver_core.settings import Settings
    from ccarchiver_core.worker import WorkerContext
    from ccarchiver_sim.brokers import PrivateRabbit, PrivateRedis

SESSION = "2026-11-22_08:18:37.932650"
TARGET = "/data/staging/ccforwarder/2026-11-22/"
M = TypeVar("M")


def forwarder(name: str = "f99") -> PairedForwarder:
    """Give a Forwarder with its queue and key."""
    return PairedForwarder(
        hostname=name, ip_address="127.0.0.1", consume_queue=f"{name}_consume", presence_key=f"{name}_association"
    )


def start_of(image: str) -> StartIntegration:
    """Give the camera's startIntegration."""
    return StartIntegration(
        image_name=image, image_index=0, images_in_sequence=1, image_date="20261122", exposure_time=1.0
    )


def end_of(image: str) -> EndReadout:
    """Give the camera's endReadout."""
    return EndReadout(image_name=image, image_index=0, images_in_sequence=1)


def header_of(image: str) -> HeaderReady:
    """Give the header service's largeFileObjectAvailable."""
    return HeaderReady(url=f"http://127.0.0.1:8000/{image}.yaml")


class Desk:
    """A bridge and everybody around it; make it with `bridge_at_work`."""

    def __init__(self, settings: Settings, redis: Redis, peer: Peer, sal: WorkerContext) -> None:
        self.settings = settings
        self.redis = redis
        self.peer = peer
        self.sal = sal
        self.context: WorkerContext | None = None
        """The running bridge's own, None while there is none."""
        self.bridge: Bridge
        """The newest one; not there before the first start."""
        self._running: contextlib.AsyncExitStack | None = None
        self._jobs: dict[str, int] = {}

    # ---- the bridge

    async def start(self) -> None:
        """Start the bridge as its program does."""
        self._running = contextlib.AsyncExitStack()
        context = await self._running.enter_async_context(holding(Worker.BRIDGE, self.settings))
        self.context = context
        self.bridge = Bridge(context)
        await self._running.enter_async_context(_task_of(self.bridge))

    async def stop(self) -> None:
        """End the bridge in the middle of what it does."""
        running, self._running, self.context = self._running, None, None
        if running is not None:
            await running.aclose()

    # ---- health and SAL

    async def pair(self, paired: PairedForwarder | None = None, *, epoch: int = 1, session: str = SESSION) -> None:
        """Have a session in force that is paired, and tell the bridge."""
        paired = paired or forwarder()
        await self.redis.hset(
            keys.SESSION,
            mapping={
                "id": session,
                "wanted": "up",
                "epoch": epoch,
                "pairing": "paired",
                "forwarder": paired.model_dump_json(),
            },
        )
        await post(self.redis, Worker.BRIDGE, SessionChanged(session_id=session))

    async def search(self, *, epoch: int = 1, session: str = SESSION, loss: Loss | None = None) -> None:
        """Have a session in force that looks for a Forwarder, for its first one or after a loss."""
        await self.redis.hdel(keys.SESSION, "forwarder", "loss")
        await self.redis.hset(
            keys.SESSION, mapping={"id": session, "wanted": "up", "epoch": epoch, "pairing": "searching"}
        )
        if loss is not None:
            await self.redis.hset(keys.SESSION, "loss", loss.model_dump_json())
        await post(self.redis, Worker.BRIDGE, SessionChanged(session_id=session))

    async def end_session(self, session: str = SESSION) -> None:
        """Have no session wanted any more."""
        await self.redis.hset(keys.SESSION, mapping={"wanted": "down", "pairing": "none"})
        await self.redis.hdel(keys.SESSION, "forwarder")
        await post(self.redis, Worker.BRIDGE, SessionChanged(session_id=session))

    async def accept(self, image: str, *events: ExposureEvent, tell: bool = True) -> None:
        """Record events of an image as the CSC does."""
        for event in events:
            is_new = image not in self._jobs
            job = self._jobs.setdefault(image, len(self._jobs) + 1)
            step = Step()
            heard = ledger.Heard(image, job, SESSION, event, unix_time())
            ledger.record_event(step, heard, ImageState.ACCEPTED, is_new=is_new)
            if tell:
                mail = ExposureMail(obsid=image, job=job, event=event, at=heard.at, is_first=is_new)
                step.post(Worker.BRIDGE, mail)
            await self.sal.runner.apply(step)

    async def told(self, worker: Worker, kind: type[M]) -> list[M]:
        """Give the letters of one kind the bridge has sent to a worker."""
        return [mail for mail in await mail_in(self.redis, worker) if isinstance(mail, kind)]

    async def all_told(self, worker: Worker) -> list[Mail]:
        """Give all letters the bridge has sent to a worker."""
        return await mail_in(self.redis, worker)

    async def record(self, image: str) -> dict[str, str]:
        """Read an image's ledger record."""
        return await ledger.read_record(self.redis, image)

    async def recorded(self, image: str, field: str) -> None:
        """Wait until an image's ledger record has a field."""

        async def is_there() -> bool:
            return field in await self.record(image)

        await eventually(is_there, f"{field} in the record of {image}")

    # ---- the peers

    async def controller_answers(self, image: str, target: str = TARGET) -> Letter:
        """Wait for NEW_CC_ARCHIVE_ITEM and answer it."""
        letter = await self.peer.hear("NEW_CC_ARCHIVE_ITEM", image)
        self.peer.acknowledge(
            letter,
            TARGET_DIR=target,
            ACK_BOOL="TRUE",
            COMPONENT="ARCHIVE_CTRL",
            JOB_NUM=letter.fields["JOB_NUM"],
            SESSION_ID=letter.fields["SESSION_ID"],
        )
        return letter

    def kinds(self, image: str) -> list[str]:
        """Kinds of the messages about an image, in the order they came."""
        return [letter.kind for letter in self.peer.heard if letter.fields.get("IMAGE_ID") == image]


@asynccontextmanager
async def _task_of(bridge: Bridge) -> AsyncIterator[None]:
    task = asyncio.create_task(bridge.run())
    try:
        yield
    finally:
        await end(task)


@asynccontextmanager
async def bridge_at_work(
    redis: PrivateRedis, rabbit: PrivateRabbit, vhost: str, *, started: bool = True, **changes: object
) -> AsyncIterator[Desk]:
    """Have a bridge at work for the time of a block, with the Controller and one Forwarder listening."""
    settings = site(redis.port, **{"BASE_BROKER_ADDR": rabbit.address_of(vhost), **changes})
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(_credentials_in(Path(folder), rabbit))
        client = await stack.enter_async_context(looking_into(settings))
        sal = await stack.enter_async_context(holding(Worker.SAL, settings))
        peer = await stack.enter_async_context(on_the_wire(rabbit, vhost, CONTROLLER, FORWARDER))
        desk = Desk(settings, client, peer, sal)
        try:
            if started:
                await desk.start()
            yield desk
        finally:
            await desk.stop()


@contextlib.contextmanager
def _credentials_in(folder: Path, rabbit: PrivateRabbit) -> Iterator[None]:
    """Have the credentials of a broker where the bridge looks for them."""
    folder.chmod(0o700)
    path = folder / CREDENTIAL_FILE
    path.touch(mode=0o600)
    users = {"rabbitmq_users": {"service_user": rabbit.user, "service_passwd": rabbit.password}}
    path.write_text(yaml.safe_dump(users), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CREDENTIAL_DIR_VARIABLE, str(folder))
        yield
