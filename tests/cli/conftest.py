"""A site with an empty Redis, and a command runner without a terminal, 80 columns wide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio
import yaml

from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.cli.cli_runner import CommandRunner
from tests.core.redis_helpers import looking_into, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from ccarchiver_sim.testbed.brokers import PrivateRedis


@pytest_asyncio.fixture
async def cli(
    fresh_redis: PrivateRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CommandRunner]:
    """Return a command runner on an empty Redis."""
    root = {"REDIS_HOST": LOOPBACK, "REDIS_PORT": fresh_redis.port}
    (tmp_path / "ccarchiver_config.yaml").write_text(
        yaml.safe_dump({"ROOT": root}), encoding="utf-8"
    )
    monkeypatch.setenv("IIP_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        yield CommandRunner(redis, settings, tmp_path)
