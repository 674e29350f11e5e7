"""Alarms about the states that supervisord reports for its processes."""

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


def alarms(*processes: SupervisedProcess, beat: float | None) -> list[Alarm]:
    """Return the alarms for these processes and the time of the bridge's last heartbeat."""
    workers = [
        WorkerView(
            worker=worker,
            heartbeat=Heartbeat(worker=worker, written_at=NOW)
            if worker is not Worker.BRIDGE
            else _heartbeat(beat),
            mailbox_depth=0,
            mailbox_oldest_s=0.0,
        )
        for worker in Worker
    ]
    redis = RedisView(address="here", answers=True)
    return alarms_of(
        Overview(
            at=NOW,
            version="1",
            archiver="CCArchiver",
            redis=redis,
            workers=workers,
            processes=list(processes),
        )
    )


def _heartbeat(beat: float | None) -> Heartbeat | None:
    return None if beat is None else Heartbeat(worker=Worker.BRIDGE, written_at=beat)


@pytest.mark.parametrize(
    ("process", "name"),
    [
        (
            SupervisedProcess(name=NAME, state=ProcessState.FATAL, changed_at=NOW - 1),
            AlarmName.PROCESS_FATAL,
        ),
        (
            SupervisedProcess(
                name=NAME, state=ProcessState.BACKOFF, tries=FAILING_TRIES, changed_at=NOW - 1
            ),
            AlarmName.PROCESS_CRASH_LOOP,
        ),
    ],
)
def test_process_that_cannot_run_is_an_alarm_until_its_next_heartbeat(
    process: SupervisedProcess, name: str
) -> None:
    last_beat_before, first_beat_after = NOW - 2, NOW

    assert [alarm.name for alarm in alarms(process, beat=last_beat_before)] == [name]
    assert [alarm.name for alarm in alarms(process, beat=None)] == [name], "one cause, one alarm"
    assert alarms(process, beat=first_beat_after) == []


def test_process_that_failed_once_or_twice_is_no_alarm() -> None:
    process = SupervisedProcess(
        name=NAME, state=ProcessState.BACKOFF, tries=FAILING_TRIES - 1, changed_at=NOW - 1
    )
    assert alarms(process, beat=NOW - 2) == []


def test_process_that_is_no_worker_is_an_alarm_too() -> None:
    process = SupervisedProcess(
        name="ccarchiver:other", state=ProcessState.FATAL, changed_at=NOW - 1
    )
    [alarm] = alarms(process, beat=NOW)
    assert (alarm.name, "ccarchiver:other" in alarm.text) == (AlarmName.PROCESS_FATAL, True)


@pytest.mark.parametrize(
    ("process", "words"),
    [
        (
            SupervisedProcess(name=NAME, state=ProcessState.STOPPED, changed_at=NOW - 42),
            "it was stopped 42 s ago",
        ),
        (
            SupervisedProcess(
                name=NAME, state=ProcessState.EXITED, expected=True, changed_at=NOW - 42
            ),
            "it exited as expected 42 s ago",
        ),
        (
            SupervisedProcess(name=NAME, state=ProcessState.EXITED, changed_at=NOW - 42),
            "it exited unexpectedly 42 s ago",
        ),
        (
            SupervisedProcess(name=NAME, state=ProcessState.RUNNING, changed_at=NOW - 42),
            "sends no heartbeat",
        ),
    ],
)
def test_worker_unavailable_alarm_says_how_the_process_ended(
    process: SupervisedProcess, words: str
) -> None:
    [alarm] = alarms(process, beat=None)
    assert alarm.name == AlarmName.WORKER_UNAVAILABLE
    assert alarm.text.endswith(words)


def test_alarms_of_two_hosts_name_each_host_and_use_the_newest_record() -> None:
    fatal = [
        SupervisedProcess(name=NAME, host=host, state=ProcessState.FATAL, changed_at=NOW - 9)
        for host in ("one", "two")
    ]
    assert [("one" in alarm.text, "two" in alarm.text) for alarm in alarms(*fatal, beat=None)] == [
        (True, False),
        (False, True),
    ]
    assert alarms(*fatal, beat=NOW) == [], "the worker runs on one of the hosts"

    stopped = SupervisedProcess(
        name=NAME, host="two", state=ProcessState.STOPPED, changed_at=NOW - 1
    )
    before = SupervisedProcess(
        name=NAME, host="one", state=ProcessState.EXITED, changed_at=NOW - 100
    )
    [alarm] = alarms(before, stopped, beat=None)
    assert alarm.text.endswith("it was stopped 1 s ago")


async def test_process_record_of_another_version_is_omitted(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    good = SupervisedProcess(name=NAME, state=ProcessState.RUNNING, changed_at=time.time(), pid=4)
    records = {
        good.field: good.model_dump_json(),
        "a:b": "{}",
        "c:d": '{"name":"c:d","state":"NEW"}',
    }
    async with looking_into(settings) as redis:
        for name, record in records.items():
            await redis.hset(keys.SUPERVISED_PROCESSES, name, record)
        view = await collect(redis, settings)

    assert view.processes == [good]
