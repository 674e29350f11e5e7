"""Messages between the workers. Each is small, complete and harmless if it arrives twice."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from ccarchiver_core.domain.exposure import ExposureEvent
from ccarchiver_core.domain.file_status import FileStatus
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.frozen_model import FrozenModel
from ccarchiver_core.domain.supervised_process import SupervisedProcess
from ccarchiver_core.keys import Worker


class ExposureEventMessage(FrozenModel):
    """SAL → bridge: an event of one image is in the ledger."""

    kind: Literal["exposure"] = "exposure"
    obsid: str
    job: int
    event: ExposureEvent
    received_at: float = 0.0
    """Time at which the event arrived: Unix time, UTC, seconds."""
    is_new_image: bool = False
    """Whether the ledger had no record of the image before this event."""


class SessionChanged(FrozenModel):
    """SAL or health → the others: read the session again."""

    kind: Literal["session_changed"] = "session_changed"
    session_id: str


class AssociateForwarder(FrozenModel):
    """Health → bridge: send ASSOCIATED to this Forwarder and return the result."""

    kind: Literal["associate_forwarder"] = "associate_forwarder"
    session_id: str
    epoch: int
    forwarder: ForwarderEntry


class AssociationOutcome(enum.StrEnum):
    """Outcome of an association attempt."""

    ASSOCIATED = "associated"
    SILENT = "silent"
    NO_CONSUMER = "no_consumer"
    DECLINED = "declined"


class AssociationResult(FrozenModel):
    """Bridge → health: the result of an association attempt."""

    kind: Literal["association_result"] = "association_result"
    session_id: str
    epoch: int
    result: AssociationOutcome
    presence_key: str = ""
    detail: str = ""


class ReplaceReason(enum.StrEnum):
    """Why the paired Forwarder must be replaced."""

    NO_CONSUMER = "no_consumer"
    MISSING_ACK = "missing_ack"
    RELEASED = "released"
    """An operator has released it."""


class ReplaceForwarder(FrozenModel):
    """Bridge or operator → health: the paired Forwarder is probably lost, or must be replaced."""

    kind: Literal["replace_forwarder"] = "replace_forwarder"
    session_id: str
    epoch: int
    reason: ReplaceReason
    code: int
    report: str


class PurgeQueues(FrozenModel):
    """Health → bridge: purge the queues in `keys.QUEUES_TO_PURGE` before they are used again."""

    kind: Literal["purge_queues"] = "purge_queues"
    session_id: str


class RequestScan(FrozenModel):
    """Operator → health: request a scan as soon as no exposure is in progress."""

    kind: Literal["request_scan"] = "request_scan"


class ScanForwarder(FrozenModel):
    """Health → bridge: send SCAN to the paired Forwarder."""

    kind: Literal["scan_forwarder"] = "scan_forwarder"
    session_id: str
    epoch: int
    number: int
    """Number of the scan."""


class ScanAnswered(FrozenModel):
    """Bridge → health: a SCAN_ACK has arrived. It does not show which scan it answers."""

    kind: Literal["scan_answered"] = "scan_answered"


class ArchiveMissed(FrozenModel):
    """Health → SAL: accept a missed image, so that it is archived like any other one."""

    kind: Literal["archive_missed"] = "archive_missed"
    session_id: str
    obsid: str
    header_url: str = ""
    """Address of its header; empty if that is not known."""


class ProcessExited(FrozenModel):
    """Event listener → health: a process under supervisord has exited or entered FATAL."""

    kind: Literal["process_exited"] = "process_exited"
    process: SupervisedProcess


class Requeue(FrozenModel):
    """Operator → bridge: process these bytes again like a message from that queue."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["requeue"] = "requeue"
    queue: str
    raw: bytes


class SessionStarted(FrozenModel):
    """Health → SAL: the session is paired and connected."""

    kind: Literal["session_started"] = "session_started"
    session_id: str


class SessionStopped(FrozenModel):
    """Bridge or health → SAL: this worker has ended its part of the session."""

    kind: Literal["session_stopped"] = "session_stopped"
    session_id: str
    worker: Worker


class SessionFailed(FrozenModel):
    """Bridge or health → SAL: the session cannot continue."""

    kind: Literal["session_failed"] = "session_failed"
    session_id: str
    code: int
    report: str


WorkerMessage = (
    ExposureEventMessage
    | SessionChanged
    | AssociateForwarder
    | AssociationResult
    | ReplaceForwarder
    | PurgeQueues
    | SessionStarted
    | SessionStopped
    | SessionFailed
    | FileStatus
    | RequestScan
    | ScanForwarder
    | ScanAnswered
    | ArchiveMissed
    | ProcessExited
    | Requeue
)

WORKER_MESSAGE_ADAPTER: TypeAdapter[WorkerMessage] = TypeAdapter(
    Annotated[WorkerMessage, Field(discriminator="kind")]
)
"""Parses a message of any kind."""
