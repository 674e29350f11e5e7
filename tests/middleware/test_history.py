"""History that late readers receive (requirements 3 and 5)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from ts_dds_cyclone.history import LateHistory

from tests.middleware.end import End

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.middleware.process import Peer

pytestmark = pytest.mark.processes

EVENT, TELEMETRY, COMMAND = "logevent_scalars", "scalars", "command_wait"
KEPT = 100


def test_late_reader_gets_the_last_hundred_events(idl: Path, peer: Callable[[], Peer]) -> None:
    writer = peer()
    writer.ask("writer", EVENT)
    writer.ask("write_many", EVENT, 0, 150)

    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT)
    assert end.numbers(EVENT) == list(range(50, 150))
    end.close()


def test_each_index_has_its_own_history(idl: Path, peer: Callable[[], Peer]) -> None:
    writer = peer()
    writer.ask("writer", EVENT)
    for index in (1, 2):
        writer.ask("write_many", EVENT, 1000 * index, 110, index)

    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT)
    assert sorted(end.numbers(EVENT)) == [*range(1010, 1110), *range(2010, 2110)]
    end.close()


def test_telemetry_and_commands_have_no_history(idl: Path, peer: Callable[[], Peer]) -> None:
    writer, end = peer(), End(idl)
    for topic in (TELEMETRY, COMMAND):
        writer.ask("writer", topic)
        writer.ask("write_many", topic, 0, 10)
    for topic in (TELEMETRY, COMMAND):
        end.reader(topic)
        assert writer.ask("matched", topic)
        writer.ask("write_many", topic, 10, 1)
    for topic in (TELEMETRY, COMMAND):
        assert end.collect(topic, 1) == [10]
    end.close()


def test_settling_is_not_delayed_by_live_samples(idl: Path, peer: Callable[[], Peer]) -> None:
    writer = peer()
    writer.ask("writer", EVENT)
    writer.tell("write_on", EVENT)

    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT), "settled while the writer continues"
    assert end.numbers(EVENT)
    writer.tell("is_open")
    assert writer.answer() > 0
    assert writer.answer()
    end.close()


def test_late_history_delivers_only_the_newest_sample(idl: Path, peer: Callable[[], Peer]) -> None:
    writer = peer()
    writer.ask("writer", EVENT)
    writer.ask("write_many", EVENT, 0, 80)
    writer.pause()  # so that the writer is not discovered while the reader settles

    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT)
    assert end.numbers(EVENT) == []
    # No event marks this point. A shorter pause can only make the test pass wrongly, never fail.
    assert end.collect(EVENT, 1, limit_s=0.2) == []
    writer.resume()
    assert end.collect(EVENT, 1) == [79]
    writer.ask("write_many", EVENT, 80, 20)
    assert end.collect(EVENT, 20) == list(range(80, 100))
    end.close()


def test_history_taken_in_parts_is_complete(idl: Path, peer: Callable[[], Peer]) -> None:
    writer = peer()
    writer.ask("writer", EVENT)
    writer.ask("write_many", EVENT, 0, 30)

    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT)
    assert end.numbers(EVENT, 12) + end.numbers(EVENT, 12) + end.numbers(EVENT, 12) == list(
        range(30)
    )
    end.close()


def test_every_sample_written_after_settling_arrives(idl: Path, peer: Callable[[], Peer]) -> None:
    """Check that settling prevents the loss of a volatile sample written right after the start."""
    reader = peer()
    reader.ask("reader", COMMAND)
    for attempt in range(5):
        end = End(idl)
        end.reader(EVENT)  # a Remote has event readers and settles with them
        end.writer(COMMAND)
        assert end.settle(EVENT)
        end.write_many(COMMAND, attempt, 1)
        assert reader.ask("collect", COMMAND, 1) == [attempt]
        end.close()


def test_writer_whose_clock_is_set_back_loses_no_sample_after_a_live_one() -> None:
    late = LateHistory()
    now, hour_ago = time.time_ns(), time.time_ns() - 3600 * 10**9

    assert not late.is_late(now + 10**9, 1)
    assert not late.is_late(hour_ago, 1)
    assert late.is_late(hour_ago, 2), "a writer that is found late sends its history first"
