"""The ledger fields of file statuses: one for each file and topic.

The name is ``topic|raft|sensor|filename``. The value is the Unix time of publication (UTC), a
space, and the content as a short JSON list. Only `ccarchiver_core.store.image_ledger` uses this
module.
"""

from __future__ import annotations

import json
import re

from pydantic import TypeAdapter

from ccarchiver_core.domain.file_status import FileStatus, FileStatusRecord, StatusTopic
from ccarchiver_core.domain.record_types import Code
from ccarchiver_core.store.field_parser import parse_time

PREFIX = {StatusTopic.RETRIEVAL: "retrieval", StatusTopic.IN_OODS: "in_oods"}
"""The first part of a field's name, by topic."""

SEPARATOR = "|"
"""Separates the parts of a field's name. Within a part a backslash precedes it."""

_CONTENT: TypeAdapter[tuple[Code, str, str, str]] = TypeAdapter(tuple[Code, str, str, str])

_PARTS = re.compile(r"((?:[^\\|]|\\.)*)(?:\||$)", re.DOTALL)


def field_of(status: FileStatus) -> str:
    """Return the name of the ledger field that holds a file's status."""
    parts = (
        part.replace("\\", "\\\\").replace(SEPARATOR, r"\|")
        for part in (status.raft, status.sensor, status.filename)
    )
    return SEPARATOR.join((PREFIX[status.topic], *parts))


def value_of(status: FileStatus, published_at: float) -> str:
    """Return the value of a status' field, for a publication time in Unix seconds (UTC)."""
    return f"{published_at:.3f} {json.dumps(status.content, separators=(',', ':'))}"


def is_status(field: str) -> bool:
    """Return whether a field of an image's hash is a file's status."""
    return SEPARATOR in field


def read_field(field: str, value: str) -> FileStatusRecord:
    """Return the record that a field and its value hold."""
    found = _PARTS.findall(field)[:4]
    if len(found) != len(("topic", "raft", "sensor", "filename")):
        raise ValueError("not the name of a file status")
    prefix, raft, sensor, filename = (re.sub(r"\\(.)", r"\1", part) for part in found)
    topics = {name: topic for topic, name in PREFIX.items()}
    if prefix not in topics:
        raise ValueError(f"{field!r} is not a field of a file status")
    topic = topics[prefix]
    at, _, listed = value.partition(" ")
    code, description, camera, archiver = _CONTENT.validate_json(listed)
    return FileStatusRecord(
        topic, raft, sensor, filename, parse_time(at), code, description, camera, archiver
    )


def statuses_of(fields: dict[str, str]) -> list[FileStatusRecord]:
    """Return the last status of each file and topic in an image's hash, oldest first."""
    found = [read_field(field, value) for field, value in fields.items() if is_status(field)]
    return sorted(found, key=lambda status: status.published_at)
