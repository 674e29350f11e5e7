"""A fault takes a service away only from those who do not use it at that moment."""

from __future__ import annotations

import asyncio

from ccarchiver_sim.faults.services import ALL, NOTHING, Service, Services

REDIS = frozenset({Service.REDIS})
RABBITMQ = frozenset({Service.RABBITMQ})


async def settled() -> None:
    """Let all tasks run until each of them waits."""
    for _ in range(10):
        await asyncio.sleep(0)


class Block:
    """A task that is in a block until it is told to leave."""

    def __init__(self, context: object) -> None:
        self._context = context
        self._may_leave = asyncio.Event()
        self.is_inside = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._context:  # type: ignore[attr-defined] # a context manager
            self.is_inside = True
            await self._may_leave.wait()
        self.is_inside = False

    async def leave(self) -> None:
        self._may_leave.set()
        await self._task
        await settled()


async def test_user_waits_until_the_service_is_there_again() -> None:
    services = Services()
    fault = Block(services.removing(REDIS))
    await settled()
    user = Block(services.using(ALL))
    await settled()
    assert (fault.is_inside, user.is_inside) == (True, False)
    await fault.leave()
    assert user.is_inside
    await user.leave()


async def test_fault_waits_until_the_last_user_has_finished() -> None:
    services = Services()
    users = [Block(services.using(REDIS)) for _ in range(2)]
    await settled()
    fault = Block(services.removing(REDIS))
    await settled()
    await users[0].leave()
    assert not fault.is_inside
    await users[1].leave()
    assert fault.is_inside
    await fault.leave()


async def test_two_faults_take_away_the_same_service_at_the_same_time() -> None:
    services = Services()
    faults = [Block(services.removing(REDIS)) for _ in range(2)]
    await settled()
    user = Block(services.using(REDIS))
    await settled()
    assert all(fault.is_inside for fault in faults)
    await faults[0].leave()
    assert not user.is_inside
    await faults[1].leave()
    assert user.is_inside
    await user.leave()


async def test_other_services_stay() -> None:
    services = Services()
    fault = Block(services.removing(REDIS))
    await settled()
    users = [Block(services.using(RABBITMQ)), Block(services.using(NOTHING))]
    await settled()
    assert all(user.is_inside for user in users)
    for block in (*users, fault):
        await block.leave()
