"""The checks of Redis against real ones, configured wrongly one way after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from ccarchiver_cli.doctor import redis_data, redis_server
from ccarchiver_cli.doctor.finding import Finding, Level, NotCheckedError
from ccarchiver_cli.doctor.registry import CHECKS
from ccarchiver_cli.doctor.runner import run
from ccarchiver_core import keys
from ccarchiver_core.config.settings import Settings
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from tests.cli.doctor.doctor_helpers import look, only, site_of, unhurried

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes

LESS_THAN_IT_HOLDS = "less than it holds"

FORWARDERS_DB = 1


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A Redis whose configuration these tests change."""
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def client(server: PrivateRedis, db: int = 14) -> redis.Redis:
    return redis.Redis(host=LOOPBACK, port=server.port, db=db)


def test_a_redis_as_it_has_to_be(fresh_redis: PrivateRedis) -> None:
    site = site_of(fresh_redis)
    for check in (
        redis_server.reach,
        redis_server.persistence,
        redis_server.memory,
        redis_server.clock,
        redis_data.database,
    ):
        finding = only(look(check, site))
        assert finding.level is Level.OK, finding
    assert f"127.0.0.1:{fresh_redis.port} (database 14)" in only(look(redis_server.reach, site)).found


@pytest.mark.parametrize(
    ("name", "value", "back", "check", "level", "text"),
    [
        ("appendonly", "no", "yes", redis_server.persistence, Level.FAILURE, "appendonly is no"),
        ("appendfsync", "everysec", "always", redis_server.persistence, Level.WARNING, "appendfsync everysec"),
        ("maxmemory-policy", "allkeys-lru", "noeviction", redis_server.memory, Level.FAILURE, "allkeys-lru"),
        ("maxmemory", LESS_THAN_IT_HOLDS, "0", redis_server.memory, Level.FAILURE, "Redis is full"),
    ],
)
def test_a_wrong_configuration_is_found_and_the_command_mends_it(
    own_redis: PrivateRedis, name: str, value: str, back: str, check: object, level: Level, text: str
) -> None:
    assert callable(check)
    site = site_of(own_redis)
    with client(own_redis) as settings:
        held = int(settings.info("memory")["used_memory"])  # an empty Redis 8 holds less than an empty Redis 7
        settings.config_set(name, str(3 * held // 4) if value == LESS_THAN_IT_HOLDS else value)
        try:
            finding = only(look(check, site))
            assert finding.level is level
            assert text in finding.found
            command = finding.remedy.split(" (")[0].split()
            assert command[:5] == ["redis-cli", "-h", LOOPBACK, "-p", str(own_redis.port)]
            settings.execute_command(*command[5:])
            assert only(look(check, site)).level is Level.OK
        finally:
            settings.config_set(name, back)


def test_a_config_command_that_is_forbidden_is_said_to_be(own_redis: PrivateRedis) -> None:
    with client(own_redis) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-config")
        try:
            finding = only(look(redis_server.persistence, site_of(own_redis)))
        finally:
            admin.execute_command("ACL", "SETUSER", "default", "+config")
    assert finding.level is Level.WARNING
    assert "does not tell appendfsync" in finding.found


def test_no_redis_is_named_with_its_address_and_the_rest_is_not_checked() -> None:
    port = free_port()
    site = site_of(REDIS_HOST=LOOPBACK, REDIS_PORT=port)
    finding = only(look(redis_server.reach, site))
    assert finding.level is Level.FAILURE
    assert f"Redis at 127.0.0.1:{port} (database 14) does not answer" in finding.found
    assert f"redis-cli -h 127.0.0.1 -p {port} ping" in finding.remedy
    with pytest.raises(NotCheckedError, match="Redis does not answer"):
        look(redis_server.persistence, site)


def test_a_frozen_redis_holds_nobody_up(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path) as server:
        server.freeze()
        findings = run(unhurried(CHECKS, ("redis", "worker")), site_of(server))
    assert [(one.check, one.level) for one in findings] == [
        ("redis", Level.FAILURE),
        ("redis.persistence", Level.WARNING),
        ("redis.memory", Level.WARNING),
        ("redis.database", Level.WARNING),
        ("redis.clock", Level.WARNING),
        ("worker", Level.WARNING),
    ]
    assert "no answer" in findings[0].found
    assert {one.found for one in findings[1:]} == {"not checked: Redis does not answer"}


def test_a_database_that_redis_does_not_have(fresh_redis: PrivateRedis) -> None:
    finding = only(look(redis_server.reach, site_of(fresh_redis, ARCHIVER_REDIS_DB=99)))
    assert finding.level is Level.FAILURE
    assert "ARCHIVER_REDIS_DB" in finding.remedy


def test_an_old_redis_is_refused(fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "MIN_VERSION", (99, 1))
    finding = only(look(redis_server.reach, site_of(fresh_redis)))
    assert finding.level is Level.FAILURE
    assert finding.remedy == "install Redis 99.1 or later"


def database(server: PrivateRedis) -> Finding:
    return only(look(redis_data.database, site_of(server)))


def test_the_keys_of_a_night_are_no_strangers(fresh_redis: PrivateRedis) -> None:
    with client(fresh_redis) as ours:
        for name in (keys.SESSION, keys.image("CC_O_1"), "f99_association", "ccarchiver_association"):
            ours.set(name, "")
        ours.lpush(keys.FORWARDER_LIST, "{}")
    assert database(fresh_redis).level is Level.OK


def test_foreign_keys_in_our_database(fresh_redis: PrivateRedis) -> None:
    with client(fresh_redis) as ours:
        ours.mset({f"CC_O_{number}": "xfer" for number in range(5)})
    finding = database(fresh_redis)
    assert finding.level is Level.WARNING
    assert "has keys that are not the archiver's (5): CC_O_0, CC_O_1, CC_O_2 …" in finding.found
    assert f"-p {fresh_redis.port} -n 14 --scan" in finding.remedy


def test_an_archiver_in_the_forwarders_database(fresh_redis: PrivateRedis) -> None:
    with client(fresh_redis, FORWARDERS_DB) as theirs:
        theirs.set(keys.SESSION, "")
    finding = database(fresh_redis)
    assert finding.level is Level.FAILURE
    assert "database 1, which Forwarders empty at every start, has records of an archiver" in finding.found


def test_a_forwarder_that_lists_itself_where_nobody_looks(fresh_redis: PrivateRedis) -> None:
    with client(fresh_redis, FORWARDERS_DB) as theirs:
        theirs.lpush(keys.FORWARDER_LIST, "{}")
    finding = database(fresh_redis)
    assert finding.level is Level.WARNING
    assert "database 14 as the archiver's" in finding.remedy


@pytest.mark.parametrize(
    ("difference", "uncertainty", "text"),
    [
        (2.0, 0.01, "2.0 s ahead of this host's"),
        (-3.0, 0.01, "3.0 s behind this host's"),
        (2.0, 1.5, None),
        (0.9, 0.0, None),
    ],
)
def test_clocks_apart(difference: float, uncertainty: float, text: str | None) -> None:
    finding = redis_server.evaluate_clock(Settings(), difference, uncertainty)
    assert finding.level is (Level.WARNING if text else Level.OK)
    assert text is None or text in finding.found


@pytest.mark.parametrize(("used", "level"), [(50, Level.OK), (89, Level.OK), (95, Level.WARNING), (100, Level.FAILURE)])
def test_memory_that_runs_out(used: int, level: Level) -> None:
    info = {"maxmemory_policy": "noeviction", "maxmemory": 100_000_000, "used_memory": used * 1_000_000}
    finding = redis_server.evaluate_memory(Settings(), info)
    assert finding.level is level
    assert f"{used} of 100 MB" in finding.found


@pytest.mark.parametrize(
    ("info", "level", "text"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, Level.FAILURE, "could not write"),
        ({"aof_enabled": 1, "rdb_last_bgsave_status": "err"}, Level.WARNING, "snapshot"),
        ({"aof_enabled": 1, "aof_last_bgrewrite_status": "err"}, Level.WARNING, "rewrite"),
    ],
)
def test_a_disk_that_redis_cannot_write(info: dict[str, object], level: Level, text: str) -> None:
    finding = redis_server.evaluate_persistence(Settings(), info, "always")
    assert finding.level is level
    assert text in finding.found
