from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli.deadletters import EXAMPLE
from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import Requeue
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.dead_letters import ENTRY_ID
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import messages_in

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner


async def store_dead_letter(cli: CommandRunner, origin: str, raw: bytes, obsid: str = "") -> None:
    transaction = Transaction()
    dead_letters.add(
        transaction, cli.settings, origin=origin, reason="it is odd", raw=raw, obsid=obsid
    )
    await cli.ledger_builder.write(transaction)


async def origins(cli: CommandRunner) -> list[str]:
    return [entry.origin for entry in await dead_letters.newest(cli.redis, 100)]


async def test_dead_letters_are_listed_newest_first_and_shown_in_full(cli: CommandRunner) -> None:
    await store_dead_letter(cli, "first", b"\x00one")
    await store_dead_letter(cli, "second", b"two", obsid="CC_O_20261122_000001")

    listed = await cli.run("deadletter", "list")
    newest, oldest = (await cli.run("deadletter", "list", "--json")).json
    shown = await cli.run("deadletter", "show", oldest["id"])

    assert listed.words.index("second, image CC_O_20261122_000001") < listed.words.index("first")
    assert newest["id"] in listed.out
    assert (newest["origin"], oldest["raw"]) == ("second", "b'\\x00one'")
    assert "b'\\x00one'" in shown.out
    assert len((await cli.run("deadletter", "list", "--origin", "first", "--json")).json) == 1


async def test_requeue_sends_one_or_all_of_an_origin_oldest_first(cli: CommandRunner) -> None:
    for number in (1, 2):
        await store_dead_letter(cli, "queue", b"%d" % number)
    await store_dead_letter(cli, keys.UNFINISHED, b"{}", obsid="i")

    some = await cli.run("deadletter", "requeue", "--all", "--origin", "queue")
    rest = await cli.run("deadletter", "requeue", "--all")
    as_json = await cli.run("deadletter", "requeue", "--all", "--json")

    assert some.code == 0
    assert (
        some.words.count(": requeued to queue; if rejected again, it returns as a dead letter") == 2
    )
    assert rest.code == 1
    assert [one["done"] for one in as_json.json] == [False]
    assert "ccarchiver image i --retry" in " ".join(rest.err.split())
    raws = [
        message.raw
        for message in await messages_in(cli.redis, keys.Worker.BRIDGE)
        if isinstance(message, Requeue)
    ]
    assert raws == [b"1", b"2"]
    assert await origins(cli) == [keys.UNFINISHED]


async def test_drop_deletes_one_or_all_dead_letters(cli: CommandRunner) -> None:
    for origin in ("a", "b", "b"):
        await store_dead_letter(cli, origin, b"")
    [entry] = (await cli.run("deadletter", "list", "--origin", "a", "--json")).json

    dropped = await cli.run("deadletter", "drop", entry["id"])
    assert (dropped.code, dropped.out) == (0, f"{entry['id']}: dropped\n")
    assert await origins(cli) == ["b", "b"]
    declined = await cli.run("deadletter", "drop", "--all")
    assert declined.code == 1
    assert "add --yes" in declined.err
    assert len((await cli.run("deadletter", "list", "--json")).json) > 0
    assert (await cli.run("deadletter", "drop", "--all", "--yes")).code == 0
    assert await origins(cli) == []


@pytest.mark.parametrize(
    "words", [["list"], ["requeue", "--all"], ["drop", "--all"], ["drop", "--all", "--yes"]]
)
async def test_command_for_all_dead_letters_prints_that_there_are_none(
    cli: CommandRunner, words: list[str]
) -> None:
    empty = await cli.run("deadletter", *words)
    as_json = await cli.run("deadletter", *words, "--json")
    await store_dead_letter(cli, "queue", b"")
    of_origin = await cli.run("deadletter", *words, "--origin", "other")

    assert (empty.code, empty.out) == (0, "no dead letters\n")
    assert (as_json.code, as_json.json) == (0, [])
    assert (of_origin.code, of_origin.out) == (0, "no dead letters from other\n")
    assert await origins(cli) == ["queue"]


async def test_requeue_and_drop_need_either_an_id_or_all(cli: CommandRunner) -> None:
    assert (await cli.run("deadletter", "drop")).code == 2
    assert (await cli.run("deadletter", "drop", "1-0", "--all")).code == 2


@pytest.mark.parametrize("command", ["show", "requeue", "drop"])
@pytest.mark.parametrize("word", ["1", "CC_O_20261122_000001", f"{10**25}-0"])
async def test_word_that_is_no_id_is_a_usage_error_that_explains_ids(
    cli: CommandRunner, command: str, word: str
) -> None:
    answer = await cli.run("deadletter", command, word)

    text = " ".join(answer.err.replace("│", " ").split())
    assert answer.code == 2
    assert f"'ENTRY_ID': '{word}' is not the id of a dead letter." in text
    assert f"An id looks like {EXAMPLE}; ccarchiver deadletter list shows the ids" in text
    assert ENTRY_ID.fullmatch(EXAMPLE)


@pytest.mark.parametrize("command", ["show", "requeue", "drop"])
async def test_id_of_no_dead_letter_is_not_found(cli: CommandRunner, command: str) -> None:
    answer = await cli.run("deadletter", command, "1-0")

    assert (answer.code, answer.out) == (1, "")
    assert "no dead letter 1-0; see: ccarchiver deadletter list" in answer.err
