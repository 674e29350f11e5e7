"""What supervisord says of its programs, as alarms."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.keys import Worker
from ccarchiver_core.programs import Program, ProgramState
from ccarchiver_core.view.alarms import FAILING_TRIES, AlarmName, alarms_of
from ccarchiver_core.view.overview import Overview, RedisView, WorkerView, collect
from ccarchiver_core.vitals import Vitals
from tests.core.place import looking_into, site

if TYPE_CHECKING:
    from ccarchiver_core.view.alarms import Alarm
    from ccarchiver_sim.brokers import PrivateRedis

NOW = 1_795_000_000.0
NAME = "ccarchiver:bridge"


def alarms(*programs: Program, beat: float | None) -> list[Alarm]:
    """Give the alarms of an archiver whose bridge last showed life at some time, and of which this is known."""
    workers = [
        WorkerView(
            worker=worker,
            vitals=Vitals(worker=worker, beat=NOW) if worker is not Worker.BRIDGE else _vitals(beat),
            mailbox_depth=0,
            mailbox_oldest_s=0.0,
        )
        for worker in Worker
    ]
    redis = RedisView(address="here", answers=True)
    return alarms_of(
        Overview(at=NOW, version="1", archiver="CCArchiver", redis=redis, workers=workers, programs=list(programs))
    )


def _vitals(beat: float | None) -> Vitals | None:
    return None if beat is None else Vitals(worker=Worker.BRIDGE, beat=beat)


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (Program(name=NAME, state=ProgramState.FATAL, at=NOW - 1), AlarmName.PROGRAM_FATAL),
        (Program(name=NAME, state=ProgramState.BACKOFF, tries=FAILING_TRIES, at=NOW - 1), AlarmName.PROGRAM_FAILS),
    ],
)
def test_one_that_cannot_be_kept_running_is_an_alarm_at_once_until_it_shows_life(program: Program, name: str) -> None:
    last_beat_before, first_beat_after = NOW - 2, NOW

    assert [alarm.name for alarm in alarms(program, beat=last_beat_before)] == [name]
    assert [alarm.name for alarm in alarms(program, beat=None)] == [name], "one cause, one alarm"
    assert alarms(program, beat=first_beat_after) == []


def test_one_that_failed_once_or_twice_is_given_time() -> None:
    program = Program(name=NAME, state=ProgramState.BACKOFF, tries=FAILING_TRIES - 1, at=NOW - 1)
    assert alarms(program, beat=NOW - 2) == []


def test_one_that_is_no_worker_counts_as_well() -> None:
    program = Program(name="ccarchiver:other", state=ProgramState.FATAL, at=NOW - 1)
    [alarm] = alarms(program, beat=NOW)
    assert (alarm.name, "ccarchiver:other" in alarm.text) == (AlarmName.PROGRAM_FATAL, True)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (Program(name=NAME, state=ProgramState.STOPPED, at=NOW - 42), "it was stopped 42 s ago"),
        (Program(name=NAME, state=ProgramState.EXITED, expected=True, at=NOW - 42), "it ended as it was told 42 s ago"),
        (Program(name=NAME, state=ProgramState.EXITED, at=NOW - 42), "it ended unexpectedly 42 s ago"),
        (Program(name=NAME, state=ProgramState.RUNNING, at=NOW - 42), "shows no life"),
    ],
)
def test_a_worker_without_life_is_said_to_have_ended_as_it_did(program: Program, words: str) -> None:
    [alarm] = alarms(program, beat=None)
    assert alarm.name == AlarmName.WORKER_AWAY
    assert alarm.text.endswith(words)


def test_of_two_hosts_each_that_fails_is_named_and_the_newest_says_how_it_ended() -> None:
    fatal = [Program(name=NAME, host=host, state=ProgramState.FATAL, at=NOW - 9) for host in ("one", "two")]
    assert [("one" in it.text, "two" in it.text) for it in alarms(*fatal, beat=None)] == [(True, False), (False, True)]
    assert alarms(*fatal, beat=NOW) == [], "it runs somewhere"

    stopped = Program(name=NAME, host="two", state=ProgramState.STOPPED, at=NOW - 1)
    before = Program(name=NAME, host="one", state=ProgramState.EXITED, at=NOW - 100)
    [alarm] = alarms(before, stopped, beat=None)
    assert alarm.text.endswith("it was stopped 1 s ago")


async def test_a_record_of_another_version_is_left_out(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    good = Program(name=NAME, state=ProgramState.RUNNING, at=time.time(), pid=4)
    records = {good.field: good.model_dump_json(), "a:b": "{}", "c:d": '{"name":"c:d","state":"NEW"}'}
    async with looking_into(settings) as redis:
        for name, record in records.items():
            await redis.hset(keys.PROGRAMS, name, record)
        view = await collect(redis, settings)

    assert view.programs == [good]
