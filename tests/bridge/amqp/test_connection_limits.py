"""A RabbitMQ that accepts no further connection: its reason and the remedy reach the operator."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ccarchiver_bridge.amqp.connection import AmqpConnection
from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_cli.doctor import rabbit_server as server_checks
from ccarchiver_core.config.settings import Settings
from tests.bridge.peer import credentials_of
from tests.cli.doctor.doctor_helpers import only, run_check, site_of, write_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

LIMITS = '{"max-connections": 0}'


@contextmanager
def vhost_limit(rabbit: PrivateRabbit, vhost: str) -> Iterator[None]:
    """Allow no connection to a virtual host for the duration of a block."""
    rabbit.control("set_vhost_limits", "-p", vhost, LIMITS)
    try:
        yield
    finally:
        rabbit.control("clear_vhost_limits", "-p", vhost)


@contextmanager
def user_limit(rabbit: PrivateRabbit, _vhost: str) -> Iterator[None]:
    """Allow no connection of the user for the duration of a block."""
    rabbit.control("set_user_limits", rabbit.user, LIMITS)
    try:
        yield
    finally:
        rabbit.control("clear_user_limits", rabbit.user, "max-connections")


@pytest.mark.parametrize("limit", [vhost_limit, user_limit])
async def test_limit_of_connections_is_named_with_its_remedy(
    rabbit_server: PrivateRabbit,
    fresh_vhost: str,
    fresh_redis: PrivateRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: Callable[[PrivateRabbit, str], AbstractContextManager[None]],
) -> None:
    settings = Settings.model_validate({"BASE_BROKER_ADDR": rabbit_server.address_of(fresh_vhost)})
    path = write_credentials(tmp_path / "credentials", rabbit_server.user, rabbit_server.password)
    monkeypatch.setenv("IIP_CREDENTIAL_DIR", str(path.parent))
    with limit(rabbit_server, fresh_vhost):
        with pytest.raises(AmqpError) as caught:
            await AmqpConnection.open(settings, credentials_of(rabbit_server))
        found = only(
            run_check(server_checks.reach, site_of(fresh_redis, rabbit_server, fresh_vhost))
        )
    for text, remedy in ((str(caught.value), caught.value.remedy), (found.found, found.remedy)):
        assert "it accepts no further connection: NOT_ALLOWED" in text
        assert "connection limit (0) is reached" in text
        assert "raise the limit: rabbitmqctl" in remedy
        assert "add_vhost" not in remedy
