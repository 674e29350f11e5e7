"""RecentPuts: which events were put, after the death of the process that put them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_sal.recent_puts import FILE_NAME, SLOTS, RecentPuts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRY = "1700000000000-1"


def status(description: str = "ok") -> FileStatus:
    return FileStatus(
        topic=StatusTopic.IN_OODS,
        camera="COMCAM",
        archiver="CCArchiver",
        obsid="CC_O_20261122_000001",
        raft="22",
        sensor="S00",
        filename="CC_O_20261122_000001-R22S00.fits",
        status_code=0,
        description=description,
    )


class Starts:
    """Starts one process after the other; each ends without closing its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[RecentPuts] = []

    def next(self) -> RecentPuts:
        puts = RecentPuts(self._folder)
        puts.open()
        self._started.append(puts)
        return puts

    def close(self) -> None:
        for puts in self._started:
            puts.close()


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    made = Starts(tmp_path)
    yield made
    made.close()


def test_next_process_knows_what_was_put(starts: Starts) -> None:
    starts.next().add(ENTRY, status())

    puts = starts.next()

    assert puts.has(ENTRY, status())
    assert not puts.has(ENTRY, status("another content"))
    assert not puts.has("1700000000000-2", status())


def test_first_process_knows_of_no_put(starts: Starts) -> None:
    assert not starts.next().has(ENTRY, status())


def test_newest_events_are_kept_over_several_starts(starts: Starts) -> None:
    for start in range(0, 3 * SLOTS, SLOTS // 4):
        puts = starts.next()
        for number in range(start, start + SLOTS // 4):
            puts.add(str(number), status())

    puts = starts.next()
    known = [number for number in range(3 * SLOTS) if puts.has(str(number), status())]

    assert known == list(range(2 * SLOTS, 3 * SLOTS))


def test_file_does_not_grow(starts: Starts, tmp_path: Path) -> None:
    puts = starts.next()
    before = (tmp_path / FILE_NAME).stat().st_size
    for number in range(2 * SLOTS):
        puts.add(str(number), status())

    assert (tmp_path / FILE_NAME).stat().st_size == before


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100, b"\xff" * 100_000])
def test_damaged_file_is_used_again(starts: Starts, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    puts = starts.next()

    assert not puts.has(ENTRY, status())
    puts.add(ENTRY, status())
    assert starts.next().has(ENTRY, status())


def test_link_is_not_followed(starts: Starts, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"content")
    (tmp_path / FILE_NAME).symlink_to(other)

    starts.next().add(ENTRY, status())

    assert other.read_bytes() == b"content"


@pytest.mark.parametrize("folder", ["missing", None])
def test_without_a_usable_folder_nothing_is_known(tmp_path: Path, folder: str | None) -> None:
    puts = RecentPuts(None if folder is None else tmp_path / folder)

    with structlog.testing.capture_logs() as lines:
        puts.open()
        puts.add(ENTRY, status())

    assert not puts.has(ENTRY, status())
    assert [line["event"] for line in lines] == (["recent_puts.unusable"] if folder else [])


def test_failing_write_is_logged_once(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    puts = starts.next()

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.pwrite", fail)

    with structlog.testing.capture_logs() as lines:
        puts.add(ENTRY, status())
        puts.add(ENTRY, status())

    assert [line["event"] for line in lines] == ["recent_puts.unusable"]
