from __future__ import annotations

from benchmarks.event_times import EventTimes

MS = 1_000_000


def test_duration_excludes_the_peers_own_time() -> None:
    times = EventTimes()
    times.add(
        [("put", "a", 0), ("question", "a", 2 * MS), ("answer", "a", 5 * MS), ("got", "a", 9 * MS)]
    )
    assert times.durations_ms("put", "got", ["a"]) == [9]
    assert times.durations_ms("put", "got", ["a"], less=("question", "answer")) == [6]


def test_event_that_never_arrived_is_missing_and_has_no_duration() -> None:
    times = EventTimes()
    times.add([("put", "a", 0), ("put", "b", 0), ("got", "b", MS)])
    assert times.missing("got", ["a", "b"]) == ["a"]
    assert times.durations_ms("put", "got", ["a", "b"]) == [1]


def test_first_time_of_a_repeated_event_counts() -> None:
    times = EventTimes()
    times.add([("got", "a", MS), ("got", "a", 3 * MS)])
    assert times.of("got") == {"a": MS}
    assert times.repeated == {"got": 1}
