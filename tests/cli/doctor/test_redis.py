"""The checks of Redis, run against real servers with one wrong setting each."""

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
from tests.cli.doctor.doctor_helpers import only, run_check, site_of, with_scaled_limits

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


def test_correct_redis_is_ok(fresh_redis: PrivateRedis) -> None:
    site = site_of(fresh_redis)
    for check in (
        redis_server.reach,
        redis_server.persistence,
        redis_server.memory,
        redis_server.clock,
        redis_data.database,
    ):
        finding = only(run_check(check, site))
        assert finding.level is Level.OK, finding
    assert (
        f"127.0.0.1:{fresh_redis.port} (database 14)"
        in only(run_check(redis_server.reach, site)).found
    )


@pytest.mark.parametrize(
    ("name", "value", "back", "check", "level", "text"),
    [
        ("appendonly", "no", "yes", redis_server.persistence, Level.FAILURE, "appendonly is no"),
        (
            "appendfsync",
            "everysec",
            "always",
            redis_server.persistence,
            Level.WARNING,
            "appendfsync everysec",
        ),
        (
            "maxmemory-policy",
            "allkeys-lru",
            "noeviction",
            redis_server.memory,
            Level.FAILURE,
            "allkeys-lru",
        ),
        ("maxmemory", LESS_THAN_IT_HOLDS, "0", redis_server.memory, Level.FAILURE, "Redis is full"),
    ],
)
def test_wrong_configuration_is_reported_and_the_remedy_corrects_it(
    own_redis: PrivateRedis,
    name: str,
    value: str,
    back: str,
    check: object,
    level: Level,
    text: str,
) -> None:
    assert callable(check)
    site = site_of(own_redis)
    with client(own_redis) as settings:
        held = int(
            settings.info("memory")["used_memory"]
        )  # an empty Redis 8 uses less memory than an empty Redis 7
        settings.config_set(name, str(3 * held // 4) if value == LESS_THAN_IT_HOLDS else value)
        try:
            finding = only(run_check(check, site))
            assert finding.level is level
            assert text in finding.found
            command = finding.remedy.split(" (")[0].split()
            assert command[:5] == ["redis-cli", "-h", LOOPBACK, "-p", str(own_redis.port)]
            settings.execute_command(*command[5:])
            assert only(run_check(check, site)).level is Level.OK
        finally:
            settings.config_set(name, back)


def test_forbidden_config_command_is_reported(own_redis: PrivateRedis) -> None:
    with client(own_redis) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-config")
        try:
            finding = only(run_check(redis_server.persistence, site_of(own_redis)))
        finally:
            admin.execute_command("ACL", "SETUSER", "default", "+config")
    assert finding.level is Level.WARNING
    assert "does not report appendfsync" in finding.found


def test_unreachable_redis_is_reported_with_address_and_ends_the_checks() -> None:
    port = free_port()
    site = site_of(REDIS_HOST=LOOPBACK, REDIS_PORT=port)
    finding = only(run_check(redis_server.reach, site))
    assert finding.level is Level.FAILURE
    assert f"Redis at 127.0.0.1:{port} (database 14) refused the connection" in finding.found
    assert f"redis-cli -h 127.0.0.1 -p {port} ping" in finding.remedy
    with pytest.raises(NotCheckedError, match="Redis does not answer"):
        run_check(redis_server.persistence, site)


def test_frozen_redis_is_reported_in_time(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path) as server:
        server.freeze()
        findings = run(with_scaled_limits(CHECKS, ("redis", "worker")), site_of(server))
    assert [(one.check, one.level) for one in findings] == [
        ("redis", Level.FAILURE),
        ("redis.persistence", Level.WARNING),
        ("redis.memory", Level.WARNING),
        ("redis.database", Level.WARNING),
        ("redis.records", Level.WARNING),
        ("redis.clock", Level.WARNING),
        ("worker", Level.WARNING),
    ]
    assert "accepted the connection but did not answer within 5 s" in findings[0].found
    assert {one.found for one in findings[1:]} == {"not checked: Redis does not answer"}


def test_database_number_out_of_range_is_reported(fresh_redis: PrivateRedis) -> None:
    finding = only(run_check(redis_server.reach, site_of(fresh_redis, ARCHIVER_REDIS_DB=99)))
    assert finding.level is Level.FAILURE
    assert "ARCHIVER_REDIS_DB" in finding.remedy


def test_old_redis_is_a_failure(fresh_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "MIN_VERSION", (99, 1))
    finding = only(run_check(redis_server.reach, site_of(fresh_redis)))
    assert finding.level is Level.FAILURE
    assert finding.remedy == "install Redis 99.1 or later"


def database(server: PrivateRedis) -> Finding:
    return only(run_check(redis_data.database, site_of(server)))


def test_keys_of_the_archiver_are_not_reported_as_foreign(fresh_redis: PrivateRedis) -> None:
    with client(fresh_redis) as ours:
        for name in (
            keys.SESSION,
            keys.image("CC_O_1"),
            "f99_association",
            "ccarchiver_association",
        ):
            ours.set(name, "")
        ours.lpush(keys.FORWARDER_LIST, "{}")
    assert database(fresh_redis).level is Level.OK


def test_foreign_keys_in_the_archiver_database_are_reported(fresh_redis: PrivateRedis) -> None:
    with client(fresh_redis) as ours:
        ours.mset({f"CC_O_{number}": "xfer" for number in range(5)})
    finding = database(fresh_redis)
    assert finding.level is Level.WARNING
    assert "has keys that are not the archiver's (5): CC_O_0, CC_O_1, CC_O_2 …" in finding.found
    assert f"-p {fresh_redis.port} -n 14 --scan" in finding.remedy


def test_archiver_keys_in_the_forwarder_database_are_reported(fresh_redis: PrivateRedis) -> None:
    with client(fresh_redis, FORWARDERS_DB) as theirs:
        theirs.set(keys.SESSION, "")
    finding = database(fresh_redis)
    assert finding.level is Level.FAILURE
    assert (
        "database 1, which Forwarders empty at every start, has records of an archiver"
        in finding.found
    )


def test_forwarder_list_in_the_wrong_database_is_reported(fresh_redis: PrivateRedis) -> None:
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
def test_redis_clock_offset_is_reported(
    difference: float, uncertainty: float, text: str | None
) -> None:
    finding = redis_server.evaluate_clock(Settings(), difference, uncertainty)
    assert finding.level is (Level.WARNING if text else Level.OK)
    assert text is None or text in finding.found


@pytest.mark.parametrize(
    ("used", "level"), [(50, Level.OK), (89, Level.OK), (95, Level.WARNING), (100, Level.FAILURE)]
)
def test_redis_memory_use_sets_the_level(used: int, level: Level) -> None:
    info = {
        "maxmemory_policy": "noeviction",
        "maxmemory": 100_000_000,
        "used_memory": used * 1_000_000,
    }
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
def test_redis_persistence_errors_are_reported(
    info: dict[str, object], level: Level, text: str
) -> None:
    finding = redis_server.evaluate_persistence(Settings(), info, "always")
    assert finding.level is level
    assert text in finding.found
