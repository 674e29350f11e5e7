"""A connection to a replica is refused, even if the Sentinels name it as master."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from ccarchiver_core.redis.sentinel import MasterConnection, MasterPool
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.core.test_sentinels import FakeSentinel, sentinels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes

USER, PASSWORD = "reader", "secret"


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[PrivateRedis]:
    """Start a replica. It needs no master."""
    with PrivateRedis(tmp_path, replica_of=free_port()) as server:
        yield server


@pytest.mark.parametrize("login", [{}, {"username": USER, "password": PASSWORD}])
async def test_replica_is_refused_even_without_permissions(
    replica: PrivateRedis, login: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccarchiver_core.redis.master_watch.MasterWatch.run", _nothing)
    async with Redis(host=LOOPBACK, port=replica.port, protocol=2) as admin:
        await admin.execute_command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "-@all")  # type: ignore[no-untyped-call]  # redis-py's
    pool = MasterPool(
        sentinels(FakeSentinel(1, (LOOPBACK, replica.port))),
        connection_class=MasterConnection,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **login,
    )
    with pytest.raises(RedisConnectionError, match="as master, but it is a replica"):
        await pool.get_connection()
    await pool.aclose()


async def _nothing(_watch: object) -> None:
    """Do not subscribe to the events of a Sentinel that is only simulated."""
