"""Letters the workers send each other. Each is small, complete in itself and harmless when it comes twice."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from ccarchiver_core.domain.exposure import ExposureEvent
from ccarchiver_core.domain.forwarder import ForwarderEntry
from ccarchiver_core.domain.frozen_model import FrozenModel
from ccarchiver_core.domain.supervised_process import SupervisedProcess
from ccarchiver_core.keys import Worker

TextOrNone = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""Text for which None, as an older letter may have it, means empty."""


class ExposureEventMessage(FrozenModel):
    """SAL → bridge: an event of one image is in the ledger."""

    kind: Literal["exposure"] = "exposure"
    obsid: str
    job: int
    event: ExposureEvent
    received_at: float = 0.0
    """Unix time it came, UTC, seconds."""
    is_new_image: bool = False
    """Whether it is the first that was heard of its image: before it, the ledger had nothing of that."""


class SessionChanged(FrozenModel):
    """SAL or health → the others: read the session again."""

    kind: Literal["session_changed"] = "session_changed"
    session_id: str


class AssociateForwarder(FrozenModel):
    """Health → bridge: send ASSOCIATED to this Forwarder and tell what came of it."""

    kind: Literal["associate_forwarder"] = "associate_forwarder"
    session_id: str
    epoch: int
    forwarder: ForwarderEntry


class AssociationOutcome(enum.StrEnum):
    """What came of ASSOCIATED."""

    ASSOCIATED = "associated"
    SILENT = "silent"
    NO_CONSUMER = "no_consumer"
    DECLINED = "refused"


class AssociationResult(FrozenModel):
    """Bridge → health: what came of ASSOCIATED."""

    kind: Literal["association_result"] = "association_result"
    session_id: str
    epoch: int
    result: AssociationOutcome
    presence_key: str = ""
    detail: str = ""


class ReplaceReason(enum.StrEnum):
    """Why the paired Forwarder is to be given up."""

    NO_CONSUMER = "no_consumer"
    OWES_ACK = "owes_ack"
    RELEASED = "released"
    """An operator wants another one."""


class ReplaceForwarder(FrozenModel):
    """Bridge or operator → health: the paired Forwarder seems lost, or is to be replaced."""

    kind: Literal["replace_forwarder"] = "replace_forwarder"
    session_id: str
    epoch: int
    reason: ReplaceReason
    code: int
    report: str


class PurgeQueues(FrozenModel):
    """Health → bridge: empty the queues in `keys.QUEUES_TO_PURGE` before anyone else serves them."""

    kind: Literal["purge_queues"] = "purge_queues"
    session_id: str


class ProcessExited(FrozenModel):
    """Event listener → health: a program under supervisord has ended, or was given up."""

    kind: Literal["process_exited"] = "process_exited"
    process: SupervisedProcess


class Requeue(FrozenModel):
    """Operator → bridge: handle these bytes again as if they came from that queue."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["requeue"] = "requeue"
    queue: str
    raw: bytes


class SessionStarted(FrozenModel):
    """Health → SAL: paired and connected."""

    kind: Literal["session_started"] = "session_started"
    session_id: str


class SessionStopped(FrozenModel):
    """Bridge or health → SAL: this worker has ended its part of the session."""

    kind: Literal["session_stopped"] = "session_stopped"
    session_id: str
    worker: Worker


class SessionFailed(FrozenModel):
    """Bridge or health → SAL: the session cannot go on."""

    kind: Literal["session_failed"] = "session_failed"
    session_id: str
    code: int
    report: str


class StatusTopic(enum.StrEnum):
    """Which SAL event a file's status becomes."""

    RETRIEVAL = "imageRetrievalForArchiving"
    IN_OODS = "imageInOODS"


class FileStatus(FrozenModel):
    """Bridge → SAL: one status of one file; texts as they came, empty where the field was missing."""

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
    | ProcessExited
    | Requeue
)

WORKER_MESSAGE_ADAPTER: TypeAdapter[WorkerMessage] = TypeAdapter(Annotated[WorkerMessage, Field(discriminator="kind")])
"""Reads a letter of any kind."""
