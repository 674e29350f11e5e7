"""The listener's side of supervisord's protocol, and the event buffer."""

from __future__ import annotations

import asyncio

import pytest

from ccarchiver_core.domain.supervised_process import ProcessState
from ccarchiver_health.listener import protocol
from ccarchiver_health.listener.event_recorder import process_of
from ccarchiver_health.listener.protocol import Event, EventBuffer, listen
from ccarchiver_sim.pace import within

HEADER = (
    "ver:3.0 server:supervisor serial:21 pool:event_listener poolserial:10 eventname:{name} "
    "len:{length}\n"
)


def sent(name: str, payload: str) -> bytes:
    return (HEADER.format(name=name, length=len(payload)) + payload).encode()


def reader_of(*parts: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for part in parts:
        reader.feed_data(part)
    reader.feed_eof()
    return reader


async def read_events(*parts: bytes) -> list[Event]:
    events = list[Event]()
    await listen(reader_of(*parts), events.append)
    return events


async def test_each_event_is_acknowledged_and_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    backoff = "processname:sal groupname:ccarchiver from_state:STARTING tries:4"
    exited = "processname:sal groupname:ccarchiver from_state:RUNNING expected:1 pid:2766"
    events = await read_events(
        sent("PROCESS_STATE_BACKOFF", backoff), sent("PROCESS_STATE_EXITED", exited)
    )

    assert capsys.readouterr().out == "READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n"
    first, second = (process_of(event) for event in events)
    assert first is not None
    assert second is not None
    assert (first.name, first.state, first.tries, first.has_crashed) == (
        "ccarchiver:sal",
        ProcessState.BACKOFF,
        4,
        True,
    )
    assert (second.state, second.expected, second.pid, second.has_crashed) == (
        ProcessState.EXITED,
        True,
        2766,
        False,
    )


@pytest.mark.parametrize(
    "line", [b"no header\n", b"ver:3.0\n", b"eventname:X len:ten\n", b"eventname:X len:-1\n"]
)
async def test_malformed_event_ends_the_listener_and_is_reported(line: bytes) -> None:
    with pytest.raises(ValueError, match="supervisord's event"):
        await read_events(line)


async def test_pipe_closed_within_an_event_means_supervisord_has_ended() -> None:
    assert await read_events(sent("PROCESS_STATE_EXITED", "processname:sal")[:-3]) == []


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("PROCESS_STATE_NEW", {"processname": "sal", "groupname": "ccarchiver"}),
        ("PROCESS_STATE_EXITED", {"processname": "sal"}),
        ("PROCESS_STATE_EXITED", {"processname": "sal", "groupname": "ccarchiver", "pid": "none"}),
    ],
)
def test_event_of_another_version_is_ignored(name: str, facts: dict[str, str]) -> None:
    assert process_of(Event(name, facts, 1.0)) is None


async def test_newest_event_of_each_program_is_kept_beside_a_crash_loop() -> None:
    buffer = EventBuffer()
    quiet, failing = (
        {"groupname": "g", "processname": "health"},
        {"groupname": "g", "processname": "sal"},
    )
    buffer.put(Event("PROCESS_STATE_FATAL", quiet, 0.0))
    buffer.put(Event("PROCESS_STATE_RUNNING", quiet, 1.0))
    for number in range(2 * protocol.MAX_EVENTS):
        buffer.put(Event("PROCESS_STATE_BACKOFF", failing, float(number)))

    first = await buffer.first()
    assert (first.name, first.facts) == ("PROCESS_STATE_RUNNING", quiet)


async def test_newest_events_are_kept_and_an_event_dropped_while_sending_is_sent_once() -> None:
    buffer = EventBuffer()
    events = [Event(str(number), {}, 0.0) for number in range(protocol.MAX_EVENTS + 2)]
    for event in events[: protocol.MAX_EVENTS]:
        buffer.put(event)
    sending = await buffer.first()
    for event in events[protocol.MAX_EVENTS :]:
        buffer.put(event)
    buffer.remove(sending)

    assert buffer.dropped == 2
    for event in events[2:]:
        assert await buffer.first() is event
        buffer.remove(event)
    async with within(10):
        await buffer.wait_until_empty()
