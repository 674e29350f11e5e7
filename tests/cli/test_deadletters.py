from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core import deadletter, keys
from ccarchiver_core.mail import Requeue
from ccarchiver_core.step import Step
from tests.core.place import mail_in

if TYPE_CHECKING:
    from tests.cli.operator import Operator


async def bury(operator: Operator, origin: str, raw: bytes, obsid: str = "") -> None:
    step = Step()
    deadletter.add(step, operator.settings, origin=origin, reason="it is odd", raw=raw, obsid=obsid)
    await operator.scribe.write(step)


async def origins(operator: Operator) -> list[str]:
    return [letter.origin for letter in await deadletter.newest(operator.redis, 100)]


async def test_letters_are_listed_newest_first_and_shown_whole(operator: Operator) -> None:
    await bury(operator, "first", b"\x00one")
    await bury(operator, "second", b"two", obsid="CC_O_20261122_000001")

    listed = await operator.types("deadletter", "list")
    newest, oldest = (await operator.types("deadletter", "list", "--json")).json
    shown = await operator.types("deadletter", "show", oldest["id"])

    assert listed.words.index("second, image CC_O_20261122_000001") < listed.words.index("first")
    assert newest["id"] in listed.out
    assert (newest["origin"], oldest["raw"]) == ("second", "b'\\x00one'")
    assert "b'\\x00one'" in shown.out
    assert len((await operator.types("deadletter", "list", "--origin", "first", "--json")).json) == 1


async def test_one_or_all_of_an_origin_are_sent_again_oldest_first(operator: Operator) -> None:
    for number in (1, 2):
        await bury(operator, "queue", b"%d" % number)
    await bury(operator, keys.UNFINISHED, b"{}", obsid="i")

    some = await operator.types("deadletter", "requeue", "--all", "--origin", "queue")
    rest = await operator.types("deadletter", "requeue", "--all")
    as_json = await operator.types("deadletter", "requeue", "--all", "--json")

    assert some.code == 0
    assert rest.code == 1
    assert [one["done"] for one in as_json.json] == [False]
    assert "ccarchiver image i --retry" in " ".join(rest.err.split())
    raws = [mail.raw for mail in await mail_in(operator.redis, keys.Worker.BRIDGE) if isinstance(mail, Requeue)]
    assert raws == [b"1", b"2"]
    assert await origins(operator) == [keys.UNFINISHED]


async def test_one_or_all_are_dropped(operator: Operator) -> None:
    for origin in ("a", "b", "b"):
        await bury(operator, origin, b"")
    [letter] = (await operator.types("deadletter", "list", "--origin", "a", "--json")).json

    assert (await operator.types("deadletter", "drop", letter["id"])).code == 0
    assert await origins(operator) == ["b", "b"]
    assert (await operator.types("deadletter", "drop", "--all", "--yes")).code == 0
    assert await origins(operator) == []
    assert (await operator.types("deadletter", "drop", "--all", "--json")).json == []
    assert "no dead letters" in (await operator.types("deadletter", "list")).out


async def test_an_id_or_all_not_both_and_not_neither(operator: Operator) -> None:
    assert (await operator.types("deadletter", "drop")).code == 2
    assert (await operator.types("deadletter", "drop", "1-0", "--all")).code == 2
    assert (await operator.types("deadletter", "drop", "1-0")).code == 1
    assert (await operator.types("deadletter", "show", f"{10**25}-0")).code == 1
