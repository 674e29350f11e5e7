from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.worker_messages import Requeue
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import mail_in

if TYPE_CHECKING:
    from tests.cli.cli_runner import CommandRunner


async def bury(cli: CommandRunner, origin: str, raw: bytes, obsid: str = "") -> None:
    transaction = Transaction()
    dead_letters.add(transaction, cli.settings, origin=origin, reason="it is odd", raw=raw, obsid=obsid)
    await cli.ledger_builder.write(transaction)


async def origins(cli: CommandRunner) -> list[str]:
    return [letter.origin for letter in await dead_letters.newest(cli.redis, 100)]


async def test_letters_are_listed_newest_first_and_shown_whole(cli: CommandRunner) -> None:
    await bury(cli, "first", b"\x00one")
    await bury(cli, "second", b"two", obsid="CC_O_20261122_000001")

    listed = await cli.types("deadletter", "list")
    newest, oldest = (await cli.types("deadletter", "list", "--json")).json
    shown = await cli.types("deadletter", "show", oldest["id"])

    assert listed.words.index("second, image CC_O_20261122_000001") < listed.words.index("first")
    assert newest["id"] in listed.out
    assert (newest["origin"], oldest["raw"]) == ("second", "b'\\x00one'")
    assert "b'\\x00one'" in shown.out
    assert len((await cli.types("deadletter", "list", "--origin", "first", "--json")).json) == 1


async def test_one_or_all_of_an_origin_are_sent_again_oldest_first(cli: CommandRunner) -> None:
    for number in (1, 2):
        await bury(cli, "queue", b"%d" % number)
    await bury(cli, keys.UNFINISHED, b"{}", obsid="i")

    some = await cli.types("deadletter", "requeue", "--all", "--origin", "queue")
    rest = await cli.types("deadletter", "requeue", "--all")
    as_json = await cli.types("deadletter", "requeue", "--all", "--json")

    assert some.code == 0
    assert rest.code == 1
    assert [one["done"] for one in as_json.json] == [False]
    assert "ccarchiver image i --retry" in " ".join(rest.err.split())
    raws = [message.raw for message in await mail_in(cli.redis, keys.Worker.BRIDGE) if isinstance(message, Requeue)]
    assert raws == [b"1", b"2"]
    assert await origins(cli) == [keys.UNFINISHED]


async def test_one_or_all_are_dropped(cli: CommandRunner) -> None:
    for origin in ("a", "b", "b"):
        await bury(cli, origin, b"")
    [letter] = (await cli.types("deadletter", "list", "--origin", "a", "--json")).json

    assert (await cli.types("deadletter", "drop", letter["id"])).code == 0
    assert await origins(cli) == ["b", "b"]
    assert (await cli.types("deadletter", "drop", "--all", "--yes")).code == 0
    assert await origins(cli) == []
    assert (await cli.types("deadletter", "drop", "--all", "--json")).json == []
    assert "no dead letters" in (await cli.types("deadletter", "list")).out


async def test_an_id_or_all_not_both_and_not_neither(cli: CommandRunner) -> None:
    assert (await cli.types("deadletter", "drop")).code == 2
    assert (await cli.types("deadletter", "drop", "1-0", "--all")).code == 2
    assert (await cli.types("deadletter", "drop", "1-0")).code == 1
    assert (await cli.types("deadletter", "show", f"{10**25}-0")).code == 1
