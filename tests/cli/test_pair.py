from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import ReplaceForwarder, ReplaceReason
from ccarchiver_core.keys import Worker
from ccarchiver_core.store import association_attempts
from ccarchiver_core.store.association_attempts import AssociationAttempt
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import messages_in
from tests.health.harness import entry
from tests.support.ledger_builder import EPOCH, SESSION

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner


async def list_forwarders(cli: CommandRunner, *names: str) -> None:
    for name in names:
        await cli.redis.lpush(keys.FORWARDER_LIST, entry(name).model_dump_json())


async def record_known(
    cli: CommandRunner, name: str, attempt: AssociationAttempt | None = None
) -> None:
    transaction = Transaction().command(
        "HSET", keys.KNOWN_FORWARDERS, f"{name}_consume", entry(name).model_dump_json()
    )
    if attempt is not None:
        association_attempts.record(transaction, f"{name}_consume", attempt)
    await cli.ledger_builder.write(transaction)


async def test_pair_show_lists_candidates_in_search_order(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await list_forwarders(cli, "fwd2", "fwd3", "fwd2")
    await cli.redis.rpush(keys.FORWARDER_LIST, "not JSON")
    await record_known(cli, "fwd1")
    await record_known(
        cli,
        "fwd4",
        AssociationAttempt(
            attempted_at=time.time() - 60, accepted=False, detail="queue fwd4 has no consumer"
        ),
    )

    answer = await cli.run("pair", "show")
    shown = (await cli.run("pair", "show", "--json")).json

    assert answer.code == 0
    assert "fwd1 on queue fwd1_consume, epoch 1" in answer.words
    assert "stale? queue fwd4 has no consumer" in answer.words
    assert [one["hostname"] for one in shown["candidates"]] == [
        "not JSON",
        "fwd2",
        "fwd3",
        "fwd2",
        "fwd1",
        "fwd4",
    ]
    assert [one["is_skipped"] for one in shown["candidates"]] == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]
    assert [bool(one["stale"]) for one in shown["candidates"]] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    assert shown["next"] == "fwd2_consume"


async def test_pair_show_of_a_list_full_of_malformed_entries_is_short(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await list_forwarders(cli, "fwd2")
    await cli.redis.rpush(keys.FORWARDER_LIST, *(f"junk {number}" for number in range(1000)))

    answer = await cli.run("pair", "show")
    shown = (await cli.run("pair", "show", "--json")).json

    assert answer.words.count("junk") == 3
    assert "1000 entries of the list are malformed, 3 are shown" in answer.words
    assert shown["malformed"] == 1000
    assert len(shown["candidates"]) == 4
    assert shown["next"] == "fwd2_consume"


async def test_malformed_entry_cannot_be_the_next_forwarder(cli: CommandRunner) -> None:
    await cli.redis.rpush(keys.FORWARDER_LIST, "junk")

    answer = await cli.run("pair", "next", "junk", "--yes")

    assert answer.code == 1
    assert await cli.redis.lrange(keys.FORWARDER_LIST, 0, -1) == [b"junk"]


async def test_pair_show_exits_1_while_no_forwarder_is_paired(cli: CommandRunner) -> None:
    await cli.pair()
    await cli.redis.hset(keys.SESSION, "pairing", "searching")
    await cli.redis.hdel(keys.SESSION, "forwarder")

    answer = await cli.run("pair", "show")

    assert answer.code == 1
    assert "searching, epoch 1" in answer.words
    assert "no Forwarder is listed or known" in answer.words


async def test_release_sends_replace_forwarder_to_health(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await cli.write_heartbeats(Worker.HEALTH)
    await list_forwarders(cli, "fwd2")

    answer = await cli.run("pair", "release", "--no-wait")
    as_json = (await cli.run("pair", "release", "--no-wait", "--json")).json

    assert as_json == {"released": "fwd1", "health_lives": True, "paired": None}
    assert answer.code == 0
    assert "fwd1: released" in answer.words
    [message, _] = await messages_in(cli.redis, Worker.HEALTH)
    assert isinstance(message, ReplaceForwarder)
    assert (message.session_id, message.epoch, message.reason) == (
        SESSION,
        EPOCH,
        ReplaceReason.RELEASED,
    )
    assert "fwd1" in message.report


async def test_release_is_rejected_when_no_forwarder_is_paired(cli: CommandRunner) -> None:
    without_session = await cli.run("pair", "release")
    await cli.pair()
    await cli.redis.hset(keys.SESSION, "pairing", "searching")
    await cli.redis.hdel(keys.SESSION, "forwarder")
    searching = await cli.run("pair", "release")

    assert (without_session.code, searching.code) == (1, 1)
    assert "no session is active" in without_session.err
    assert "already searching for one" in searching.err
    assert await messages_in(cli.redis, Worker.HEALTH) == []


async def test_release_without_a_successor_needs_force(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await record_known(cli, "fwd1")

    refused = await cli.run("pair", "release", "--no-wait")
    forced = await cli.run("pair", "release", "--no-wait", "--force")

    assert refused.code == 1
    assert "FAULT" in refused.err
    assert forced.code == 0
    assert "health is down" in forced.words
    assert len(await messages_in(cli.redis, Worker.HEALTH)) == 1


async def test_pair_next_puts_the_named_forwarder_first(cli: CommandRunner) -> None:
    await cli.pair("fwd1")
    await list_forwarders(cli, "fwd2", "fwd3")
    await record_known(cli, "fwd4")

    await cli.run("pair", "next", "fwd3")
    assert (await cli.run("pair", "next", "--json")).json["next"] == "fwd3_consume"
    answer = await cli.run("pair", "next", "fwd4_consume")

    assert answer.code == 0
    shown = (await cli.run("pair", "next", "--json")).json
    assert [one["hostname"] for one in shown["candidates"]] == ["fwd4", "fwd3", "fwd2"]


async def test_pair_next_rejects_the_paired_forwarder(cli: CommandRunner) -> None:
    """Health would treat it as a restarted Forwarder."""
    await cli.pair("fwd1")
    await record_known(cli, "fwd1")

    answer = await cli.run("pair", "next", "fwd1")

    assert answer.code == 1
    assert "is paired" in answer.err
    assert await cli.redis.llen(keys.FORWARDER_LIST) == 0


async def test_pair_next_exits_1_without_candidates_or_with_an_unknown_name(
    cli: CommandRunner,
) -> None:
    assert (await cli.run("pair", "next")).code == 1
    assert "no Forwarder unknown" in (await cli.run("pair", "next", "unknown")).err


async def test_pair_next_with_an_empty_name_exits_2(cli: CommandRunner) -> None:
    answer = await cli.run("pair", "next", "", "--yes")

    assert answer.code == 2
    assert "type a hostname or a queue" in answer.err_words
