"""The topics and fields that the archiver uses, by kind of component.

A topic or field that is not needed is left out where the IDL at hand lacks it. Without a needed
one, the CSC could not be operated, or an image would be lost or reported ambiguously.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccarchiver_core.config.site_sections import SalNames

PRIVATE = ("private_sndStamp", "private_seqNum", "private_identity", "private_origin")
"""Fields of every topic by which samples are told apart."""

_STATUS = ("camera", "obsid", "raft", "sensor", "archiverName", "statusCode")
_AUTHORIZATION = ("authorizedUsers", "nonAuthorizedCSCs")


@dataclass(frozen=True)
class TopicNeed:
    """One topic and its fields."""

    topic: str
    """SAL's name, such as ``logevent_summaryState``."""
    fields: tuple[str, ...] = ()
    """Fields without which the topic cannot be used."""
    optional_fields: tuple[str, ...] = ()
    """Fields that are left out where they are missing."""
    is_required: bool = True
    """Whether the archiver cannot run without the topic."""


ARCHIVER = (
    TopicNeed("command_start"),
    TopicNeed("command_enable"),
    TopicNeed("command_disable"),
    TopicNeed("command_standby"),
    TopicNeed("command_exitControl"),
    TopicNeed("command_resetFromFault", is_required=False),
    TopicNeed("command_setAuthList", _AUTHORIZATION, is_required=False),
    TopicNeed("command_setLogLevel", ("level",), is_required=False),
    TopicNeed("ackcmd", ("ack", "error", "result", "timeout")),
    TopicNeed("logevent_imageRetrievalForArchiving", _STATUS, ("description",)),
    TopicNeed("logevent_imageInOODS", _STATUS, ("description",)),
    TopicNeed("logevent_summaryState", ("summaryState",)),
    TopicNeed("logevent_errorCode", ("errorCode", "errorReport", "traceback")),
    TopicNeed("logevent_heartbeat"),
    TopicNeed("logevent_logLevel", ("level",)),
    TopicNeed(
        "logevent_logMessage",
        (
            "name",
            "level",
            "message",
            "traceback",
            "filePath",
            "functionName",
            "lineNumber",
            "process",
        ),
    ),
    TopicNeed("logevent_simulationMode", ("mode",)),
    TopicNeed(
        "logevent_softwareVersions", ("salVersion", "xmlVersion", "openSpliceVersion", "cscVersion")
    ),
    TopicNeed("logevent_authList", _AUTHORIZATION),
    TopicNeed(
        "logevent_settingVersions",
        ("recommendedSettingsVersion", "recommendedSettingsLabels"),
        is_required=False,
    ),
    TopicNeed(
        "logevent_settingsApplied",
        ("settingsVersion",),
        ("otherSettingsEvents",),
        is_required=False,
    ),
    TopicNeed(
        "logevent_appliedSettingsMatchStart",
        ("appliedSettingsMatchStartIsTrue",),
        is_required=False,
    ),
)
"""What the CSC publishes and executes. salobj itself needs the generic ones of them."""

CAMERA = (
    TopicNeed(
        "logevent_startIntegration",
        ("imageName", "imageIndex", "imagesInSequence", "imageDate", "exposureTime"),
        ("timestampAcquisitionStart",),
    ),
    TopicNeed(
        "logevent_endReadout",
        ("imageName", "imageIndex", "imagesInSequence"),
        ("imageDate", "timestampAcquisitionStart", "timestampEndOfReadout"),
    ),
)
"""What the archiver receives from the camera."""

HEADER_SERVICE = (TopicNeed("logevent_largeFileObjectAvailable", ("id", "url"), ("checkSum",)),)
"""What the archiver receives from the header service."""


def needs_of(names: SalNames) -> dict[str, tuple[TopicNeed, ...]]:
    """Return what is needed of each component of a site, by its SAL name."""
    return {
        names.archiver: ARCHIVER,
        names.camera: CAMERA,
        names.header_service: HEADER_SERVICE,
    }
