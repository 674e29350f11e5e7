"""The sections of a site file, and the types of their values."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

_BROKER_ADDRESS = re.compile(
    r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})/(?P<vhost>\S*)"
)
_SENTINEL_ADDRESS = re.compile(r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_SERVER = re.compile(r"[^:/@\s\[\]]+|[0-9A-Fa-f:.]+(?:%[^:/@\s\[\]]+)?")
PORT_LIMIT = 65536
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
"""Names that every system has for itself."""

CCDS_PER_BOARD = 3
"""CCDs that a raft electronics board reads. ComCam's three boards make nine files per image."""

SAL_NAME_LENGTH = 5
"""Maximum length of a raft and of a sensor in the events on SAL."""

MAX_QUEUE_BYTES = 255
"""Maximum length of a queue name in AMQP, in UTF-8."""

MAX_AMQP_HEARTBEAT = 65535
"""Maximum AMQP heartbeat in seconds; the protocol has 16 bits for it."""


_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_COMPONENT = re.compile(r"[A-Za-z][A-Za-z0-9]*", re.ASCII)
_SENSOR = re.compile(r"[A-Za-z0-9]+", re.ASCII)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(gt=0, lt=PORT_LIMIT)]
Name = Annotated[str, Field(min_length=1)]


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
    texts = tuple(str(raft) if type(raft) is int else raft for raft in values)
    rafts = tuple(text for text in texts if isinstance(text, str) and text)
    if not rafts or len(rafts) < len(texts):
        msg = "must be a raft, such as 22, or a list of them"
        raise ValueError(msg)
    return rafts[0] if len(rafts) == 1 else rafts


def _check_queue(value: str) -> str:
    """Require a queue name that RabbitMQ accepts."""
    if not value or len(value.encode("utf-8", "surrogatepass")) > MAX_QUEUE_BYTES:
        msg = f"the name of a queue has 1 to {MAX_QUEUE_BYTES} bytes; shorten it, or remove the key"
        raise ValueError(msg)
    return value


def _check_login(value: str) -> str:
    """Require a plain login, because Forwarders put it into a shell command."""
    if _LOGIN.fullmatch(value) is None:
        msg = (
            "must be a plain login, letters, digits and . _ - only: "
            "Forwarders put it into a shell command"
        )
        raise ValueError(msg)
    return value


def _check_host(value: str) -> str:
    """Require a plain address, because Forwarders put it into a shell command."""
    if _HOST.fullmatch(value) is None:
        msg = (
            "must be a plain address or host name, IPv6 in [brackets]: "
            "Forwarders put it into a shell command"
        )
        raise ValueError(msg)
    return value


def _check_absolute(value: Path) -> Path:
    """Require an absolute path, so that the working directory of a program does not matter."""
    if not value.is_absolute():
        msg = f"{value} is not absolute; write the whole path, beginning with /"
        raise ValueError(msg)
    return value


def _as_it_is(value: object) -> Any:  # noqa: ANN401  pydantic warns of a tuple in this union
    return value


def _check_component(value: str) -> str:
    """Require a name of a SAL component, because it becomes part of the name of an IDL file."""
    if _COMPONENT.fullmatch(value) is None:
        msg = f"{value!r} is not a SAL component; use letters and digits only, as in CCArchiver"
        raise ValueError(msg)
    return value


def _check_sensor(value: str) -> str:
    """Require a sensor name that fits into SAL's events."""
    if _SENSOR.fullmatch(value) is None or len(value) > SAL_NAME_LENGTH:
        msg = f"{value!r} is not a sensor; use 1 to {SAL_NAME_LENGTH} letters and digits, as S00"
        raise ValueError(msg)
    return value


Queue = Annotated[str, AfterValidator(_check_queue)]
AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]
ComponentName = Annotated[str, AfterValidator(_check_component)]
Sensors = Annotated[
    tuple[Annotated[str, AfterValidator(_check_sensor)], ...],
    BeforeValidator(to_list),
    Field(min_length=1),
]


def join_addresses(value: object) -> object:
    """Return a list of addresses joined with commas; other values unchanged."""
    return (
        ", ".join(value)
        if isinstance(value, list) and all(isinstance(one, str) for one in value)
        else value
    )


def addresses(value: str) -> list[str]:
    """Return the addresses in a text with commas."""
    return [part.strip() for part in value.split(",")]


def check_broker_addresses(value: str) -> str:
    """Require ``host:port/vhost``, or several with commas that have the same virtual host."""
    for address in addresses(value):
        _check_broker_address(address)
    if len({address.partition("/")[2] for address in addresses(value)}) > 1:
        msg = (
            "names several brokers with different virtual hosts; "
            "they must be one cluster, with the same virtual host in all addresses"
        )
        raise ValueError(msg)
    return value


def _check_broker_address(value: str) -> None:
    match = _BROKER_ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match["port"]) < PORT_LIMIT:
        # The message does not contain the value, because the value may contain a password.
        msg = (
            "must look like host:port/vhost, e.g. 127.0.0.1:5672/%2ftest_cc; "
            "user and password belong in iip_cred.yaml"
        )
        raise ValueError(msg)


def check_sentinel(value: str) -> str:
    """Require ``host:port``."""
    match = _SENTINEL_ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match["port"]) < PORT_LIMIT:
        msg = "a Sentinel must look like host:port, e.g. 192.0.2.1:26379"
        raise ValueError(msg)
    return value


def check_server(value: str) -> str:
    """Require a host name or an address."""
    if _SERVER.fullmatch(value) is None:
        # The message does not contain the value, because the value may contain a password.
        msg = (
            "must be a host name or an address (IPv6 without brackets), such as 192.0.2.1; "
            "the port is REDIS_PORT, and user and password belong in iip_cred.yaml"
        )
        raise ValueError(msg)
    return value


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or one of `LOOPBACK_NAMES`.

    Other names are not resolved.
    """
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ConfigSection(BaseModel):
    """Base of all sections: keys are upper case, unknown keys are errors, all are described."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=str.upper),
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,  # `ccarchiver config show` prints them
    )


class Beacon(ConfigSection):
    """The association key: its time to live, and how often it is written."""

    seconds_to_expire: Annotated[int, Field(gt=0)] = 10
    """Time to live of the association key; when it has expired, the Forwarder registers again."""
    seconds_to_update: Seconds = 3.0
    """Interval at which the association key is written; shorter than SECONDS_TO_EXPIRE."""

    @model_validator(mode="after")
    def _updated_before_it_expires(self) -> Self:
        if self.seconds_to_update >= self.seconds_to_expire:
            msg = (
                "SECONDS_TO_UPDATE must be smaller than SECONDS_TO_EXPIRE, "
                "otherwise the association key expires between two writes"
            )
            raise ValueError(msg)
        return self


class Csc(ConfigSection):
    """Settings below ``CSC``."""

    beacon: Beacon = Beacon()
    """Times of the association key."""


class Archive(ConfigSection):
    """Destination of the files: login and address for the Forwarder, and the staging trees."""

    archive_login: Annotated[str, AfterValidator(_check_login)] = "ARC"
    """Login with which a Forwarder copies files to ARCHIVE_IP; first part of TARGET_LOCATION."""
    archive_ip: Annotated[str, AfterValidator(_check_host)] = "127.0.0.1"
    """Address to which a Forwarder copies files, as seen from the Forwarder."""
    checksum_type: Name = "MD5"
    """Checksum that the peers use for files; the archiver itself computes none."""
    forwarder_staging: AbsolutePath = Path("/data/staging/ccforwarder")
    """Tree on ARCHIVE_IP to which Forwarders copy; the Controller assigns the directories in it."""
    oods_staging: AbsolutePath = Path("/data/staging/oods")
    """Tree of the OODS, in which the Controller creates hard links.
    It must be on the same file system as FORWARDER_STAGING."""
    dbb_staging: AbsolutePath = Path("/data/staging/dbb")
    """Tree of the data backbone, in which the Controller creates hard links as well."""


class SalNames(ConfigSection):
    """Names of the SAL components: this archiver's CSC, and those whose events it receives."""

    archiver: ComponentName = "CCArchiver"
    """The CSC of this archiver."""
    camera: ComponentName = "CCCamera"
    """The camera whose startIntegration and endReadout it receives."""
    header_service: ComponentName = "CCHeaderService"
    """The header service whose largeFileObjectAvailable it receives."""

    @model_validator(mode="after")
    def _three_components(self) -> Self:
        if len({self.archiver, self.camera, self.header_service}) < len(SalNames.model_fields):
            msg = "ARCHIVER, CAMERA and HEADER_SERVICE must be three different components"
            raise ValueError(msg)
        return self

    @property
    def all(self) -> tuple[str, str, str]:
        """All three names, for the IDL files."""
        return self.archiver, self.camera, self.header_service


class Wavefront(ConfigSection):
    """Rafts, boards and sensors of an image (the section ``ATS`` of a site file)."""

    wfs_raft: Annotated[
        str | tuple[str, ...], PlainValidator(_raft), PlainSerializer(_as_it_is)
    ] = "22"
    """The raft, for RAFT_LIST; a list if there are several rafts."""
    wfs_ccd: Annotated[tuple[Name, ...], BeforeValidator(to_list), Field(min_length=1)] = (
        "22/0",
        "22/1",
        "22/2",
    )
    """The boards as ``raft/board``, for RAFT_CCD_LIST.
    Each has three CCDs, so three files, unless SENSORS names its sensors."""
    sensors: dict[str, Sensors] = {}
    """Sensors of boards with other than three CCDs: LATISS' ``{"00/0": [S00]}``, corner rafts."""

    @model_validator(mode="after")
    def _boards_belong_together(self) -> Self:
        strangers = sorted(set(self.sensors) - set(self.wfs_ccd))
        if strangers:
            msg = (
                f"SENSORS names the board {strangers[0]}, which WFS_CCD does not have; "
                "add it to WFS_CCD, or remove it from SENSORS"
            )
            raise ValueError(msg)
        if not isinstance(self.wfs_raft, str):
            bare = [board for board in self.wfs_ccd if "/" not in board]
            if bare:
                msg = (
                    f"WFS_RAFT has several rafts, so the board {bare[0]} of WFS_CCD must include "
                    "its raft, in the form raft/board"
                )
                raise ValueError(msg)
        ccds = [ccd for board in self.wfs_ccd for ccd in self.sensors_of(board)]
        twice = sorted(ccd for ccd, count in Counter(ccds).items() if count > 1)
        if twice:
            msg = (
                f"the boards of WFS_CCD have raft {twice[0][0]} sensor {twice[0][1]} twice; "
                "each sensor of a raft must occur once"
            )
            raise ValueError(msg)
        return self

    @property
    def raft(self) -> str | tuple[str, ...]:
        """The raft, for RAFT_LIST; a tuple if there are several rafts."""
        return self.wfs_raft

    def sensors_of(self, board: str) -> tuple[tuple[str, str], ...]:
        """Return raft and sensor of each CCD that a board reads.

        Unless SENSORS has others, board 22/1 reads S10, S11 and S12.
        """
        raft, _, number = board.rpartition("/")
        names = self.sensors.get(board) or tuple(f"S{number}{ccd}" for ccd in range(CCDS_PER_BOARD))
        return tuple((raft or str(self.wfs_raft), name) for name in names)

    @property
    def ccds(self) -> tuple[str, ...]:
        """The boards as ``raft/board``, for RAFT_CCD_LIST."""
        return self.wfs_ccd


class Tls(ConfigSection):
    """Encryption of a connection. The server's certificate and name are always verified."""

    use: bool = False
    """Whether the connection is encrypted. The port must then be a TLS port.
    For RabbitMQ it is usually 5671."""
    ca_file: AbsolutePath | None = None
    """Certificates (PEM) of the trusted authorities; without it, those of the system."""
    cert_file: AbsolutePath | None = None
    """Certificate (PEM) of the archiver, if the server requires one."""
    key_file: AbsolutePath | None = None
    """Private key of CERT_FILE (PEM, without a password); no other user may read this file."""

    @model_validator(mode="after")
    def _all_or_nothing(self) -> Self:
        files = [self.ca_file, self.cert_file, self.key_file]
        if not self.use and any(files):
            msg = "names files for an unencrypted connection; add USE: true, or remove the files"
            raise ValueError(msg)
        if (self.cert_file is None) != (self.key_file is None):
            msg = "CERT_FILE and KEY_FILE belong together: set both or none"
            raise ValueError(msg)
        return self


class HostPort(NamedTuple):
    """Address of a server."""

    host: str
    port: int


class BrokerAddress(BaseModel):
    """Host, port and virtual host of RabbitMQ."""

    host: str
    port: Port
    vhost: str

    @property
    def address(self) -> str:
        """Host and port as one text."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def text(self) -> str:
        """The address in the form for error messages."""
        return f"{self.address} (vhost {self.vhost})"
