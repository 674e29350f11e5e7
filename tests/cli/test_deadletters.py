from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import Requeue
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import mail_in

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
    assert rest.code == 1
    assert [one["done"] for one in as_json.json] == [False]
    assert "ccarchiver image i --retry" in " ".join(rest.err.split())
    raws = [
        message.raw
        for message in await mail_in(cli.redis, keys.Worker.BRIDGE)
        if isinstance(message, Requeue)
    ]
    assert raws == [b"1", b"2"]
    assert await origins(cli) == [keys.UNFINISHED]


async def test_drop_deletes_one_or_all_dead_letters(cli: CommandRunner) -> None:
    for origin in ("a", "b", "b"):
        await store_dead_letter(cli, origin, b"")
    [entry] = (await cli.run("deadletter", "list", "--origin", "a", "--json")).json

    assert (await cli.run("deadletter", "drop", entry["id"])).code == 0
    assert await origins(cli) == ["b", "b"]
    declined = await cli.run("deadletter", "drop", "--all")
    assert declined.code == 1
    assert "add --yes" in declined.err
    assert len((await cli.run("deadletter", "list", "--json")).json) > 0
    assert (await cli.run("deadletter", "drop", "--all", "--yes")).code == 0
    assert await origins(cli) == []
    assert (await cli.run("deadletter", "drop", "--all", "--json")).json == []
    assert "no dead letters" in (await cli.run("deadletter", "list")).out


async def test_requeue_and_drop_need_either_an_id_or_all(cli: CommandRunner) -> None:
    assert (await cli.run("deadletter", "drop")).code == 2
    assert (await cli.run("deadletter", "drop", "1-0", "--all")).code == 2
    assert (await cli.run("deadletter", "drop", "1-0")).code == 1
    assert (await cli.run("deadletter", "show", f"{10**25}-0")).code == 1
