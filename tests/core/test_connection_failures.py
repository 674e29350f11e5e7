"""Texts about a failed connection to Redis, each from a real failure where one can be made."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from redis import exceptions

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.redis.connection_failures import Cause, cause_of, failure_remedy
from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEYS = "REDIS_HOST and REDIS_PORT"


async def failure_of(port: int, **root: object) -> BaseException:
    """Return the error of a command to a server that is no Redis."""
    client = make_client(Settings.model_validate({"REDIS_PORT": port, **root}))
    client.timeout = 0.5
    with pytest.raises(UNAVAILABLE_ERRORS) as caught:
        await client.ping()
    await client.aclose()
    return caught.value


@contextlib.asynccontextmanager
async def server(*, hangs: bool) -> AsyncIterator[int]:
    """Run a server that closes each connection, or never answers; yield its port."""
    writers = []

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if not hangs:
            writer.close()

    listening = await asyncio.start_server(accept, LOOPBACK, 0)
    yield listening.sockets[0].getsockname()[1]
    for writer in writers:
        writer.close()
    listening.close()


@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
async def test_refused_connection_is_reported_as_refused(host: str) -> None:
    error = await failure_of(free_port(), REDIS_HOST=host)
    assert describe(error) == "refused the connection (nothing listens there)"
    assert failure_remedy(error, KEYS) == f"start Redis on that host, or correct {KEYS}"


async def test_command_without_a_reply_is_reported_with_its_time_limit() -> None:
    async with server(hangs=True) as port:
        error = await failure_of(port)
    assert describe(error) == "accepted the connection but did not answer within 0.5 s"
    assert "process" in failure_remedy(error, KEYS)


async def test_closed_connection_is_reported_as_closed() -> None:
    async with server(hangs=False) as port:
        error = await failure_of(port)
    assert describe(error) == "closed the connection before it answered"


async def test_host_name_without_an_address_is_reported() -> None:
    error = await failure_of(6379, REDIS_HOST="no-such-host.invalid", ALLOW_REMOTE_PLAINTEXT=True)
    assert describe(error) == "cannot be reached: its host name cannot be resolved"


async def test_hanging_tls_handshake_is_not_reported_as_an_accepted_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ccarchiver_core.redis.client.CONNECT_TIMEOUT", 0.2)
    async with server(hangs=True) as port:
        error = await failure_of(port, REDIS_TLS={"USE": True})
    assert describe(error) == "cannot be reached: no connection within the time limit"


async def test_sentinel_that_is_down_is_reported_at_once_and_as_refused() -> None:
    ports = free_port(), free_port()
    addresses = [f"{LOOPBACK}:{port}" for port in ports]
    error = await failure_of(6379, REDIS_SENTINELS=addresses)
    refused = "refused the connection (nothing listens there)"
    assert describe(error) == (
        "does not answer: no Sentinel names the master: "
        f"{addresses[0]} {refused}; {addresses[1]} {refused}"
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(113, "No route to host"), Cause.UNREACHABLE),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111]"),
            Cause.REFUSED,
        ),
        (OSError("Multiple exceptions: [Errno 111] refused, [Errno 113] no route"), Cause.OTHER),
        (exceptions.TimeoutError("Timeout reading from 127.0.0.1:6379"), Cause.NO_ANSWER),
        (TimeoutError(), Cause.NO_ANSWER),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), Cause.LOADING),
        (socket.gaierror(-2, "Name or service not known"), Cause.UNKNOWN_HOST),
        (exceptions.ConnectionError("a text of a later redis-py"), Cause.OTHER),
    ],
)
def test_cause_of_an_error(error: Exception, cause: Cause) -> None:
    assert cause_of(error) is cause
    assert "Errno" not in describe(error) or cause is Cause.OTHER
    assert failure_remedy(error, KEYS)


def test_unknown_error_keeps_its_own_text() -> None:
    error = exceptions.ConnectionError("a text of a later redis-py.")
    assert describe(error) == "does not answer: a text of a later redis-py"


def test_error_that_redis_returned_is_not_reported_as_no_answer() -> None:
    error = exceptions.ResponseError("WRONGTYPE Operation against a key")
    assert describe(error) == "returned an error: WRONGTYPE Operation against a key"


def test_failed_tls_connection_is_reported_with_the_reason_of_openssl() -> None:
    reason = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
    error = exceptions.ConnectionError("Error 1 connecting to 127.0.0.1:6380.")
    error.__context__ = ssl.SSLError(1, f"{reason} (_ssl.c:1006)")
    assert describe(error) == f"cannot be reached: the TLS connection failed: {reason}"
    assert "Encrypted connections" in failure_remedy(error, KEYS)
