from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from ccarchiver_core.config.settings import Settings
from ccarchiver_core.keys import Worker
from ccarchiver_health.web import assets
from ccarchiver_health.web.security import HEADERS, is_valid_host, own_names
from tests.core.redis_helpers import holding, looking_into
from tests.health.web.web_client import accept, page_site, served, write_csc_state, write_heartbeats

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_sim.testbed.brokers import PrivateRedis

MARKUP = '<img src=x onerror="alert(1)">'
STANDBY = 5


async def test_page_and_every_file_it_references_are_served_with_their_type(
    fresh_redis: PrivateRedis,
) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        index = await client.ask("/")
        assert index.headers["Content-Type"] == "text/html; charset=utf-8"
        named = re.findall(r'(?:href|src)="(static/[^"]+)"', index.text)
        assert len(named) == 3
        night = await client.ask("/night")
        named += re.findall(r'(?:href|src)="(static/[^"]+)"', night.text)
        scripts = [f"static/{path.name}" for path in assets.FOLDER.glob("*.js")]
        for name in {*named, *scripts}:
            answer = await client.ask(f"/{name}")
            assert answer.status == 200, name
            assert answer.headers["Content-Type"].startswith(
                assets.CONTENT_TYPES[Path(name).suffix]
            ), name


def test_page_has_no_inline_script_or_style_and_no_script_creates_html_from_text() -> None:
    index = (assets.FOLDER / assets.INDEX).read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|<script(?![^>]*\bsrc=)|\son\w+=|javascript:", index)
    for path in (path for folder in assets.FOLDERS for path in folder.glob("*.js")):
        script = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|https?://(?!www\.w3)",
            script,
        ), path


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/app.js",
        "/healthz",
        "/nothing",
        "/static/nothing",
        "/api/image?name=x",
        "/night",
    ],
)
async def test_every_response_has_the_restrictive_headers(
    fresh_redis: PrivateRedis, path: str
) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        answer = await client.ask(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/static/",
        "/static/nothing.js",
        "/static/../server.py",
        "/static/%2e%2e%2fserver.py",
        "/server.py",
    ],
)
async def test_paths_outside_the_page_are_not_served(fresh_redis: PrivateRedis, path: str) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        assert (await client.ask(path)).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/image", "/events"])
async def test_write_methods_are_rejected(
    fresh_redis: PrivateRedis, method: str, path: str
) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        answer = await client.ask(path, method)
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD"


async def test_head_returns_only_the_headers(fresh_redis: PrivateRedis) -> None:
    async with served(page_site(fresh_redis.port)) as (server, client):
        answer = await client.ask("/", "HEAD")
        assert (answer.status, answer.text) == (200, "")
        assert (await client.ask("/events", "HEAD")).status == 405, (
            "HEAD is not supported for a stream"
        )
        assert server.broadcaster.listening == 0


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LocalHost:9000", True),
        ("127.0.0.1:8094", True),
        ("10.4.1.20:80", True),
        ("[::1]:8094", True),
        ("archiver01.site", True),
        ("archiver01.site:8094", True),
        ("status.site", True),
        ("Comcam.Site:443", True),
        ("other.site", False),
        ("x.status.site", False),
        ("rebound.example", False),
        ("rebound.example:8094", False),
        ("localhost.rebound.example", False),
        ("127.0.0.1.rebound.example", False),
        ("[::1", False),
        ("[::1].rebound.example", False),
        ("", False),
        ("[not-an-address]", False),
    ],
)
def test_only_hosts_that_cannot_be_rebound_are_allowed(host: str, *, allowed: bool) -> None:
    site = {"STATUS_HOST": "archiver01.site", "STATUS_NAMES": "Status.site, comcam.site"}
    names = own_names(Settings.model_validate(site))
    assert is_valid_host(host, names) is allowed


async def test_request_with_a_rebound_host_name_is_rejected(fresh_redis: PrivateRedis) -> None:
    async with served(page_site(fresh_redis.port)) as (_server, client):
        for path in ("/", "/healthz", "/events", "/api/snapshot"):
            answer = await client.ask(path, Host="rebound.example")
            assert answer.status == 421
            assert "STATUS_NAMES" in answer.text
        assert (await client.ask("/", Host="localhost:9000")).status == 200, (
            "the host name that an SSH tunnel uses"
        )


async def test_page_answers_under_the_name_of_a_proxy(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port, STATUS_NAMES=["archiver.example"])
    async with served(settings) as (_server, client):
        assert (await client.ask("/", Host="archiver.example")).status == 200
        assert (await client.ask("/", Host="rebound.example")).status == 421


async def test_cross_site_request_is_rejected(fresh_redis: PrivateRedis) -> None:
    behind = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with served(page_site(fresh_redis.port)) as (server, client):
        assert (await client.ask("/events", **behind)).status == 403
        assert server.broadcaster.listening == 0
        assert (await client.ask("/", **followed)).status == 200


async def test_healthz_returns_503_on_a_critical_alarm(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        unhealthy = await client.ask("/healthz")
        assert (unhealthy.status, unhealthy.json["status"]) == (503, "critical")
        assert {alarm["name"] for alarm in unhealthy.json["alarms"]} >= {"worker_unavailable"}
        await write_heartbeats(redis)
        await write_csc_state(redis, STANDBY)

    async with served(settings) as (_server, client):
        well = await client.ask("/healthz")
    assert (well.status, well.json["status"], well.json["csc"]) == (200, "well", "STANDBY")
    assert well.json["alarms"] == []


async def test_healthz_returns_200_on_a_warning(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    async with looking_into(settings) as redis, served(settings) as (_server, client):
        await write_heartbeats(redis)
        await redis.xadd(
            "ccarchiver:dead_letters",
            {"at": "t", "origin": "o", "reason": "r", "obsid": "", "raw": b""},
        )
        answer = await client.ask("/healthz")
    assert (answer.status, answer.json["status"]) == (200, "warning")
    assert [alarm["name"] for alarm in answer.json["alarms"]] == ["dead_letters"]


async def test_api_image_finds_an_image_with_any_name(fresh_redis: PrivateRedis) -> None:
    settings = page_site(fresh_redis.port)
    async with holding(Worker.SAL, settings) as sal, served(settings) as (_server, client):
        await accept(sal, MARKUP)
        quoted = (
            MARKUP.replace("<", "%3C").replace(" ", "%20").replace('"', "%22").replace(">", "%3E")
        )
        answer = await client.ask(f"/api/image?name={quoted}")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.json["summary"]["obsid"] == MARKUP
        assert [entry["what"] for entry in answer.json["timeline"]] == ["startIntegration received"]
        assert len(answer.json["ccds"]) == settings.files_per_image
        assert (await client.ask("/api/image?name=nothing")).status == 404
        for path in ("/api/image", "/api/image?name="):
            answer = await client.ask(path)
            assert answer.status == 400
            assert "the parameter name is missing" in answer.text


async def test_metrics_endpoint_returns_the_output_of_the_renderer(
    fresh_redis: PrivateRedis,
) -> None:
    async def render(redis: Redis, settings: Settings) -> tuple[bytes, str]:
        assert await redis.ping()
        return f"port {settings.redis_port}\n".encode(), "text/plain; version=1.0.0; charset=utf-8"

    async with served(page_site(fresh_redis.port), render) as (_server, client):
        answer = await client.ask("/metrics")
    assert answer.text == f"port {fresh_redis.port}\n"
    assert answer.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"


async def test_exception_in_a_handler_returns_500_and_the_page_continues(
    fresh_redis: PrivateRedis,
) -> None:
    async def render(_redis: Redis, _settings: Settings) -> tuple[bytes, str]:
        raise ZeroDivisionError("a secret of the implementation")

    with capture_logs() as logs:
        async with served(page_site(fresh_redis.port), render) as (_server, client):
            crashed = await client.ask("/metrics")
            assert (await client.ask("/")).status == 200
    assert crashed.status == 500
    assert "secret" not in crashed.text
    assert crashed.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    [line] = [line for line in logs if line["event"] == "page.request_failed"]
    assert line["path"] == "/metrics"
