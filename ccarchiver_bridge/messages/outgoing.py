"""Messages that the archiver sends, one model for each; the fields have their names on the wire."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ccarchiver_bridge.messages import yaml_codec
from ccarchiver_core.domain.exposure import Exposure, Instruction

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import PairedForwarder


SECONDS_A_MINUTE = 60


class Outgoing(BaseModel):
    """Base of all sent messages."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    MSG_TYPE: str
    ACK_ID: str
    REPLY_QUEUE: str

    def body(self) -> bytes:
        """Return the YAML form of the message."""
        return yaml_codec.write(self.model_dump(by_alias=True))


class Associated(Outgoing):
    """Invitation of a Forwarder to the session; the key is the archiver's association key."""

    ASSOCIATION_KEY: str


class HealthCheck(Outgoing):
    """Health check of the Controller."""

    SESSION_ID: str


class NewItem(Outgoing):
    """Announcement of an image to the Controller, which assigns the target directory."""

    JOB_NUM: int
    SESSION_ID: str
    IMAGE_ID: str
    image_name: str = Field(serialization_alias="imageName")
    image_index: int = Field(serialization_alias="imageIndex")
    images_in_sequence: int = Field(serialization_alias="imagesInSequence")
    image_date: str = Field(serialization_alias="imageDate")
    exposure_time: float = Field(serialization_alias="exposureTime")


class XferList(BaseModel):
    """Rafts and boards to read, and the Forwarder that reads them."""

    model_config = ConfigDict(frozen=True)

    RAFT_LIST: str | list[str]
    """Text for the one raft of ComCam and LATISS, as their Forwarders expect it."""
    RAFT_CCD_LIST: list[str]
    AT_FWDR: str


class XferParams(Outgoing):
    """Instruction to the Forwarder to fetch an image and copy it to the target directory."""

    SESSION_ID: str
    IMAGE_ID: str
    DEVICE: str
    JOB_NUM: int
    TARGET_LOCATION: str
    XFER_PARAMS: XferList


class EndReadout(Outgoing):
    """Instruction to the Forwarder: the pixels can be fetched."""

    JOB_NUM: int
    SESSION_ID: str
    IMAGE_ID: str
    IMAGES_IN_SEQUENCE: int
    IMAGE_INDEX: int


class HeaderReady(Outgoing):
    """Instruction to the Forwarder: the header file is at this URL."""

    FILENAME: str
    IMAGE_ID: str


class Scan(BaseModel):
    """Question to the Forwarder: which images has the camera taken? It has no ACK_ID."""

    model_config = ConfigDict(frozen=True)

    MSG_TYPE: str
    MINUTES: int
    """Maximum age of the images."""
    KEY: str
    """List in the archiver's database to which the Forwarder pushes their names."""
    REPLY_QUEUE: str

    def body(self) -> bytes:
        """Return the YAML form of the message."""
        return yaml_codec.write(self.model_dump())


class MessageBuilder:
    """Builder of the messages of one site.

    Parameters
    ----------
    settings : `Settings`
        Names, queues, addresses.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def associated(self, ack_id: str) -> Associated:
        """Return an ASSOCIATED message."""
        return Associated(
            MSG_TYPE="ASSOCIATED",
            ACK_ID=ack_id,
            REPLY_QUEUE=self._settings.forwarder_publish_queue,
            ASSOCIATION_KEY=self._settings.association_key,
        )

    def health_check(self, ack_id: str, session_id: str) -> HealthCheck:
        """Return an ARCHIVE_HEALTH_CHECK message."""
        return HealthCheck(
            MSG_TYPE="ARCHIVE_HEALTH_CHECK",
            ACK_ID=ack_id,
            REPLY_QUEUE=self._settings.forwarder_publish_queue,
            SESSION_ID=session_id,
        )

    def scan(self, key: str) -> Scan:
        """Return a SCAN message, whose names the Forwarder pushes to a list."""
        return Scan(
            MSG_TYPE="SCAN",
            MINUTES=math.ceil(self._settings.scan_window / SECONDS_A_MINUTE),
            KEY=key,
            REPLY_QUEUE=self._settings.forwarder_publish_queue,
        )

    def instruction(
        self,
        instruction: Instruction,
        exposure: Exposure,
        *,
        ack_id: str,
        session_id: str,
        forwarder: PairedForwarder | None,
    ) -> Outgoing:
        """Return one of an image's instructions; equal arguments yield equal messages.

        Raises
        ------
        ValueError
            If the exposure does not have the data for the instruction yet.
        """
        settings = self._settings
        reply = settings.forwarder_publish_queue
        match instruction:
            case Instruction.NEW_ITEM if exposure.start is not None:
                return NewItem(
                    MSG_TYPE=settings.new_archive_item,
                    ACK_ID=ack_id,
                    REPLY_QUEUE=reply,
                    JOB_NUM=exposure.job,
                    SESSION_ID=session_id,
                    IMAGE_ID=exposure.obsid,
                    **exposure.start.model_dump(exclude={"kind"}),
                )
            case Instruction.XFER_PARAMS if forwarder is not None:
                archive, raft = settings.archive, settings.wfs.raft
                return XferParams(
                    MSG_TYPE=settings.fwdr_xfer_params,
                    ACK_ID=ack_id,
                    REPLY_QUEUE=reply,
                    SESSION_ID=session_id,
                    IMAGE_ID=exposure.obsid,
                    DEVICE=settings.short_name,
                    JOB_NUM=exposure.job,
                    TARGET_LOCATION=f"{archive.archive_login}@{archive.archive_ip}:{exposure.target_dir}",
                    XFER_PARAMS=XferList(
                        RAFT_LIST=raft if isinstance(raft, str) else list(raft),
                        RAFT_CCD_LIST=list(settings.wfs.ccds),
                        AT_FWDR=forwarder.hostname,
                    ),
                )
            case Instruction.END_READOUT if exposure.end is not None:
                return EndReadout(
                    MSG_TYPE=settings.fwdr_end_readout,
                    ACK_ID=ack_id,
                    REPLY_QUEUE=reply,
                    JOB_NUM=exposure.job,
                    SESSION_ID=session_id,
                    IMAGE_ID=exposure.obsid,
                    IMAGES_IN_SEQUENCE=exposure.end.images_in_sequence,
                    IMAGE_INDEX=exposure.end.image_index,
                )
            case Instruction.HEADER_READY if exposure.header is not None:
                return HeaderReady(
                    MSG_TYPE=settings.fwdr_header_ready,
                    ACK_ID=ack_id,
                    REPLY_QUEUE=reply,
                    FILENAME=exposure.header.url,
                    IMAGE_ID=exposure.obsid,
                )
            case _:
                raise ValueError(f"{exposure.obsid}: not ready for {instruction}")
