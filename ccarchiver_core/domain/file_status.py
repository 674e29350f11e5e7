"""The status of one file: as it arrives from a peer, and as the ledger keeps it."""

from __future__ import annotations

import enum
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator

from ccarchiver_core.domain.frozen_model import FrozenModel

TextOrNone = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""Text; None, which a message of an older version may have, becomes an empty text."""

CCD_SEPARATOR = "|"
"""Separator of raft and sensor in the name of a CCD."""


class StatusTopic(enum.StrEnum):
    """SAL event as which a file status is published."""

    RETRIEVAL = "imageRetrievalForArchiving"
    IN_OODS = "imageInOODS"


FileKey = tuple[StatusTopic, str, str, str]
"""Identity of the file of a status: topic, raft, sensor, file name."""

StatusContent = tuple[int, str, str, str]
"""Content of a status: code, description, camera, archiver."""


def ccd_name(raft: str, sensor: str, filename: str) -> str:
    """Return the name of a CCD: raft and sensor, or the file's name if one of them is missing."""
    return f"{raft}{CCD_SEPARATOR}{sensor}" if raft and sensor else filename


class FileStatus(FrozenModel):
    """Bridge → SAL: one status of one file; texts as received, empty where a field was missing."""

    kind: Literal["file_status"] = "file_status"
    topic: StatusTopic
    camera: str
    archiver: str
    obsid: str
    raft: TextOrNone
    sensor: TextOrNone
    filename: TextOrNone
    status_code: int
    description: str

    @property
    def key(self) -> FileKey:
        """The file and the topic that this status is about."""
        return self.topic, self.raft, self.sensor, self.filename

    @property
    def content(self) -> StatusContent:
        """Content of the status; two statuses of one file are duplicates if it is equal."""
        return self.status_code, self.description, self.camera, self.archiver

    @property
    def ccd(self) -> str:
        """The CCD by raft and sensor, or the file's name if one of them is missing."""
        return ccd_name(self.raft, self.sensor, self.filename)


class FileStatusRecord(NamedTuple):
    """The last published status of one file under one topic, in the ledger."""

    topic: StatusTopic
    raft: str
    sensor: str
    filename: str
    published_at: float
    """Unix time, UTC, seconds."""
    code: int
    """Status code; 0 means success."""
    description: str
    camera: str = ""
    archiver: str = ""

    @property
    def key(self) -> FileKey:
        """The file and the topic that this status is about."""
        return self.topic, self.raft, self.sensor, self.filename

    @property
    def content(self) -> StatusContent:
        """Content of the status, comparable with `FileStatus.content`."""
        return self.code, self.description, self.camera, self.archiver

    @property
    def ccd(self) -> str:
        """The CCD by raft and sensor, or the file's name if one of them is missing."""
        return ccd_name(self.raft, self.sensor, self.filename)
