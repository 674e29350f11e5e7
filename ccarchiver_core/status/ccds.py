"""One image CCD by CCD: which are waited for, retrieved, ingested, failed."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel

from ccarchiver_core.domain.worker_messages import StatusTopic
from ccarchiver_core.store import file_status_fields

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.store.file_status_fields import FileStatusRecord


class CcdState(enum.StrEnum):
    """How far one CCD's file is."""

    WAITING = "waiting"
    RETRIEVED = "retrieved"
    INGESTED = "ingested"
    FAILED = "failed"


class Ccd(BaseModel):
    """One CCD of one image; times are Unix seconds in UTC, None for what has not happened."""

    raft: str
    sensor: str
    filename: str = ""
    state: CcdState = CcdState.WAITING
    retrieved_at: float | None = None
    ingested_at: float | None = None
    code: int = 0
    """Status code of the last failure, if its last status is one."""
    description: str = ""


def ccds_of(record: dict[str, str], settings: Settings) -> list[Ccd]:
    """List an image's CCDs in the order of the focal plane: those expected, then those reported without being so.

    A file whose status names no raft and sensor (older releases of the OODS) is found by its name, if another status
    of that file has them.
    """
    found = {
        f"{raft}{file_status_fields.SEPARATOR}{sensor}": Ccd(raft=raft, sensor=sensor) for raft, sensor in settings.ccds
    }
    reports = file_status_fields.statuses_of(record)
    by_file = {_base(report.filename): report.ccd for report in reports if report.raft and report.sensor}
    for report in reports:
        name = report.ccd if report.sensor else by_file.get(_base(report.filename), report.ccd)
        ccd = found.setdefault(name, Ccd(raft=report.raft, sensor=report.sensor))
        _take(ccd, report)
    return list(found.values())


def _base(filename: str) -> str:
    return filename.rpartition("/")[2]


def _take(ccd: Ccd, report: FileStatusRecord) -> None:
    ccd.filename = _base(report.filename) or ccd.filename
    if report.code != 0:
        ccd.state, ccd.code, ccd.description = CcdState.FAILED, report.code, report.description
        return
    if report.topic is StatusTopic.RETRIEVAL:
        ccd.retrieved_at = report.at
    else:
        ccd.ingested_at = report.at
    ccd.state = CcdState.INGESTED if ccd.ingested_at else CcdState.RETRIEVED
    ccd.code, ccd.description = 0, ""
