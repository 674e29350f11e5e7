"""The ledger fields of file statuses: one field a file and topic, ``topic|raft|sensor|filename``.

The value is the Unix time of the report in UTC, a blank, and what was reported as a short JSON list. Two reports are
the same when these lists are.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic

PREFIX = {StatusTopic.RETRIEVAL: "retrieval", StatusTopic.IN_OODS: "in_oods"}
"""How the ledger fields of each status topic begin."""

DONE = {StatusTopic.RETRIEVAL: "retrieved", StatusTopic.IN_OODS: "ingested"}
"""Ledger fields that count the good CCDs of each topic."""

SEPARATOR = "|"
"""Between the parts of a status field's name; where a part has it itself, a backslash stands before it."""

_PARTS = re.compile(r"((?:[^\\|]|\\.)*)(?:\||$)", re.DOTALL)


class FileStatusRecord(NamedTuple):
    """The last status of one file under one topic, as the ledger has it."""

    topic: StatusTopic
    raft: str
    sensor: str
    filename: str
    at: float
    """Unix time in UTC, seconds."""
    code: int
    """0 is success."""
    description: str

    @property
    def ccd(self) -> str:
        """The CCD by raft and sensor, or the file's name if it lacks them."""
        return _ccd(self.raft, self.sensor, self.filename)


def _ccd(raft: str, sensor: str, filename: str) -> str:
    return f"{raft}{SEPARATOR}{sensor}" if raft and sensor else filename


def field_of(status: FileStatus) -> str:
    """Name the ledger field of a file's status."""
    parts = (
        part.replace("\\", "\\\\").replace(SEPARATOR, r"\|") for part in (status.raft, status.sensor, status.filename)
    )
    return SEPARATOR.join((PREFIX[status.topic], *parts))


def ccd_of(status: FileStatus) -> str:
    """Name the CCD a status is about: by raft and sensor, or by file name if it lacks them."""
    return _ccd(status.raft, status.sensor, status.filename)


def value_of(status: FileStatus, at: float) -> str:
    """Make the value of a status' field, for a report put at a Unix time in UTC (seconds)."""
    return f"{at:.3f} {content_of(status)}"


def content_of(status: FileStatus) -> str:
    """Make that part of the value that says what was reported; equal for equal reports."""
    return json.dumps([status.status_code, status.description, status.camera, status.archiver], separators=(",", ":"))


def content(value: str) -> str:
    """Take what was reported out of a field's value."""
    return value.partition(" ")[2]


def is_status(field: str) -> bool:
    """Tell whether a field of an image's record is a file's status."""
    return SEPARATOR in field


def read_field(field: str, value: str) -> FileStatusRecord:
    """Read one field back."""
    prefix, raft, sensor, filename = (re.sub(r"\\(.)", r"\1", part) for part in _PARTS.findall(field)[:4])
    topic = next(topic for topic, name in PREFIX.items() if name == prefix)
    at, _, listed = value.partition(" ")
    code, description, *_ = json.loads(listed)
    return FileStatusRecord(topic, raft, sensor, filename, float(at), code, description)


def statuses_of(record: dict[str, str]) -> list[FileStatusRecord]:
    """Collect the last status of each file and topic in an image's record, oldest first."""
    found = [read_field(field, value) for field, value in record.items() if is_status(field)]
    return sorted(found, key=lambda report: report.at)


def good_ccds(record: dict[str, str], topic: StatusTopic) -> set[str]:
    """Collect the CCDs whose last status under a topic is success."""
    return {report.ccd for report in statuses_of(record) if report.topic is topic and report.code == 0}


def count_good(record: dict[str, str], topic: StatusTopic) -> int:
    """Count the CCDs whose last status under a topic is success."""
    return len(good_ccds(record, topic))
