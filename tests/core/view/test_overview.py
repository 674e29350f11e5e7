from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import deadletter, keys, session
from ccarchiver_core.keys import Worker
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.session import PairedForwarder, Pairing
from ccarchiver_core.step import Step
from ccarchiver_core.view.alarms import Alarm, Severity, alarms_of
from ccarchiver_core.view.overview import Overview, collect, without_redis
from ccarchiver_core.vitals import Vitals
from ccarchiver_sim.brokers.ports import free_port
from tests.core.place import looking_into, site
from tests.support.scribe import Scribe, Way

if TYPE_CHECKING:
    from ccarchiver_sim.brokers import PrivateRedis

FORWARDER = PairedForwarder(
    hostname="fwd1", ip_address="127.0.0.1", consume_queue="fwd1_consume", presence_key="fwd1_association", since=1.0
)
NOW = 1_795_000_000.0


async def overview_after(server: PrivateRedis, *steps: Step) -> Overview:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        await Scribe(redis, settings).write(*steps)
        return await collect(redis, settings)


def alive(*workers: Worker, **signs: object) -> Step:
    step = Step()
    for worker in workers:
        step.do("SET", worker.alive, Vitals(worker=worker).model_copy(update=signs).model_dump_json())
    return step


def paired() -> Step:
    step = Step()
    session.begin(step, "s")
    forwarder = FORWARDER.model_dump_json()
    return step.set_fields(keys.SESSION, {"epoch": 3, "pairing": Pairing.PAIRED, "forwarder": forwarder})


def names(alarms: list[Alarm]) -> list[str]:
    return [alarm.name for alarm in alarms]


async def test_a_site_with_a_second_host_is_told_when_nobody_stands_by(fresh_redis: PrivateRedis) -> None:
    two_hosts = site(fresh_redis.port, WHEN_LEASE_IS_HELD="wait")
    async with looking_into(two_hosts) as redis:
        await Scribe(redis, two_hosts).write(alive(*Worker))
        for worker in (Worker.SAL, Worker.BRIDGE):
            await redis.set(worker.standby, '{"host": "south", "pid": 7}')
        view = await collect(redis, two_hosts)
        alone = await collect(redis, site(fresh_redis.port))

    assert [part.standby for part in view.workers] == ["south", "south", ""]
    [alarm] = [alarm for alarm in alarms_of(view) if alarm.name == "no_standby"]
    assert (alarm.severity, "stands by for health:" in alarm.text) == (Severity.WARNING, True)
    assert "no_standby" not in names(alarms_of(alone))


async def test_a_redis_that_lacks_its_replicas_says_that_it_refuses_writes(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await redis.config_set("min-replicas-to-write", 1)
        try:
            view = await collect(redis, settings)
        finally:
            await redis.config_set("min-replicas-to-write", 0)
        well = await collect(redis, settings)

    assert "0 of the 1 replicas" in view.redis.refuses_writes
    assert "redis_refuses_writes" in names(alarms_of(view))
    assert well.redis.refuses_writes == ""


@pytest.mark.parametrize(
    ("error", "do"),
    [
        ("Error 111 connecting to 127.0.0.1:6379", "start Redis"),
        ("invalid username-password pair or user is disabled", "ccarchiver doctor"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "ccarchiver doctor"),
    ],
)
def test_a_redis_that_does_not_let_us_in_is_not_to_be_restarted(error: str, do: str) -> None:
    [alarm] = alarms_of(without_redis(site(free_port()), error))
    assert do in alarm.do


async def test_an_empty_redis_gives_an_overview(fresh_redis: PrivateRedis) -> None:
    view = await overview_after(fresh_redis, Step().do("DEL", "nothing"))

    assert (view.redis.answers, view.redis.is_durable, view.csc, view.unfinished) == (True, True, None, 0)
    assert "fsync always" in view.redis.durability
    assert [part.vitals for part in view.workers] == [None, None, None]


async def test_redis_away_is_part_of_the_overview() -> None:
    settings = site(free_port())
    async with looking_into(settings) as redis:
        view = await collect(redis, settings)

    assert not view.redis.answers
    assert view.redis.error
    assert names(alarms_of(view)) == ["redis_away"]


async def test_rabbitmq_is_shown_as_the_bridge_sees_it(fresh_redis: PrivateRedis) -> None:
    signs = {"link_since": 10.0, "published_at": 20.0, "publish_s": 0.004}
    view = await overview_after(fresh_redis, alive(Worker.BRIDGE, **signs))

    assert view.broker is not None
    assert view.broker.bridge_lives
    assert (view.broker.since, view.broker.published_at, view.broker.publish_s) == (10.0, 20.0, 0.004)


async def test_a_bridge_without_a_connection_says_why(fresh_redis: PrivateRedis) -> None:
    view = await overview_after(fresh_redis, alive(Worker.BRIDGE, trouble="waiting for RabbitMQ"))

    assert view.broker is not None
    assert (view.broker.since, view.broker.publish_s, view.broker.trouble) == (None, None, "waiting for RabbitMQ")
    assert "worker_in_trouble" in names(alarms_of(view))


async def test_the_pairing_tells_how_long_the_key_lives(fresh_redis: PrivateRedis) -> None:
    step = paired().do("SET", FORWARDER.presence_key, "pong", "EX", 600)
    view = await overview_after(fresh_redis, step)

    assert view.pairing is not None
    assert (view.pairing.hostname, view.pairing.epoch) == ("fwd1", 3)
    assert view.pairing.presence_ttl_s is not None
    assert 0 < view.pairing.presence_ttl_s <= 600


async def test_images_in_work_are_listed_with_who_owes_what_since_when(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    at = time.time() - 100
    async with looking_into(settings) as redis:
        scribe = Scribe(redis, settings)
        await scribe.exposure("done", 1, at)
        await scribe.exposure("open", 2, at, Way.PLACED)
        await scribe.failed("failed", 3, at, "refused", 5752)
        await scribe.exposure("long ago", 4, at - 7200)
        view = await collect(redis, settings)

    [waiting] = view.waiting
    assert (waiting.obsid, waiting.waits_for) == ("open", "the camera's endReadout")
    assert waiting.since == pytest.approx(at, abs=0.01)
    assert waiting.owed_since == pytest.approx(at + 0.04, abs=0.01)
    assert (view.rates.accepted, view.rates.complete, view.rates.failed) == (3, 1, 1)


async def test_the_error_that_is_the_fault_is_told_once(fresh_redis: PrivateRedis) -> None:
    report = "the Forwarder on queue f99_consume did not answer end_readout"
    step = paired()
    step.set_fields(keys.CSC, {"state": 3, "error_code": 5753, "error_report": report, "alive_at": time.time()})
    error = f"session.fault error_code=5753 report={report}"
    view = await overview_after(fresh_redis, step, alive(*Worker, last_error=error, last_error_at=time.time()))

    assert [name for name in names(alarms_of(view)) if name in ("fault_5753", "worker_error")] == ["fault_5753"]


async def test_every_alarm_has_what_to_do_and_critical_ones_come_first(fresh_redis: PrivateRedis) -> None:
    old_letter = "1000-0"
    step = paired()
    step.set_fields(keys.CSC, {"state": 3, "error_code": 5755, "error_report": "gone", "alive_at": time.time()})
    deadletter.add(step, site(fresh_redis.port), origin="q", reason="odd", raw=b"")
    step.do("XADD", Worker.SAL.mailbox, old_letter, "mail", "{}")
    life = alive(Worker.SAL, Worker.HEALTH, last_error="it broke", last_error_at=time.time())
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await Scribe(redis, settings).stalled("i", 1, 1.0, Way.HEARD)
    view = await overview_after(fresh_redis, step, life)

    alarms = alarms_of(view)

    assert names(alarms) == [
        *("fault_5755", "worker_away", "mail_late", "worker_error", "worker_error"),
        *("forwarder_silent", "images_stalled", "dead_letters"),
    ]
    assert [alarm.severity for alarm in alarms][:2] == [Severity.CRITICAL] * 2
    assert {alarm.severity for alarm in alarms[2:]} == {Severity.WARNING}
    assert all(alarm.do for alarm in alarms)


async def test_a_redis_that_refuses_writes_is_critical(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await Scribe(redis, settings).write(alive(*Worker))
        await redis.config_set("maxmemory", 1)
        try:
            alarms = alarms_of(await collect(redis, settings))
        finally:
            await redis.config_set("maxmemory", 0)

    assert names(alarms) == ["redis_refuses_writes"]
    assert alarms[0].severity is Severity.CRITICAL
    assert "maxmemory" in alarms[0].text


async def test_a_session_without_a_forwarder_is_critical_and_none_wanted_is_not(fresh_redis: PrivateRedis) -> None:
    searching, unwanted = Step(), Step()
    session.begin(searching, "s")
    session.end(unwanted, "ccarchiver_association")
    life = alive(*Worker)

    assert names(alarms_of(await overview_after(fresh_redis, searching, life))) == ["no_forwarder"]
    assert names(alarms_of(await overview_after(fresh_redis, unwanted))) == []


async def test_old_dead_letters_and_skipped_images_are_no_alarm(fresh_redis: PrivateRedis) -> None:
    step = alive(*Worker).do("XADD", keys.DEAD_LETTERS, "1000-0", "raw", "")
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        await Scribe(redis, settings).outsider("i", NOW, ImageState.SKIPPED)
    view = await overview_after(fresh_redis, step)

    assert (view.dead_letters, names(alarms_of(view))) == (1, [])
