"""The types of the values in a site file, with the rules for one value each."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator

from ccarchiver_core.config.addresses import (
    PORT_LIMIT,
    check_broker_addresses,
    check_sentinel,
    check_server,
    join_addresses,
)

SAL_NAME_LENGTH = 5
"""Maximum length of a raft and of a sensor in the events on SAL."""

MAX_QUEUE_BYTES = 255
"""Maximum length of a queue name in AMQP, in UTF-8."""

_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_COMPONENT = re.compile(r"[A-Za-z][A-Za-z0-9]*", re.ASCII)
_WEB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_HEADER_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:_-]+/[A-Za-z0-9._~%/?=&:@,+-]*", re.ASCII)
_SENSOR = re.compile(r"[A-Za-z0-9]+", re.ASCII)


class CatchUp(enum.StrEnum):
    """What to do about images that the camera took and the archiver did not accept."""

    OFF = "off"
    REPORT = "report"
    AUTOMATIC = "automatic"


@dataclass(frozen=True)
class Hidden:
    """Mark of a setting whose value no error message shows, because it may hold a password."""


# ---- rules. A message begins with a verb: the value given is put before it.


def to_list(value: object) -> object:
    """Return a text split at its commas; other values unchanged.

    Site files have both forms of a list.
    """
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _raft(value: object) -> str | tuple[str, ...]:
    """Return the raft, or all of them if there are several.

    ``WFS_RAFT: 22``, ``WFS_RAFT: "22"`` and ``WFS_RAFT: ["22"]`` mean the same.
    """
    values = value if isinstance(value, list | tuple) else [value]
    rafts = tuple(text for text in values if isinstance(text, str) and text)
    if not rafts or len(rafts) < len(values):
        msg = "is neither a raft nor a list of rafts; write a text or a list of texts"
        raise ValueError(msg)
    return rafts[0] if len(rafts) == 1 else rafts


def _check_queue(value: str) -> str:
    """Require a queue name that RabbitMQ accepts."""
    if not value or len(value.encode("utf-8", "surrogatepass")) > MAX_QUEUE_BYTES:
        msg = f"is not the name of a queue; write 1 to {MAX_QUEUE_BYTES} bytes"
        raise ValueError(msg)
    return value


def _check_login(value: str) -> str:
    """Require a plain login, because Forwarders put it into a shell command."""
    if _LOGIN.fullmatch(value) is None:
        msg = (
            "is not a plain login, and Forwarders put it into a shell command; "
            "write letters, digits and . _ - only"
        )
        raise ValueError(msg)
    return value


def _check_host(value: str) -> str:
    """Require a plain address, because Forwarders put it into a shell command."""
    if _HOST.fullmatch(value) is None:
        msg = (
            "is not a plain address or host name, and Forwarders put it into a shell command; "
            "write letters, digits and . - only, or IPv6 in [brackets]"
        )
        raise ValueError(msg)
    return value


def _check_absolute(value: Path) -> Path:
    """Require an absolute path, so that the working directory of a program does not matter."""
    if not value.is_absolute():
        msg = "is not absolute; write the whole path, beginning with /"
        raise ValueError(msg)
    return value


def _check_component(value: str) -> str:
    """Require a name of a SAL component, because it becomes part of the name of an IDL file."""
    if _COMPONENT.fullmatch(value) is None:
        msg = "is not a SAL component; write letters and digits only, beginning with a letter"
        raise ValueError(msg)
    return value


def _check_web_name(value: str) -> str:
    """Require a host name as in the Host header of a request, without the port."""
    if _WEB_NAME.fullmatch(value) is None:
        msg = "is not a host name; write letters, digits and . _ - only, without scheme and port"
        raise ValueError(msg)
    return value


def _check_sensor(value: str) -> str:
    """Require a sensor name that fits into SAL's events."""
    if _SENSOR.fullmatch(value) is None or len(value) > SAL_NAME_LENGTH:
        msg = f"is not a sensor; write 1 to {SAL_NAME_LENGTH} letters and digits"
        raise ValueError(msg)
    return value


def _check_header_template(value: str) -> str:
    """Require the address of a header file with the name of its image in it, or an empty text."""
    if not value:
        return value
    try:
        address = value.format(obsid="CC_O_20261122_000001", day_obs="20261122")
    except (IndexError, KeyError, ValueError, AttributeError):
        address = ""
    if "{obsid}" not in value or _HEADER_ADDRESS.fullmatch(address) is None:
        msg = (
            "is not the address of a header; write http:// or https://, a host and a path with "
            "{obsid} in it, and {day_obs} if needed"
        )
        raise ValueError(msg)
    return value


def _unchanged(value: object) -> Any:  # noqa: ANN401  pydantic warns of a tuple in this union
    return value


# ---- types

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(gt=0, lt=PORT_LIMIT)]
Name = Annotated[str, Field(min_length=1)]
Queue = Annotated[str, AfterValidator(_check_queue)]
HeaderTemplate = Annotated[str, AfterValidator(_check_header_template)]
Login = Annotated[str, AfterValidator(_check_login)]
Host = Annotated[str, AfterValidator(_check_host)]
AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]
ComponentName = Annotated[str, AfterValidator(_check_component)]
RaftOrRafts = Annotated[str | tuple[str, ...], PlainValidator(_raft), PlainSerializer(_unchanged)]
WebNames = Annotated[
    tuple[Annotated[str, AfterValidator(_check_web_name)], ...], BeforeValidator(to_list)
]
Boards = Annotated[tuple[Name, ...], BeforeValidator(to_list), Field(min_length=1)]
Sensors = Annotated[
    tuple[Annotated[str, AfterValidator(_check_sensor)], ...],
    BeforeValidator(to_list),
    Field(min_length=1),
]
Server = Annotated[str, AfterValidator(check_server), Hidden()]
BrokerAddresses = Annotated[
    str, BeforeValidator(join_addresses), AfterValidator(check_broker_addresses), Hidden()
]
Sentinels = Annotated[
    tuple[Annotated[str, AfterValidator(check_sentinel)], ...], BeforeValidator(to_list), Hidden()
]
