from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.testbed.brokers.ports import free_port
from tests.support.ledger_builder import Progress

if TYPE_CHECKING:
    import pytest

    from tests.cli.cli_runner import CommandRunner

ENABLED, FAULT = 2, 3


async def well(cli: CommandRunner) -> None:
    """Write the records of a healthy archiver."""
    await cli.csc(ENABLED)
    await cli.pair("fwd1")
    await cli.write_heartbeats(Worker.SAL, Worker.HEALTH)
    now = time.time()
    await cli.write_heartbeats(
        Worker.BRIDGE, link_since=now - 3630, published_at=now - 1830, publish_s=0.002
    )


async def test_status_of_a_healthy_archiver_exits_0_and_shows_every_part(
    cli: CommandRunner,
) -> None:
    await well(cli)
    await cli.ledger_builder.exposure(
        "CC_O_20261122_000007", 7, time.time() - 5, Progress.RETRIEVED, files=3
    )

    answer = await cli.run("status")

    assert answer.code == 0, answer.out
    for part in (
        "CCArchiver ENABLED",
        "no alarms",
        "fwd1 on queue fwd1_consume for 2 h 0 min, epoch 1",
        "fwd1_association has",
        "1 in progress; last hour: 1 accepted, 0 complete",
        "CC_O_20261122_000007 accepted",
        "the Forwarder: 3 of 9 files retrieved",
        "dead letters 0",
        "80 MB",
        "append-only, fsync always: a crash loses nothing",
        "connected for 1 h 0 min; last message 30 min",
        "confirmed in 2.0 ms",
    ):
        assert part in answer.words


async def test_status_prints_alarms_first_with_their_remedies(cli: CommandRunner) -> None:
    await well(cli)
    await cli.csc(FAULT, error_code="5755", error_report="the Forwarder is gone")
    await cli.redis.delete(Worker.BRIDGE.alive)
    await cli.ledger_builder.stalled(
        "CC_O_20261122_000001", 1, time.time() - 600, Progress.RECEIVED
    )

    answer = await cli.run("status")

    assert answer.code == 1
    at = [
        answer.words.index(text)
        for text in (
            "the CSC is in FAULT with 5755: the Forwarder is gone",
            "worker ccarchiver:bridge sends no heartbeat",
            "supervisorctl restart ccarchiver:bridge",
            "1 image is stalled: CC_O_20261122_000001 waits for the Controller",
            "ccarchiver image CC_O_20261122_000001",
            "fwd1 on queue fwd1_consume",
        )
    ]
    assert at == sorted(at)
    assert "unknown: the bridge is down" in answer.words


async def test_status_json_has_the_verdict_and_all_that_is_shown(cli: CommandRunner) -> None:
    await well(cli)
    transaction = Transaction()
    dead_letters.add(transaction, cli.settings, origin="q", reason="odd", raw=b"x")
    await cli.ledger_builder.write(transaction)

    answer = await cli.run("status", "--json")

    assert answer.code == 1
    assert answer.json["well"] is False
    assert [alarm["name"] for alarm in answer.json["alarms"]] == ["dead_letters"]
    assert answer.json["alarms"][0]["text"].endswith(" s old, from q: odd")
    assert answer.json["csc"]["state"] == "ENABLED"
    assert answer.json["broker"]["publish_s"] == 0.002
    assert answer.json["pairing"]["hostname"] == "fwd1"
    assert answer.json["dead_letters"] == 1
    assert answer.json["supervisord"] is None


async def test_status_shows_the_last_known_state_of_a_csc_that_is_down(cli: CommandRunner) -> None:
    await well(cli)
    await cli.redis.hset(keys.CSC, "alive_at", time.time() - 3600)

    answer = await cli.run("status")

    assert "ENABLED when last seen, 1 h 0 min ago" in answer.words


async def test_status_without_redis_reports_redis_and_supervisord_as_unavailable(
    cli: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    (cli.folder / "ccarchiver_config.yaml").write_text(
        f"ROOT: {{REDIS_HOST: 127.0.0.1, REDIS_PORT: {port}}}"
    )
    monkeypatch.setenv("CCARCHIVER_RUN_DIR", str(cli.folder))

    answer = await cli.run("status")
    as_json = await cli.run("status", "--json")

    assert answer.code == as_json.code == 69
    assert f"Redis at 127.0.0.1:{port} (database 14) refused the connection" in answer.words
    assert "supervisord does not answer" in answer.words
    assert [alarm["name"] for alarm in as_json.json["alarms"]] == ["redis_unavailable"]


async def test_status_with_a_wrong_site_file_exits_with_the_config_code(cli: CommandRunner) -> None:
    (cli.folder / "ccarchiver_config.yaml").write_text("ROOT: {REDIS_PROT: 1}")

    answer = await cli.run("status")

    assert answer.code == 78
    assert "REDIS_PROT" in answer.err
