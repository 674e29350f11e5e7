from __future__ import annotations

from benchmarks.event_times import EventTimes

MS = 1_000_000


def test_a_peers_own_time_is_taken_off() -> None:
    receipts = EventTimes()
    receipts.add([("put", "a", 0), ("question", "a", 2 * MS), ("answer", "a", 5 * MS), ("got", "a", 9 * MS)])
    assert receipts.durations_ms("put", "got", ["a"]) == [9]
    assert receipts.durations_ms("put", "got", ["a"], less=("question", "answer")) == [6]


def test_what_never_came_is_missing_and_has_no_duration() -> None:
    receipts = EventTimes()
    receipts.add([("put", "a", 0), ("put", "b", 0), ("got", "b", MS)])
    assert receipts.missing("got", ["a", "b"]) == ["a"]
    assert receipts.durations_ms("put", "got", ["a", "b"]) == [1]


def test_of_what_comes_twice_the_first_counts() -> None:
    receipts = EventTimes()
    receipts.add([("got", "a", MS), ("got", "a", 3 * MS)])
    assert receipts.of("got") == {"a": MS}
    assert receipts.repeated == {"got": 1}
