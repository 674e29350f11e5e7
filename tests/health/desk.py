"""Health at work on a real Redis; the test plays the bridge, the CSC and the Forwarders."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from ccarchiver_core import keys, session
from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import (
    MAIL,
    AskForwarder,
    ForwarderEntry,
    ForwarderReply,
    Reply,
    SessionChanged,
)
from ccarchiver_core.step import Step
from ccarchiver_health.health import Health
from ccarchiver_sim.pace import scaled
from tests.core.place import end, eventually, holding, looking_into, mail_in, post, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from ccarchiver_core.session import Session
    from ccarchiver_core.settings import Settings
    from ccarchiver_core.worker import WorkerContext
    from ccarchiver_sim.brokers import PrivateRedis

SESSION = "2026-11-22_08:18:37.932650"
M = TypeVar("M")


def entry(name: str) -> ForwarderEntry:
    """Give a Forwarder as it lists itself."""
    return ForwarderEntry(hostname=name, ip_address="127.0.0.1", consume_queue=f"{name}_consume")


class Desk:
    """Health and everybody around it; make it with `health_at_work`."""

    def __init__(self, settings: Settings, redis: Redis, sal: WorkerContext) -> None:
        self.settings = settings
        self.redis = redis
        self._sal = sal
        self._answered: set[bytes] = set()
        self.asked: list[str] = []
        """Hostnames of the Forwarders the bridge was told to ask, in order."""

    async def list_forwarders(self, *names: str) -> None:
        """Have Forwarders list themselves, the first one first."""
        for name in names:
            await self.redis.lpush(keys.FORWARDER_LIST, entry(name).model_dump_json())

    async def live(self, name: str) -> None:
        """Have a Forwarder show that it lives, for longer than any test lasts."""
        await self.redis.set(f"{name}_association", "pong", ex=600)

    async def begin(self, session_id: str = SESSION) -> None:
        """Begin a session as the CSC does."""
        step = Step()
        session.begin(step, session_id)
        step.post(Worker.HEALTH, SessionChanged(session_id=session_id))
        await self._sal.runner.apply(step)

    async def end(self, session_id: str = SESSION) -> None:
        """End it."""
        step = Step()
        session.end(step, self.settings.association_key)
        step.post(Worker.HEALTH, SessionChanged(session_id=session_id))
        await self._sal.runner.apply(step)

    async def session(self) -> Session:
        """Read the session."""
        return await session.read_session(self.redis)

    async def play_bridge(self, **replies: Reply) -> None:
        """Answer every question to the bridge that has come: a Forwarder not named takes the pairing."""
        raw = cast("list[tuple[bytes, dict[bytes, bytes]]]", await self.redis.xrange(Worker.BRIDGE.mailbox))
        for entry_id, fields in raw:
            mail = MAIL.validate_json(fields[b"mail"])
            if entry_id in self._answered or not isinstance(mail, AskForwarder):
                continue
            self._answered.add(entry_id)
            name = mail.forwarder.hostname
            self.asked.append(name)
            reply = ForwarderReply(
                session_id=mail.session_id,
                epoch=mail.epoch,
                reply=replies.get(name, Reply.ASSOCIATED),
                presence_key=f"{name}_association",
            )
            await post(self.redis, Worker.HEALTH, reply)

    async def paired_with(self, name: str, **replies: Reply) -> Session:
        """Play the bridge until a Forwarder is paired."""

        async def paired() -> Session | None:
            await self.play_bridge(**replies)
            now = await self.session()
            return now if now.paired and now.forwarder is not None and now.forwarder.hostname == name else None

        return await eventually(paired, f"the pairing with {name}; asked {self.asked}")

    async def told(self, worker: Worker, kind: type[M], **replies: Reply) -> list[M]:
        """Play the bridge until a worker has been told something."""

        async def told() -> list[M]:
            await self.play_bridge(**replies)
            return [mail for mail in await mail_in(self.redis, worker) if isinstance(mail, kind)]

        return await eventually(told, f"{kind.__name__} for {worker}")


@asynccontextmanager
async def health_at_work(redis: PrivateRedis, **changes: object) -> AsyncIterator[Desk]:
    """Have health at work for the time of a block."""
    settings = site(redis.port, **{"PAIR_TIMEOUT": scaled(2), "REASSIGN_GRACE": scaled(2), **changes})
    async with (
        looking_into(settings) as client,
        holding(Worker.SAL, settings) as sal,
        holding(Worker.HEALTH, settings) as context,
    ):
        task = asyncio.create_task(Health(context).run())
        try:
            yield Desk(settings, client, sal)
        finally:
            await end(task)
