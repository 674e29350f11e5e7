from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage
from ccarchiver_core.domain.session import PairedForwarder, Pairing
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.status.alarms import Alarm, Severity, alarms_of
from ccarchiver_core.status.overview import Overview, collect, without_redis
from ccarchiver_core.store import dead_letters, session
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.testbed.brokers.ports import free_port
from tests.core.redis_helpers import looking_into, site
from tests.support.ledger_builder import LedgerBuilder, Progress

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRedis

FORWARDER = PairedForwarder(
    hostname="fwd1",
    ip_address="127.0.0.1",
    consume_queue="fwd1_consume",
    presence_key="fwd1_association",
    since=1.0,
)
NOW = 1_795_000_000.0


async def overview_after(server: PrivateRedis, *transactions: Transaction) -> Overview:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        await LedgerBuilder(redis, settings).write(*transactions)
        return await collect(redis, settings)


def alive(*workers: Worker, **fields: object) -> Transaction:
    transaction = Transaction()
    for worker in workers:
        transaction.command(
            "SET",
            worker.alive,
            Heartbeat(worker=worker).model_copy(update=fields).model_dump_json(),
        )
    return transaction


def paired() -> Transaction:
    transaction = Transaction()
    session.begin(transaction, "s")
    forwarder = FORWARDER.model_dump_json()
    return transaction.set_fields(
        keys.SESSION, {"epoch": 3, "pairing": Pairing.PAIRED, "forwarder": forwarder}
    )


def names(alarms: list[Alarm]) -> list[str]:
    return [alarm.name for alarm in alarms]


async def test_missing_standby_is_an_alarm_only_on_a_site_with_standby(
    fresh_redis: PrivateRedis,
) -> None:
    two_hosts = site(fresh_redis.port, STANDBY=True)
    async with looking_into(two_hosts) as redis:
        await LedgerBuilder(redis, two_hosts).write(alive(*Worker))
        for worker in (Worker.SAL, Worker.BRIDGE):
            await redis.set(worker.standby, '{"host": "south", "pid": 7}')
        view = await collect(redis, two_hosts)
        alone = await collect(redis, site(fresh_redis.port))

    assert [part.standby for part in view.workers] == ["south", "south", ""]
    [alarm] = [alarm for alarm in alarms_of(view) if alarm.name == "no_standby"]
    assert (alarm.severity, "no standby for health:" in alarm.text) == (Severity.WARNING, True)
    assert "no_standby" not in names(alarms_of(alone))


async def test_redis_without_its_replicas_is_shown_as_read_only(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await redis.config_set("min-replicas-to-write", 1)
        try:
            view = await collect(redis, settings)
        finally:
            await redis.config_set("min-replicas-to-write", 0)
        well = await collect(redis, settings)

    assert "0 of the 1 replicas" in view.redis.write_rejection
    assert "redis_read_only" in names(alarms_of(view))
    assert well.redis.write_rejection == ""


@pytest.mark.parametrize(
    ("error", "do"),
    [
        ("refused the connection (nothing listens there)", "start Redis"),
        ("invalid username-password pair or user is disabled", "ccarchiver doctor"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "ccarchiver doctor"),
    ],
)
def test_redis_alarm_has_the_remedy_for_its_connection_error(error: str, do: str) -> None:
    [alarm] = alarms_of(without_redis(site(free_port()), error))
    assert do in alarm.remedy


async def test_overview_of_an_empty_redis_has_no_csc_and_no_images(
    fresh_redis: PrivateRedis,
) -> None:
    view = await overview_after(fresh_redis, Transaction().command("DEL", "no such key"))

    assert (view.redis.answers, view.redis.is_durable, view.csc, view.unfinished) == (
        True,
        True,
        None,
        0,
    )
    assert "fsync always" in view.redis.durability
    assert [part.heartbeat for part in view.workers] == [None, None, None]


async def test_overview_reports_an_unavailable_redis() -> None:
    settings = site(free_port())
    async with looking_into(settings) as redis:
        view = await collect(redis, settings)

    assert not view.redis.answers
    [alarm] = alarms_of(view)
    assert (alarm.name, alarm.text) == (
        "redis_unavailable",
        f"Redis at {settings.redis_address} refused the connection (nothing listens there)",
    )


async def test_overview_shows_the_broker_link_of_the_bridges_heartbeat(
    fresh_redis: PrivateRedis,
) -> None:
    fields = {"link_since": 10.0, "published_at": 20.0, "publish_s": 0.004}
    view = await overview_after(fresh_redis, alive(Worker.BRIDGE, **fields))

    assert view.broker is not None
    assert view.broker.is_bridge_alive
    assert (view.broker.since, view.broker.published_at, view.broker.publish_s) == (
        10.0,
        20.0,
        0.004,
    )


async def test_overview_shows_why_the_bridge_has_no_connection(fresh_redis: PrivateRedis) -> None:
    view = await overview_after(
        fresh_redis, alive(Worker.BRIDGE, degraded_reason="waiting for RabbitMQ")
    )

    assert view.broker is not None
    assert (view.broker.since, view.broker.publish_s, view.broker.degraded_reason) == (
        None,
        None,
        "waiting for RabbitMQ",
    )
    assert "worker_degraded" in names(alarms_of(view))


async def test_overview_shows_the_time_to_live_of_the_presence_key(
    fresh_redis: PrivateRedis,
) -> None:
    transaction = paired().command("SET", FORWARDER.presence_key, "pong", "EX", 600)
    view = await overview_after(fresh_redis, transaction)

    assert view.pairing is not None
    assert (view.pairing.hostname, view.pairing.epoch) == ("fwd1", 3)
    assert view.pairing.presence_ttl_s is not None
    assert 0 < view.pairing.presence_ttl_s <= 600


async def test_overview_lists_what_each_unfinished_image_waits_for(
    fresh_redis: PrivateRedis,
) -> None:
    settings = site(fresh_redis.port)
    at = time.time() - 100
    async with looking_into(settings) as redis:
        ledger_builder = LedgerBuilder(redis, settings)
        await ledger_builder.exposure("done", 1, at)
        await ledger_builder.exposure("open", 2, at, Progress.ASSIGNED)
        await ledger_builder.failed("failed", 3, at, "rejected", 5752)
        await ledger_builder.exposure("long ago", 4, at - 7200)
        view = await collect(redis, settings)

    [waiting] = view.waiting
    assert (waiting.obsid, waiting.waiting_on) == ("open", "the camera's endReadout")
    assert waiting.since == pytest.approx(at, abs=0.01)
    assert waiting.last_progress_at == pytest.approx(at + 0.04, abs=0.01)
    assert (view.rates.accepted, view.rates.complete, view.rates.failed) == (3, 1, 1)


async def test_error_that_caused_the_fault_is_one_alarm(fresh_redis: PrivateRedis) -> None:
    report = "the Forwarder on queue f99_consume did not answer end_readout"
    transaction = paired()
    transaction.set_fields(
        keys.CSC, {"state": 3, "error_code": 5753, "error_report": report, "alive_at": time.time()}
    )
    error = f"session.failed error_code=5753 report={report}"
    view = await overview_after(
        fresh_redis, transaction, alive(*Worker, last_error=error, last_error_at=time.time())
    )

    assert [name for name in names(alarms_of(view)) if name in ("fault_5753", "worker_error")] == [
        "fault_5753"
    ]


async def test_each_alarm_has_a_remedy_and_critical_alarms_come_first(
    fresh_redis: PrivateRedis,
) -> None:
    old_entry = "1000-0"
    transaction = paired()
    transaction.set_fields(
        keys.CSC, {"state": 3, "error_code": 5755, "error_report": "gone", "alive_at": time.time()}
    )
    dead_letters.add(transaction, site(fresh_redis.port), origin="q", reason="odd", raw=b"")
    transaction.command("XADD", Worker.SAL.mailbox, old_entry, "message", "{}")
    life = alive(Worker.SAL, Worker.HEALTH, last_error="it broke", last_error_at=time.time())
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await LedgerBuilder(redis, settings).stalled("i", 1, 1.0, Progress.RECEIVED)
    view = await overview_after(fresh_redis, transaction, life)

    alarms = alarms_of(view)

    assert names(alarms) == [
        *("fault_5755", "worker_unavailable", "mailbox_backlog", "worker_error", "worker_error"),
        *("forwarder_silent", "images_stalled", "dead_letters"),
    ]
    assert [alarm.severity for alarm in alarms][:2] == [Severity.CRITICAL] * 2
    assert {alarm.severity for alarm in alarms[2:]} == {Severity.WARNING}
    assert all(alarm.remedy for alarm in alarms)


async def test_read_only_redis_is_a_critical_alarm(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await LedgerBuilder(redis, settings).write(alive(*Worker))
        await redis.config_set("maxmemory", 1)
        try:
            alarms = alarms_of(await collect(redis, settings))
        finally:
            await redis.config_set("maxmemory", 0)

    assert names(alarms) == ["redis_read_only"]
    assert alarms[0].severity is Severity.CRITICAL
    assert "maxmemory" in alarms[0].text


async def test_no_forwarder_is_an_alarm_only_in_an_active_session(
    fresh_redis: PrivateRedis,
) -> None:
    searching, unwanted = Transaction(), Transaction()
    session.begin(searching, "s")
    session.end(unwanted, "ccarchiver_association")
    life = alive(*Worker)

    assert names(alarms_of(await overview_after(fresh_redis, searching, life))) == ["no_forwarder"]
    assert names(alarms_of(await overview_after(fresh_redis, unwanted))) == []


async def test_old_dead_letters_and_skipped_images_are_no_alarm(fresh_redis: PrivateRedis) -> None:
    transaction = alive(*Worker).command("XADD", keys.DEAD_LETTERS, "1000-0", "raw", "")
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await LedgerBuilder(redis, settings).unaccepted("i", NOW, ImageState.SKIPPED)
    view = await overview_after(fresh_redis, transaction)

    assert (view.dead_letters, names(alarms_of(view))) == (1, [])


@pytest.mark.parametrize(
    ("ages_s", "text"),
    [
        ((100.0,), "1 exposure is missed: i0;"),
        ((100.0, 50.0, 1e6), "2 exposures are missed, the newest is i1;"),
        ((1e6,), ""),
    ],
    ids=["one", "several", "too old to be fetched"],
)
async def test_missed_exposures_are_an_alarm_while_the_camera_keeps_them(
    fresh_redis: PrivateRedis, ages_s: tuple[float, ...], text: str
) -> None:
    transaction = alive(*Worker)
    missed = [
        MissedImage(f"i{number}", time.time() - age_s, MissedBy.SCAN)
        for number, age_s in enumerate(ages_s)
    ]
    ImageLedger.record_missed(transaction, missed)

    view = await overview_after(fresh_redis, transaction)

    found = [alarm for alarm in alarms_of(view) if alarm.name == "images_missed"]
    assert [alarm.text.startswith(text) for alarm in found] == [True] * bool(text)
    assert all(alarm.severity is Severity.WARNING for alarm in found)


@pytest.mark.parametrize(
    ("found_by", "text"),
    [
        (MissedBy.SCAN, "the camera took it, and it is not archived"),
        (MissedBy.NUMBERS, "a number is missing between two others, and no scan has listed it"),
    ],
)
async def test_alarm_claims_an_exposure_only_if_a_scan_has_listed_it(
    fresh_redis: PrivateRedis, found_by: MissedBy, text: str
) -> None:
    transaction = alive(*Worker)
    ImageLedger.record_missed(transaction, [MissedImage("i0", time.time(), found_by)])

    view = await overview_after(fresh_redis, transaction)

    assert [alarm.text for alarm in alarms_of(view)] == [f"1 exposure is missed: i0; {text}"]
