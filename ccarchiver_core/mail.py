"""Letters the workers send each other. Each is small, complete in itself and harmless when it comes twice."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from ccarchiver_core.exposure import ExposureEvent
from ccarchiver_core.keys import Worker
from ccarchiver_core.programs import Program
from ccarchiver_core.site_sections import MAX_QUEUE_BYTES

TextOrNone = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""Text for which None, as an older letter may have it, means empty."""


class _Letter(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")


MAX_HOST = 253
"""Longest name the DNS has."""


class ForwarderEntry(_Letter):
    """A Forwarder as it listed itself; what was taken once stays so, also under a version with other rules."""

    hostname: str
    ip_address: str
    consume_queue: str


class ListedForwarder(ForwarderEntry):
    """A Forwarder as it lists itself; plain words only, as they go into messages, commands and names of queues."""

    hostname: str = Field(max_length=MAX_HOST, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    ip_address: str = Field(max_length=MAX_HOST, pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:%_-]*$")
    consume_queue: str = Field(max_length=MAX_QUEUE_BYTES, pattern=r"^[!-~]+$")


class ExposureMail(_Letter):
    """SAL → bridge: an event of one image is in the ledger."""

    kind: Literal["exposure"] = "exposure"
    obsid: str
    job: int
    event: ExposureEvent
    at: float = 0.0
    """Unix time it came, UTC, seconds."""
    is_first: bool = False
    """Whether it is the first that was heard of its image: before it, the ledger had nothing of that."""


class SessionChanged(_Letter):
    """SAL or health → the others: read the session again."""

    kind: Literal["session_changed"] = "session_changed"
    session_id: str


class AskForwarder(_Letter):
    """Health → bridge: send ASSOCIATED to this Forwarder and tell what came of it."""

    kind: Literal["ask_forwarder"] = "ask_forwarder"
    session_id: str
    epoch: int
    forwarder: ForwarderEntry


class Reply(enum.StrEnum):
    """What came of ASSOCIATED."""

    ASSOCIATED = "associated"
    SILENT = "silent"
    NO_CONSUMER = "no_consumer"
    REFUSED = "refused"


class ForwarderReply(_Letter):
    """Bridge → health: what came of ASSOCIATED."""

    kind: Literal["forwarder_reply"] = "forwarder_reply"
    session_id: str
    epoch: int
    reply: Reply
    presence_key: str = ""
    detail: str = ""


class Suspicion(enum.StrEnum):
    """Why the paired Forwarder is to be given up."""

    NO_CONSUMER = "no_consumer"
    OWES_ACK = "owes_ack"
    RELEASED = "released"
    """An operator wants another one."""


class ForwarderSuspect(_Letter):
    """Bridge or operator → health: the paired Forwarder seems lost, or is to be replaced."""

    kind: Literal["forwarder_suspect"] = "forwarder_suspect"
    session_id: str
    epoch: int
    suspicion: Suspicion
    code: int
    report: str


class PurgeQueues(_Letter):
    """Health → bridge: empty the queues in `keys.TO_PURGE` before anyone else serves them."""

    kind: Literal["purge_queues"] = "purge_queues"
    session_id: str


class ProgramEnded(_Letter):
    """Event listener → health: a program under supervisord has ended, or was given up."""

    kind: Literal["program_ended"] = "program_ended"
    program: Program


class Requeue(_Letter):
    """Operator → bridge: handle these bytes again as if they came from that queue."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["requeue"] = "requeue"
    queue: str
    raw: bytes


class SessionUp(_Letter):
    """Health → SAL: paired and connected."""

    kind: Literal["session_up"] = "session_up"
    session_id: str


class SessionDown(_Letter):
    """Bridge or health → SAL: this worker has ended its part of the session."""

    kind: Literal["session_down"] = "session_down"
    session_id: str
    worker: Worker


class SessionFault(_Letter):
    """Bridge or health → SAL: the session cannot go on."""

    kind: Literal["session_fault"] = "session_fault"
    session_id: str
    code: int
    report: str


class StatusTopic(enum.StrEnum):
    """Which SAL event a file's status becomes."""

    RETRIEVAL = "imageRetrievalForArchiving"
    IN_OODS = "imageInOODS"


class FileStatus(_Letter):
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


Mail = (
    ExposureMail
    | SessionChanged
    | AskForwarder
    | ForwarderReply
    | ForwarderSuspect
    | PurgeQueues
    | SessionUp
    | SessionDown
    | SessionFault
    | FileStatus
    | ProgramEnded
    | Requeue
)

MAIL: TypeAdapter[Mail] = TypeAdapter(Annotated[Mail, Field(discriminator="kind")])
"""Reads a letter of any kind."""
