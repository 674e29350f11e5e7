"""The newest events that the CSC has put, in a file that survives the death of the process.

An event is put before its record is written to Redis. If Redis and the CSC are both killed while
records are in flight, the file is all that shows which events were put.
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.domain.file_status import FileStatus

FILE_NAME: Final = "ccarchiver_sal.puts"
"""Name of the file in the log directory."""

SLOTS: Final = 256
"""Events that the file holds.

Fewer puts have no record in Redis at once: `MAX_INFLIGHT_BYTES` of the transaction pipeline has
room for the records of about 100 of the shortest statuses, and one batch of 32 is beside them.
"""

_DIGEST_BYTES: Final = 16
"""Enough that two different statuses never have the same digest."""

_SLOT: Final = struct.Struct(f">Q{_DIGEST_BYTES}s")
"""A slot: the number of the put, which finds the newest slot, and the digest of the event."""

_NUMBER_LIMIT: Final = 1 << 63
"""Higher numbers are never reached: such a slot was damaged, for example by a crash of the machine.
"""

_FILE_MODE: Final = 0o600

_log = structlog.get_logger(__name__)


class RecentPuts:
    """The newest events put by this process and by the ones before it.

    The file has a fixed size and is written without fsync: the operating system keeps what a killed
    process has written. After a crash of the machine, slots can be missing or unreadable. Their
    events are put again, as without the file.

    Parameters
    ----------
    folder : `pathlib.Path` or None
        Directory of the file; None for no file.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._descriptor: int | None = None
        self._number = 0
        self._earlier: frozenset[bytes] = frozenset()

    def open(self) -> None:
        """Read the events put by earlier processes, and prepare the file for new ones.

        If the file cannot be used, this is logged, and the CSC works without it.
        """
        if self._path is None:
            return
        try:
            # No link is followed: the file must be in the log directory.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, _FILE_MODE)
            # With all blocks allocated, a later write does not fail because the disk is full.
            os.posix_fallocate(self._descriptor, 0, SLOTS * _SLOT.size)
            slots = list(_SLOT.iter_unpack(os.pread(self._descriptor, SLOTS * _SLOT.size, 0)))
        except OSError as error:
            self._stop_using(error)
            return
        written = [(number, digest) for number, digest in slots if 0 < number < _NUMBER_LIMIT]
        self._number = max((number for number, _ in written), default=0)
        self._earlier = frozenset(digest for _, digest in written)

    @property
    def is_usable(self) -> bool:
        """Whether the file records each put."""
        return self._descriptor is not None

    def close(self) -> None:
        """Close the file. Safe to repeat."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def has(self, entry_id: str, status: FileStatus) -> bool:
        """Return whether an earlier process has put the event of a mailbox entry.

        The content is compared as well as the id: after a loss of Redis' data, another entry can
        have the same id.
        """
        return bool(self._earlier) and _digest(entry_id, status) in self._earlier

    def add(self, entry_id: str, status: FileStatus) -> None:
        """Record that the event of a mailbox entry was put."""
        if self._descriptor is None:
            return
        self._number += 1
        slot = _SLOT.pack(self._number, _digest(entry_id, status))
        try:
            os.pwrite(self._descriptor, slot, self._number % SLOTS * _SLOT.size)
        except OSError as error:
            self._stop_using(error)

    def _stop_using(self, error: OSError) -> None:
        self.close()
        _log.warning(
            "recent_puts.unusable",
            path=str(self._path),
            reason=error.strerror,
            effect="if Redis and the CSC are killed together, some events are put twice",
            remedy="make the log directory writable, then supervisorctl restart ccarchiver:sal",
        )


def _digest(entry_id: str, status: FileStatus) -> bytes:
    text = f"{entry_id} {status.model_dump_json()}"
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
