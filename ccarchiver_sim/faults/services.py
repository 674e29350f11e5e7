"""What a fault takes from the testbed itself, and what the testbed needs for a fault."""

import asyncio
import enum
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager


class Service(enum.Enum):
    """Something that the testbed uses and that a fault can take away from it.

    The proxies are only between the workers and the brokers, so a fault of the network takes
    nothing from the testbed.
    """

    REDIS = "Redis answers"
    REDIS_WRITES = "Redis accepts writes"
    RABBITMQ = "RabbitMQ answers"


NOTHING: frozenset[Service] = frozenset()
ALL = frozenset(Service)
"""What a simulated Forwarder needs to start."""


class Services:
    """Sequence of those who use a service and those who take it away.

    A fault that has begun takes a service away only after its users have finished, and a user waits
    until the service is there again. Several faults can take away the same service.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._users: Counter[Service] = Counter()
        self._removed: Counter[Service] = Counter()

    @asynccontextmanager
    async def using(self, services: Iterable[Service]) -> AsyncIterator[None]:
        """Wait until all these services are there, and keep them for the block."""
        async with self._counted(frozenset(services), self._users, self._removed):
            yield

    @asynccontextmanager
    async def removing(self, services: Iterable[Service]) -> AsyncIterator[None]:
        """Wait until no block uses these services. A user gets them after the block."""
        async with self._counted(frozenset(services), self._removed, self._users):
            yield

    @asynccontextmanager
    async def _counted(
        self, services: frozenset[Service], own: Counter[Service], others: Counter[Service]
    ) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not any(others[service] for service in services))
            own.update(services)
        try:
            yield
        finally:
            async with self._changed:
                own.subtract(services)
                self._changed.notify_all()
