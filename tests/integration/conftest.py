"""An archiver with three supervised workers for many tests, or for those of one module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.support.archiver_harness import ArchiverHarness, short, staged
from tests.support.cli_server import CliServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit
    from tests.support.brokers import VhostPool

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that share an archiver last: it is up only for them and for those in between."""
    sharing = {
        item.path for item in items if "stage" in getattr(item, "fixturenames", ()) and HERE in item.path.parents
    }
    items.sort(key=lambda item: item.path in sharing)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def harness(
    tmp_path_factory: pytest.TempPathFactory, rabbit_server: PrivateRabbit, vhosts: VhostPool
) -> AsyncIterator[ArchiverHarness]:
    """An archiver for the tests of all modules that leave it as they found it; starting one takes 15 s of a core.

    It has a Redis of its own, and a virtual host of the session's RabbitMQ. Its logs stay in pytest's folder.
    """
    folder = tmp_path_factory.mktemp("stage")
    with PrivateRedis(folder / "redis") as server:
        async with staged(folder, redis_server=server, rabbit=rabbit_server, vhost=vhosts.take()) as ready:
            yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_stage(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
) -> AsyncIterator[ArchiverHarness]:
    """The same for one module, which has ROOT keys of its own in SETTINGS."""
    folder = tmp_path_factory.mktemp("stage")
    settings = short(**request.module.SETTINGS)
    with PrivateRedis(folder / "redis") as server:
        async with staged(folder, settings, redis_server=server, rabbit=rabbit_server, vhost=vhosts.take()) as ready:
            yield ready


@pytest.fixture(scope="package")
def cli_server() -> Iterator[CliServer]:
    """Runs `ccarchiver`."""
    with CliServer() as ready:
        yield ready


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a temporary folder that is not named after its test: the path of a socket in it must be short."""
    return tmp_path_factory.mktemp("s")
