"""Messages that the archiver accepts, one model for each. Fields without a use are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ccarchiver_bridge.messages import yaml_codec
from ccarchiver_core.base.errors import RejectedError

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings

KEY_LENGTH = 256
"""Longest id accepted in a message; the archiver's own have about 40 characters."""


def _empty_for_none(value: object) -> object:
    return "" if value is None else value


Key = Annotated[str, Field(min_length=1, max_length=KEY_LENGTH)]
OptionalKey = Annotated[str | None, Field(max_length=KEY_LENGTH)]
Text = Annotated[str, Field(min_length=1)]
"""A status text has no limit but MAX_MESSAGE_BYTES; SAL gets what fits into its field."""
OptionalText = Annotated[str, BeforeValidator(_empty_for_none)]
StatusCode = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""SAL's long is 32 bits wide."""


class Incoming(BaseModel):
    """Base of all received messages; the fields have their names on the wire."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    MSG_TYPE: Key


class Ack(Incoming):
    """Acknowledgement of a peer; ACK_ID identifies the message that it acknowledges."""

    ACK_ID: Key
    COMPONENT: OptionalKey = None


class AssociatedAck(Ack):
    """Acceptance of an association by a Forwarder; it names its presence key in Redis."""

    ASSOCIATION_KEY: Key


class NewItemAck(Ack):
    """Acknowledgement of an image by the Controller: its target directory, or a rejection."""

    TARGET_DIR: Annotated[str, BeforeValidator(_empty_for_none)] = ""
    IMAGE_ID: OptionalKey = None
    ACK_BOOL: bool = True


class HealthCheckAck(Ack):
    """Answer of the Controller to a health check."""

    SESSION_ID: OptionalKey = None


class ForwarderAck(Ack):
    """Acknowledgement of XFER_PARAMS, END_READOUT or HEADER_READY by the Forwarder."""

    IMAGE_ID: OptionalKey = None


class ScanAck(Incoming):
    """End of a scan by the Forwarder. It has no ACK_ID, so it does not name the scan."""


class IgnoredAck(Incoming):
    """Acknowledgement that needs no action."""

    ACK_ID: OptionalKey = None


class Retrieval(Incoming):
    """IMAGE_RETRIEVAL_FOR_ARCHIVING: one CCD's file is in its place, or why not."""

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
    """Decoder of message bodies into models.

    Parameters
    ----------
    settings : `Settings`
        Settings of the site, which may have its own names for some messages.
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
            "SCAN_ACK": ScanAck,
            "ARCHIVE_HEALTH_CHECK_ACK": HealthCheckAck,
            settings.fwdr_health_check_ack: IgnoredAck,
            f"{settings.short_name}_ITEMS_XFERD_ACK": IgnoredAck,
            "IMAGE_RETRIEVAL_FOR_ARCHIVING": Retrieval,
            "IMAGE_IN_OODS": Ingest,
            settings.file_ingest_request: Ingest,
        }

    def read(self, body: bytes) -> Incoming:
        """Return the validated model of one message.

        Raises
        ------
        RejectedError
            If the message is not valid; the text is the reason in the dead letter.
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
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
            )
            raise RejectedError(f"{kind}: {problems}") from None
