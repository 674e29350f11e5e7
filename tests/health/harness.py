"""The health worker on a real Redis; the test plays the bridge, the CSC and the Forwarders."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, cast

from ccarchiver_core import keys
from ccarchiver_core.base.host import host_name
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.worker_messages import (
    WORKER_MESSAGE_ADAPTER,
    AssociateForwarder,
    AssociationOutcome,
    AssociationResult,
    SessionChanged,
)
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.store import session
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.health import Health
from ccarchiver_sim.pace import scaled
from tests.core.redis_helpers import (
    end,
    enqueue,
    eventually,
    holding,
    looking_into,
    messages_in,
    site,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session
    from ccarchiver_core.runtime.worker import WorkerContext
    from ccarchiver_sim.testbed.brokers import PrivateRedis

SESSION = "2026-11-22_08:18:37.932650"
M = TypeVar("M")


def entry(name: str) -> ForwarderEntry:
    """Return the list entry of a Forwarder."""
    return ForwarderEntry(hostname=name, ip_address="127.0.0.1", consume_queue=f"{name}_consume")


class HealthHarness:
    """The health worker and its peers; create it with `running_health`."""

    def __init__(self, settings: Settings, redis: Redis, sal: WorkerContext) -> None:
        self.settings = settings
        self.redis = redis
        self.sal = sal
        self._answered: set[bytes] = set()
        self.attempted: list[str] = []
        """Hostnames of the Forwarders in the AssociateForwarder messages, in order."""

    async def list_forwarders(self, *names: str) -> None:
        """Register Forwarders in the list, the first one first."""
        for name in names:
            await self.redis.lpush(keys.FORWARDER_LIST, entry(name).model_dump_json())

    async def write_presence(self, name: str) -> None:
        """Write a Forwarder's presence key, which outlasts any test."""
        await self.redis.set(f"{name}_association", "pong", ex=600)

    async def set_bridge(
        self, *, link_since: float, link_problem: str = "", degraded_reason: str = ""
    ) -> None:
        """Write the bridge's heartbeat, which does not expire."""
        heartbeat = Heartbeat(
            worker=Worker.BRIDGE,
            host=host_name(),
            link_since=link_since,
            link_problem=link_problem,
            degraded_reason=degraded_reason,
        )
        await self.redis.set(Worker.BRIDGE.alive, heartbeat.model_dump_json())

    async def begin(self, session_id: str = SESSION) -> None:
        """Begin a session as the CSC does."""
        transaction = Transaction()
        session.begin(transaction, session_id)
        transaction.enqueue(Worker.HEALTH, SessionChanged(session_id=session_id))
        await self.sal.transactions.apply(transaction)

    async def end(self, session_id: str = SESSION) -> None:
        """End the session."""
        transaction = Transaction()
        session.end(transaction, self.settings.association_key)
        transaction.enqueue(Worker.HEALTH, SessionChanged(session_id=session_id))
        await self.sal.transactions.apply(transaction)

    async def session(self) -> Session:
        """Return the session."""
        return await session.read_session(self.redis)

    async def play_bridge(self, **replies: AssociationOutcome) -> None:
        """Answer every AssociateForwarder message; a Forwarder that is not named is associated."""
        raw = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]", await self.redis.xrange(Worker.BRIDGE.mailbox)
        )
        for entry_id, fields in raw:
            message = WORKER_MESSAGE_ADAPTER.validate_json(fields[b"message"])
            if entry_id in self._answered or not isinstance(message, AssociateForwarder):
                continue
            self._answered.add(entry_id)
            name = message.forwarder.hostname
            self.attempted.append(name)
            reply = AssociationResult(
                session_id=message.session_id,
                epoch=message.epoch,
                result=replies.get(name, AssociationOutcome.ASSOCIATED),
                presence_key=f"{name}_association",
            )
            await enqueue(self.redis, Worker.HEALTH, reply)

    async def paired_with(self, name: str, **replies: AssociationOutcome) -> Session:
        """Play the bridge until a Forwarder is paired."""

        async def paired() -> Session | None:
            await self.play_bridge(**replies)
            now = await self.session()
            return (
                now
                if now.is_paired and now.forwarder is not None and now.forwarder.hostname == name
                else None
            )

        return await eventually(paired, f"the pairing with {name}")

    async def messages_to(
        self, worker: Worker, kind: type[M], **replies: AssociationOutcome
    ) -> list[M]:
        """Play the bridge until a worker has messages of a kind; return them."""

        async def reported() -> list[M]:
            await self.play_bridge(**replies)
            return [
                message
                for message in await messages_in(self.redis, worker)
                if isinstance(message, kind)
            ]

        return await eventually(reported, f"{kind.__name__} for {worker}")


@asynccontextmanager
async def running_health(redis: PrivateRedis, **changes: object) -> AsyncIterator[HealthHarness]:
    """Run the health worker for the duration of a block."""
    settings = site(
        redis.port, **{"PAIR_TIMEOUT": scaled(2), "REASSIGN_GRACE": scaled(2), **changes}
    )
    async with (
        looking_into(settings) as client,
        holding(Worker.SAL, settings) as sal,
        holding(Worker.HEALTH, settings) as context,
    ):
        task = asyncio.create_task(Health(context).run())
        try:
            harness = HealthHarness(settings, client, sal)
            await harness.set_bridge(link_since=1.0)
            yield harness
        finally:
            await end(task)
