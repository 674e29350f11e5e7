"""The sections of a site file, and the kinds of values its keys have."""

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

_BROKER_ADDRESS = re.compile(r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})/(?P<vhost>\S*)")
_SENTINEL_ADDRESS = re.compile(r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_SERVER = re.compile(r"[^:/@\s\[\]]+|[0-9A-Fa-f:.]+(?:%[^:/@\s\[\]]+)?")
PORT_LIMIT = 65536
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
"""Names that every system gives to itself."""

CCDS_PER_BOARD = 3
"""A raft electronics board reads three CCDs; ComCam's three boards give nine files an image."""

SAL_NAME_LENGTH = 5
"""Longest raft and longest sensor that the events on SAL have room for."""

MAX_QUEUE_BYTES = 255
"""Longest name AMQP can carry, in UTF-8."""

MAX_AMQP_HEARTBEAT = 65535
"""Longest heartbeat in seconds: AMQP has 16 bits for it."""

HEARTBEAT_S = 1.0
"""How often a worker shows that it lives; whoever waits less for it takes every worker for hung."""

_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_COMPONENT = re.compile(r"[A-Za-z][A-Za-z0-9]*", re.ASCII)
_SENSOR = re.compile(r"[A-Za-z0-9]+", re.ASCII)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(gt=0, lt=PORT_LIMIT)]
Name = Annotated[str, Field(min_length=1)]


def to_list(value: object) -> object:
    """Accept one scalar, or text with commas, where a list is meant: site files have both."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _raft(value: object) -> str | tuple[str, ...]:
    """Accept ``WFS_RAFT: 22`` and ``WFS_RAFT: ["22"]`` for ``"22"``, and a list for several rafts."""
    given = value if isinstance(value, list | tuple) else [value]
    texts = tuple(str(one) if type(one) is int else one for one in given)
    rafts = tuple(one for one in texts if isinstance(one, str) and one)
    if not rafts or len(rafts) < len(texts):
        msg = "must be a raft, such as 22, or a list of them"
        raise ValueError(msg)
    return rafts[0] if len(rafts) == 1 else rafts


def _check_queue(value: str) -> str:
    """Refuse a name that RabbitMQ would."""
    if not value or len(value.encode("utf-8", "surrogatepass")) > MAX_QUEUE_BYTES:
        msg = f"the name of a queue has 1 to {MAX_QUEUE_BYTES} bytes; give a shorter one, or take the key out"
        raise ValueError(msg)
    return value


def _check_login(value: str) -> str:
    """Refuse what is more than a login in the shell command of a Forwarder."""
    if _LOGIN.fullmatch(value) is None:
        msg = "must be a plain login, letters, digits and . _ - only: Forwarders put it into a shell command"
        raise ValueError(msg)
    return value


def _check_host(value: str) -> str:
    """Refuse what is more than an address in the shell command of a Forwarder."""
    if _HOST.fullmatch(value) is None:
        msg = "must be a plain address or host name, IPv6 in [brackets]: Forwarders put it into a shell command"
        raise ValueError(msg)
    return value


def _check_absolute(value: Path) -> Path:
    """Refuse a path that would depend on where a program was started."""
    if not value.is_absolute():
        msg = f"{value} is not absolute; write the whole path, from / on"
        raise ValueError(msg)
    return value


def _as_it_is(value: object) -> Any:  # noqa: ANN401  pydantic takes a tuple in a union for something unexpected
    return value


def _check_component(value: str) -> str:
    """Refuse what cannot be the name of a SAL component; it becomes part of the name of an IDL file."""
    if _COMPONENT.fullmatch(value) is None:
        msg = f"{value!r} is no name of a SAL component; it has letters and digits only, such as CCArchiver"
        raise ValueError(msg)
    return value


def _check_sensor(value: str) -> str:
    """Refuse what SAL's events have no room for."""
    if _SENSOR.fullmatch(value) is None or len(value) > SAL_NAME_LENGTH:
        msg = f"{value!r} is no name of a sensor; it has letters and digits, at most {SAL_NAME_LENGTH}, such as S00"
        raise ValueError(msg)
    return value


Queue = Annotated[str, AfterValidator(_check_queue)]
AbsolutePath = Annotated[Path, AfterValidator(_check_absolute)]
ComponentName = Annotated[str, AfterValidator(_check_component)]
Sensors = Annotated[
    tuple[Annotated[str, AfterValidator(_check_sensor)], ...], BeforeValidator(to_list), Field(min_length=1)
]


def join_addresses(value: object) -> object:
    """Accept a list of addresses where one text with commas is meant."""
    return ", ".join(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


def addresses(value: str) -> list[str]:
    """Take a text with commas apart."""
    return [part.strip() for part in value.split(",")]


def check_broker_addresses(value: str) -> str:
    """Refuse what is not ``host:port/vhost``, once or several times with commas between and all of one vhost."""
    for address in addresses(value):
        _check_broker_address(address)
    if len({address.partition("/")[2] for address in addresses(value)}) > 1:
        msg = "names several brokers with different virtual hosts: they must be one cluster, with the same vhost on all"
        raise ValueError(msg)
    return value


def _check_broker_address(value: str) -> None:
    match = _BROKER_ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match["port"]) < PORT_LIMIT:
        # the value is not repeated: somebody may have put a password into it
        msg = (
            "must look like host:port/vhost, e.g. 127.0.0.1:5672/%2ftest_cc; user and password belong in iip_cred.yaml"
        )
        raise ValueError(msg)


def check_sentinel(value: str) -> str:
    """Refuse what is not ``host:port``."""
    match = _SENTINEL_ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match["port"]) < PORT_LIMIT:
        msg = "a Sentinel must look like host:port, e.g. 192.0.2.1:26379"
        raise ValueError(msg)
    return value


def check_server(value: str) -> str:
    """Refuse what is more than a host name or an address."""
    if _SERVER.fullmatch(value) is None:
        # the value is not repeated: somebody may have put a password into it
        msg = (
            "must be a host name or an address (IPv6 without brackets), such as 192.0.2.1; the port is REDIS_PORT, and "
            "user and password belong in iip_cred.yaml"
        )
        raise ValueError(msg)
    return value


def is_loopback(host: str) -> bool:
    """Tell whether a host is this one, by an address that never leaves it; names but localhost are not looked up."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ConfigSection(BaseModel):
    """What all sections have in common: keys in upper case, none unknown, each with its meaning."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=str.upper),
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,  # `ccarchiver config show` prints them
    )


class Beacon(ConfigSection):
    """The association key: how long it lives and how often it is written."""

    seconds_to_expire: Annotated[int, Field(gt=0)] = 10
    """How long the association key lives; a Forwarder that finds it gone lists itself again."""
    seconds_to_update: Seconds = 3.0
    """How often the association key is written; smaller than SECONDS_TO_EXPIRE."""

    @model_validator(mode="after")
    def _updated_before_it_expires(self) -> Self:
        if self.seconds_to_update >= self.seconds_to_expire:
            msg = "SECONDS_TO_UPDATE must be smaller than SECONDS_TO_EXPIRE, or the key is gone between two writes"
            raise ValueError(msg)
        return self


class Csc(ConfigSection):
    """Settings below ``CSC``."""

    beacon: Beacon = Beacon()
    """Times of the association key."""


class Archive(ConfigSection):
    """Where files go: login and address the Forwarder copies to, and the staging trees."""

    archive_login: Annotated[str, AfterValidator(_check_login)] = "ARC"
    """Login by which a Forwarder copies files to ARCHIVE_IP; first part of TARGET_LOCATION."""
    archive_ip: Annotated[str, AfterValidator(_check_host)] = "127.0.0.1"
    """Address a Forwarder copies files to, as the Forwarder sees it."""
    checksum_type: Name = "MD5"
    """Checksum the peers use for files; the archiver itself computes none."""
    forwarder_staging: AbsolutePath = Path("/data/staging/ccforwarder")
    """Tree on ARCHIVE_IP that Forwarders copy to; the Controller names the directories below it."""
    oods_staging: AbsolutePath = Path("/data/staging/oods")
    """Tree of the OODS; the Controller hard-links there, so it is on one file system with FORWARDER_STAGING."""
    dbb_staging: AbsolutePath = Path("/data/staging/dbb")
    """Tree of the data backbone; the Controller hard-links there as well."""


class SalNames(ConfigSection):
    """Names of the SAL components: whose CSC this archiver is, and whose events it follows."""

    archiver: ComponentName = "CCArchiver"
    """This archiver's CSC."""
    camera: ComponentName = "CCCamera"
    """The camera whose startIntegration and endReadout it follows."""
    header_service: ComponentName = "CCHeaderService"
    """The header service whose largeFileObjectAvailable it follows."""

    @model_validator(mode="after")
    def _three_components(self) -> Self:
        if len({self.archiver, self.camera, self.header_service}) < len(SalNames.model_fields):
            msg = "ARCHIVER, CAMERA and HEADER_SERVICE must be three components; give each its own name"
            raise ValueError(msg)
        return self

    @property
    def all(self) -> tuple[str, str, str]:
        """All of them: those whose IDL is needed."""
        return self.archiver, self.camera, self.header_service


class Wavefront(ConfigSection):
    """The rafts, boards and sensors an image is read from (the site files call this section ``ATS``)."""

    wfs_raft: Annotated[str | tuple[str, ...], PlainValidator(_raft), PlainSerializer(_as_it_is)] = "22"
    """The raft, as RAFT_LIST has it; a list if there are several."""
    wfs_ccd: Annotated[tuple[Name, ...], BeforeValidator(to_list), Field(min_length=1)] = ("22/0", "22/1", "22/2")
    """The boards, ``raft/board``, as RAFT_CCD_LIST has them; three CCDs, so three files, each, unless SENSORS says
    otherwise."""
    sensors: dict[str, Sensors] = {}
    """The sensors of those boards that have others than three CCDs: LATISS' ``{"00/0": [S00]}``, corner rafts."""

    @model_validator(mode="after")
    def _boards_belong_together(self) -> Self:
        strangers = sorted(set(self.sensors) - set(self.wfs_ccd))
        if strangers:
            msg = f"SENSORS names the board {strangers[0]}, which WFS_CCD does not have; add it there or take it out"
            raise ValueError(msg)
        if not isinstance(self.wfs_raft, str):
            bare = [board for board in self.wfs_ccd if "/" not in board]
            if bare:
                msg = f"WFS_RAFT has several rafts, so the board {bare[0]} of WFS_CCD must say of which: raft/board"
                raise ValueError(msg)
        ccds = [ccd for board in self.wfs_ccd for ccd in self.sensors_of(board)]
        twice = sorted(ccd for ccd, count in Counter(ccds).items() if count > 1)
        if twice:
            msg = f"the boards of WFS_CCD have raft {twice[0][0]} sensor {twice[0][1]} twice; a file has one sensor"
            raise ValueError(msg)
        return self

    @property
    def raft(self) -> str | tuple[str, ...]:
        """The raft, as RAFT_LIST has it."""
        return self.wfs_raft

    def sensors_of(self, board: str) -> tuple[tuple[str, str], ...]:
        """Raft and sensor of each CCD that a board reads: 22/1 reads S10, S11 and S12 unless SENSORS has others."""
        raft, _, number = board.rpartition("/")
        names = self.sensors.get(board) or tuple(f"S{number}{ccd}" for ccd in range(CCDS_PER_BOARD))
        return tuple((raft or str(self.wfs_raft), name) for name in names)

    @property
    def ccds(self) -> tuple[str, ...]:
        """The boards, ``raft/board``, as RAFT_CCD_LIST has them."""
        return self.wfs_ccd


class Tls(ConfigSection):
    """How a connection is encrypted. The server is always verified: by its certificate and by its name."""

    use: bool = False
    """Whether the connection is encrypted; the port above must be the one for TLS (5671 at RabbitMQ, for example)."""
    ca_file: AbsolutePath | None = None
    """Certificates (PEM) of who signed the server's one; without it, those that the system trusts."""
    cert_file: AbsolutePath | None = None
    """Our own certificate (PEM), where the server asks for one."""
    key_file: AbsolutePath | None = None
    """Its private key (PEM, without a password), a file that nobody else may read."""

    @model_validator(mode="after")
    def _all_or_nothing(self) -> Self:
        files = [self.ca_file, self.cert_file, self.key_file]
        if not self.use and any(files):
            msg = "names files, but the connection is not encrypted; add USE: true, or take the files out"
            raise ValueError(msg)
        if (self.cert_file is None) != (self.key_file is None):
            msg = "CERT_FILE and KEY_FILE belong together: set both or none"
            raise ValueError(msg)
        return self


class HostPort(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class BrokerAddress(BaseModel):
    """Host, port and virtual host of RabbitMQ."""

    host: str
    port: Port
    vhost: str

    @property
    def address(self) -> str:
        """Host and port as they are written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def text(self) -> str:
        """The address as an error message should name it."""
        return f"{self.address} (vhost {self.vhost})"
