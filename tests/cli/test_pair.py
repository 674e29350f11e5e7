from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import ReplaceForwarder, ReplaceReason
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import association_attempts
from ccarchiver_core.store.association_attempts import AssociationAttempt
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import mail_in
from tests.health.harness import entry
from tests.support.ledger_builder import EPOCH, SESSION

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner


async def list_forwarders(cli: CommandRunner, *names: str) -> None:
    for name in names:
        await cli.redis.lpush(keys.FORWARDER_LIST, entry(name).model_dump_json())


async def know(cli: CommandRunner, name: str, attempt: AssociationAttempt | None = None) -> None:
    transaction = Transaction().command("HSET", keys.KNOWN_FORWARDERS, f"{name}_consume", entry(name).model_dump_json())
    if attempt is not None:
        association_attempts.record(transaction, f"{name}_consume", attempt)
    await cli.ledger_builder.write(transaction)


async def test_the_roster_is_shown_in_the_order_health_asks(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await list_forwarders(cli, "fwd2", "fwd3", "fwd2")
    await cli.redis.rpush(keys.FORWARDER_LIST, "not JSON")
    await know(cli, "fwd1")
    await know(
        cli,
        "fwd4",
        AssociationAttempt(attempted_at=time.time() - 60, accepted=False, detail="nobody consumes queue fwd4"),
    )

    answer = await cli.types("pair", "show")
    shown = (await cli.types("pair", "show", "--json")).json

    assert answer.code == 0
    assert "fwd1 on queue fwd1_consume, epoch 1" in answer.words
    assert "stale? nobody consumes" in answer.words
    assert [one["hostname"] for one in shown["candidates"]] == ["not JSON", "fwd2", "fwd3", "fwd2", "fwd1", "fwd4"]
    assert [one["is_skipped"] for one in shown["candidates"]] == [True, False, False, False, True, False]
    assert [bool(one["stale"]) for one in shown["candidates"]] == [True, True, False, False, False, True]
    assert shown["next"] == "fwd2_consume"


async def test_a_wanted_forwarder_that_is_missing_is_not_well(cli: CommandRunner) -> None:
    await cli.pair()
    await cli.redis.hset(keys.SESSION, "pairing", "searching")
    await cli.redis.hdel(keys.SESSION, "forwarder")

    answer = await cli.types("pair", "show")

    assert answer.code == 1
    assert "searching, epoch 1" in answer.words
    assert "no Forwarder is listed or known" in answer.words


async def test_release_tells_health(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await cli.show_life(Worker.HEALTH)
    await list_forwarders(cli, "fwd2")

    answer = await cli.types("pair", "release", "--no-wait")
    as_json = (await cli.types("pair", "release", "--no-wait", "--json")).json

    assert as_json == {"released": "fwd1", "health_lives": True, "paired": None}
    assert answer.code == 0
    assert "fwd1: released" in answer.words
    [letter, _] = await mail_in(cli.redis, Worker.HEALTH)
    assert isinstance(letter, ReplaceForwarder)
    assert (letter.session_id, letter.epoch, letter.reason) == (SESSION, EPOCH, ReplaceReason.RELEASED)
    assert "fwd1" in letter.report


async def test_release_is_refused_when_none_is_paired(cli: CommandRunner) -> None:
    without_session = await cli.types("pair", "release")
    await cli.pair()
    await cli.redis.hset(keys.SESSION, "pairing", "searching")
    await cli.redis.hdel(keys.SESSION, "forwarder")
    searching = await cli.types("pair", "release")

    assert (without_session.code, searching.code) == (1, 1)
    assert "no session is wanted" in without_session.err
    assert "looking for one already" in searching.err
    assert await mail_in(cli.redis, Worker.HEALTH) == []


async def test_release_is_refused_when_nobody_could_take_over_unless_forced(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await know(cli, "fwd1")

    refused = await cli.types("pair", "release", "--no-wait")
    forced = await cli.types("pair", "release", "--no-wait", "--force")

    assert refused.code == 1
    assert "FAULT" in refused.err
    assert forced.code == 0
    assert "health shows no life" in forced.words
    assert len(await mail_in(cli.redis, Worker.HEALTH)) == 1


async def test_a_named_forwarder_is_put_before_all_others(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await list_forwarders(cli, "fwd2", "fwd3")
    await know(cli, "fwd4")

    await cli.types("pair", "next", "fwd3")
    assert (await cli.types("pair", "next", "--json")).json["next"] == "fwd3_consume"
    answer = await cli.types("pair", "next", "fwd4_consume")

    assert answer.code == 0
    shown = (await cli.types("pair", "next", "--json")).json
    assert [one["hostname"] for one in shown["candidates"]] == ["fwd4", "fwd3", "fwd2"]


async def test_the_paired_forwarder_is_never_listed_by_hand(cli: CommandRunner) -> None:
    """Health would take it for one that has been restarted."""
    await cli.pair("fwd1")
    await know(cli, "fwd1")

    answer = await cli.types("pair", "next", "fwd1")

    assert answer.code == 1
    assert "is paired" in answer.err
    assert await cli.redis.llen(keys.FORWARDER_LIST) == 0


async def test_nobody_next_and_nobody_of_that_name(cli: CommandRunner) -> None:
    assert (await cli.types("pair", "next")).code == 1
    assert "no Forwarder nobody" in (await cli.types("pair", "next", "nobody")).err
