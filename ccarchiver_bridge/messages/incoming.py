"""What the archiver understands, one model a message. Fields it has no use for may be there; they are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ccarchiver_bridge.messages import yaml_codec
from ccarchiver_core.base.errors import RejectedError

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings

KEY_LENGTH = 256
"""Longest id an answer may have; ours have about 40 characters."""


def _empty_for_none(value: object) -> object:
    return "" if value is None else value


Key = Annotated[str, Field(min_length=1, max_length=KEY_LENGTH)]
OptionalKey = Annotated[str | None, Field(max_length=KEY_LENGTH)]
Text = Annotated[str, Field(min_length=1)]
"""Status texts may be of any length: SAL gets what fits into its field, and MAX_MESSAGE_BYTES bounds them."""
OptionalText = Annotated[str, BeforeValidator(_empty_for_none)]
StatusCode = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""SAL's long is 32 bits wide."""


class Incoming(BaseModel):
    """Base of all; the fields have the names they have on the wire."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    MSG_TYPE: Key


class Ack(Incoming):
    """An answer of a peer; ACK_ID says to what."""

    ACK_ID: Key
    COMPONENT: OptionalKey = None


class AssociatedAck(Ack):
    """The Forwarder took the pairing; its key shows in Redis that it lives."""

    ASSOCIATION_KEY: Key


class NewItemAck(Ack):
    """The Controller's answer: where the image's files go, or a refusal."""

    TARGET_DIR: Annotated[str, BeforeValidator(_empty_for_none)] = ""
    IMAGE_ID: OptionalKey = None
    ACK_BOOL: bool = True


class HealthCheckAck(Ack):
    """The Controller lives."""

    SESSION_ID: OptionalKey = None


class ForwarderAck(Ack):
    """The Forwarder understood XFER_PARAMS, END_READOUT or HEADER_READY."""

    IMAGE_ID: OptionalKey = None


class IgnoredAck(Incoming):
    """An answer that needs nothing done."""

    ACK_ID: OptionalKey = None


class Retrieval(Incoming):
    """IMAGE_RETRIEVAL_FOR_ARCHIVING: one CCD's file is where it should be, or why not."""

    OBSID: Text
    RAFT: OptionalText = ""
    SENSOR: OptionalText = ""
    FILENAME: OptionalText = ""
    STATUS_CODE: StatusCode
    DESCRIPTION: OptionalText = ""


class Ingest(Retrieval):
    """IMAGE_IN_OODS, also under its older name: one file is in the butler, or why not."""

    CAMERA: Text
    ARCHIVER: Text


class MessageDecoder:
    """Turns bodies into models.

    Parameters
    ----------
    settings : `Settings`
        Some message names are a site's own.
    """

    STATUS: ClassVar[tuple[type[Incoming], ...]] = (Retrieval, Ingest)

    def __init__(self, settings: Settings) -> None:
        self._max_body = settings.max_message_bytes
        self._models: dict[str, type[Incoming]] = {
            "ASSOCIATED_ACK": AssociatedAck,
            f"{settings.new_archive_item}_ACK": NewItemAck,
            f"{settings.fwdr_xfer_params}_ACK": ForwarderAck,
            f"{settings.fwdr_end_readout}_ACK": ForwarderAck,
            f"{settings.fwdr_header_ready}_ACK": ForwarderAck,
            "ARCHIVE_HEALTH_CHECK_ACK": HealthCheckAck,
            settings.fwdr_health_check_ack: IgnoredAck,
            f"{settings.short_name}_ITEMS_XFERD_ACK": IgnoredAck,
            "IMAGE_RETRIEVAL_FOR_ARCHIVING": Retrieval,
            "IMAGE_IN_OODS": Ingest,
            settings.file_ingest_request: Ingest,
        }

    def read(self, body: bytes) -> Incoming:
        """Read and check one message.

        Raises
        ------
        RejectedError
            With the reason for the dead letter.
        """
        fields = yaml_codec.read(body, self._max_body)
        kind = fields.get("MSG_TYPE")
        if not isinstance(kind, str):
            raise RejectedError("no MSG_TYPE")
        model = self._models.get(kind)
        if model is None:
            raise RejectedError(f"unknown MSG_TYPE {kind[:64]!r}")
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise RejectedError(f"{kind}: {problems}") from None
