"""What supervisord says of its programs, as alarms."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.supervised_process import ProcessState, SupervisedProcess
from ccarchiver_core.keys import Worker
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.status.alarms import FAILING_TRIES, AlarmName, alarms_of
from ccarchiver_core.status.overview import Overview, RedisView, WorkerView, collect
from tests.core.redis_helpers import looking_into, site

if TYPE_CHECKING:
    from ccarchiver_core.status.alarms import Alarm
    from ccarchiver_sim.testbed.brokers import PrivateRedis

NOW = 1_795_000_000.0
NAME = "ccarchiver:bridge"


def alarms(*programs: SupervisedProcess, beat: float | None) -> list[Alarm]:
    """Give the alarms of an archiver whose bridge last showed life at some time, and of which this is known."""
    workers = [
        WorkerView(
            worker=worker,
            heartbeat=Heartbeat(worker=worker, written_at=NOW) if worker is not Worker.BRIDGE else _vitals(beat),
            mailbox_depth=0,
            mailbox_oldest_s=0.0,
        )
        for worker in Worker
    ]
    redis = RedisView(address="here", answers=True)
    return alarms_of(
        Overview(at=NOW, version="1", archiver="CCArchiver", redis=redis, workers=workers, processes=list(programs))
    )


def _vitals(beat: float | None) -> Heartbeat | None:
    return None if beat is None else Heartbeat(worker=Worker.BRIDGE, written_at=beat)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (SupervisedProcess(name=NAME, state=ProcessState.FATAL, changed_at=NOW - 1), AlarmName.PROCESS_FATAL),
        (
            SupervisedProcess(name=NAME, state=ProcessState.BACKOFF, tries=FAILING_TRIES, changed_at=NOW - 1),
            AlarmName.PROCESS_CRASH_LOOP,
        ),
    ],
)
def test_one_that_cannot_be_kept_running_is_an_alarm_at_once_until_it_shows_life(
    program: SupervisedProcess, name: str
) -> None:
    last_beat_before, first_beat_after = NOW - 2, NOW

    assert [alarm.name for alarm in alarms(program, beat=last_beat_before)] == [name]
    assert [alarm.name for alarm in alarms(program, beat=None)] == [name], "one cause, one alarm"
    assert alarms(program, beat=first_beat_after) == []


def test_one_that_failed_once_or_twice_is_given_time() -> None:
    program = SupervisedProcess(name=NAME, state=ProcessState.BACKOFF, tries=FAILING_TRIES - 1, changed_at=NOW - 1)
    assert alarms(program, beat=NOW - 2) == []


def test_one_that_is_no_worker_counts_as_well() -> None:
    program = SupervisedProcess(name="ccarchiver:other", state=ProcessState.FATAL, changed_at=NOW - 1)
    [alarm] = alarms(program, beat=NOW)
    assert (alarm.name, "ccarchiver:other" in alarm.text) == (AlarmName.PROCESS_FATAL, True)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (SupervisedProcess(name=NAME, state=ProcessState.STOPPED, changed_at=NOW - 42), "it was stopped 42 s ago"),
        (
            SupervisedProcess(name=NAME, state=ProcessState.EXITED, expected=True, changed_at=NOW - 42),
            "it ended as it was told 42 s ago",
        ),
        (
            SupervisedProcess(name=NAME, state=ProcessState.EXITED, changed_at=NOW - 42),
            "it ended unexpectedly 42 s ago",
        ),
        (SupervisedProcess(name=NAME, state=ProcessState.RUNNING, changed_at=NOW - 42), "shows no life"),
    ],
)
def test_a_worker_without_life_is_said_to_have_ended_as_it_did(program: SupervisedProcess, words: str) -> None:
    [alarm] = alarms(program, beat=None)
    assert alarm.name == AlarmName.WORKER_UNAVAILABLE
    assert alarm.text.endswith(words)


def test_of_two_hosts_each_that_fails_is_named_and_the_newest_says_how_it_ended() -> None:
    fatal = [
        SupervisedProcess(name=NAME, host=host, state=ProcessState.FATAL, changed_at=NOW - 9) for host in ("one", "two")
    ]
    assert [("one" in it.text, "two" in it.text) for it in alarms(*fatal, beat=None)] == [(True, False), (False, True)]
    assert alarms(*fatal, beat=NOW) == [], "it runs somewhere"

    stopped = SupervisedProcess(name=NAME, host="two", state=ProcessState.STOPPED, changed_at=NOW - 1)
    before = SupervisedProcess(name=NAME, host="one", state=ProcessState.EXITED, changed_at=NOW - 100)
    [alarm] = alarms(before, stopped, beat=None)
    assert alarm.text.endswith("it was stopped 1 s ago")


async def test_a_record_of_another_version_is_left_out(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    good = SupervisedProcess(name=NAME, state=ProcessState.RUNNING, changed_at=time.time(), pid=4)
    records = {good.field: good.model_dump_json(), "a:b": "{}", "c:d": '{"name":"c:d","state":"NEW"}'}
    async with looking_into(settings) as redis:
        for name, record in records.items():
            await redis.hset(keys.SUPERVISED_PROCESSES, name, record)
        view = await collect(redis, settings)

    assert view.processes == [good]
