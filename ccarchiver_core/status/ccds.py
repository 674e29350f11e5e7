"""The state of each CCD of one image: waiting, retrieved, ingested or failed."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.domain.file_status import StatusTopic, ccd_name

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.file_status import FileStatusRecord
    from ccarchiver_core.domain.image_record import ImageRecord


class CcdState(enum.StrEnum):
    """State of the file of one CCD."""

    WAITING = "waiting"
    RETRIEVED = "retrieved"
    INGESTED = "ingested"
    FAILED = "failed"


class Ccd(BaseModel):
    """One CCD of one image. Times are Unix seconds in UTC; None for what has not happened."""

    raft: str
    sensor: str
    filename: str = ""
    state: CcdState = CcdState.WAITING
    retrieved_at: float | None = None
    ingested_at: float | None = None
    code: int = 0
    """Status code of the last status if that is a failure, otherwise 0."""
    description: str = ""


def ccds_of(record: ImageRecord, settings: Settings) -> list[Ccd]:
    """Return the CCDs of an image: the expected ones in focal plane sequence, then others.

    A status of an older OODS does not name raft and sensor. Its CCD is found by the file's name,
    if another status of that file names them.
    """
    found = {
        ccd_name(raft, sensor, ""): Ccd(raft=raft, sensor=sensor) for raft, sensor in settings.ccds
    }
    statuses = record.statuses
    by_file = {
        _base(status.filename): status.ccd for status in statuses if status.raft and status.sensor
    }
    for status in statuses:
        name = status.ccd if status.sensor else by_file.get(_base(status.filename), status.ccd)
        ccd = found.setdefault(name, Ccd(raft=status.raft, sensor=status.sensor))
        _apply(ccd, status)
    return list(found.values())


def _base(filename: str) -> str:
    return filename.rpartition("/")[2]


def _apply(ccd: Ccd, status: FileStatusRecord) -> None:
    ccd.filename = _base(status.filename) or ccd.filename
    if status.code != 0:
        ccd.state, ccd.code, ccd.description = CcdState.FAILED, status.code, status.description
        return
    if status.topic is StatusTopic.RETRIEVAL:
        ccd.retrieved_at = status.published_at
    else:
        ccd.ingested_at = status.published_at
    ccd.state = CcdState.INGESTED if ccd.ingested_at else CcdState.RETRIEVED
    ccd.code, ccd.description = 0, ""
