"""Bad samples (requirement 7), conditions and wait sets, closed entities."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import dds
import pytest

from ccarchiver_sim.pace import Deadline
from tests.middleware.end import LIMIT_S, POLL_S, End

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

EVENT = "logevent_scalars"


def test_bad_sample_is_skipped_and_the_others_are_read(
    idl: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    end = End(idl)
    end.reader(EVENT)
    end.writer(EVENT)
    codec = end.readers[EVENT].support.codec

    def decode(sample: bytes) -> dict[str, object]:
        values = codec.decode(sample[:-12] if b"bad" in sample else sample)
        return dict(values)

    monkeypatch.setattr(end.readers[EVENT].support, "codec", codec._replace(decode=decode))
    for number in range(20):
        text = "bad" if number % 3 else "good"
        end.write(EVENT, {"private_seqNum": number, "string0": text})
    with caplog.at_level(logging.ERROR, "dds"):
        assert end.numbers(EVENT) == list(range(0, 20, 3))
    assert len(caplog.records) == 4, "the 1st, 2nd, 4th and 8th are logged"
    assert "logevent_scalars" in caplog.text
    assert "another version of the IDL" in caplog.text
    end.close()


def test_sample_in_another_representation_is_bad(
    idl: Path, caplog: pytest.LogCaptureFixture
) -> None:
    end = End(idl)
    end.reader(EVENT)
    reader, condition = end.readers[EVENT], end.conditions[EVENT]
    sample = reader.support.encode(reader.support.data_class())
    assert reader._accept(sample, condition) is not None
    assert reader._accept(b"\x00\x07" + sample[2:], condition) is None
    assert "0007" in caplog.text
    end.close()


def test_wait_set_returns_triggered_guard_conditions() -> None:
    guard, other, wait_set = dds.GuardCondition(), dds.GuardCondition(), dds.WaitSet()
    wait_set.attach(guard)
    wait_set.attach(guard)
    wait_set.attach(other)
    assert set(wait_set.get_conditions()) == {guard, other}
    assert wait_set.wait(dds.DDSDuration(0.01)) == []
    guard.trigger()
    assert guard.triggered()
    assert wait_set.wait(dds.DDSDuration(5)) == [guard]
    guard.reset()
    assert not guard.triggered()
    wait_set.detach(guard)
    wait_set.detach(guard)
    assert wait_set.get_conditions() == [other]
    guard.close()
    with pytest.raises(dds.DDSException, match="closed"):
        wait_set.attach(guard)


def test_wait_ends_when_the_executor_is_shut_down() -> None:
    """This happens when salobj's read loop is cancelled: asyncio then waits for the thread."""
    wait_set = dds.WaitSet()
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(wait_set.wait)
        await_reader(wait_set)
    assert future.done()
    with pytest.raises(dds.DDSException, match="cancelled"):
        future.result()


def await_reader(wait_set: dds.WaitSet) -> None:
    """Wait until a job waits on a wait set."""
    deadline = Deadline(LIMIT_S)
    while not wait_set._jobs._had_job:
        assert not deadline.has_passed()
        time.sleep(POLL_S)


async def test_cancelled_task_does_not_delay_the_event_loop() -> None:
    """When the executor ends, the loop waits for the thread, so something must end the thread."""
    wait_set = dds.WaitSet()

    async def wait() -> None:
        with ThreadPoolExecutor(1) as executor:
            await asyncio.get_running_loop().run_in_executor(executor, wait_set.wait)

    task = asyncio.create_task(wait())
    await asyncio.to_thread(await_reader, wait_set)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_closed_entities_cannot_be_used(idl: Path) -> None:
    end = End(idl)
    end.reader(EVENT)
    end.writer(EVENT)
    reader, writer, condition = end.readers[EVENT], end.writers[EVENT], end.conditions[EVENT]
    with pytest.raises(dds.DDSException, match="ReadCondition"):
        reader.take_cond(object())
    with pytest.raises(TypeError, match="not a Test_logevent_scalars"):
        writer.write(object())
    end.close()
    end.close()
    assert not condition.triggered()
    for action in (
        lambda: reader.take_cond(condition),
        lambda: writer.write(end.types[EVENT].topic_data_class()),
        end.participant.create_publisher,
        reader.wait_for_historical_data,
    ):
        with pytest.raises(dds.DDSException, match="closed"):
            action()
    end.wait_set.detach(condition)
