"""The sections of a site file, and the kinds of values its keys have."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_BROKER_ADDRESS = re.compile(r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})/(?P<vhost>\S*)")
_SENTINEL_ADDRESS = re.compile(r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
TOO_HIGH_A_PORT = 65536
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
"""Names that every system gives to itself."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(gt=0, lt=TOO_HIGH_A_PORT)]
Name = Annotated[str, Field(min_length=1)]


def to_list(value: object) -> object:
    """Accept one scalar, or text with commas, where a list is meant: site files have both."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _to_text(value: object) -> object:
    """Accept ``WFS_RAFT: 22`` and ``WFS_RAFT: ["22"]`` for ``"22"``."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return str(value) if isinstance(value, int) else value


def to_one_text(value: object) -> object:
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
    if match is None or not 0 < int(match["port"]) < TOO_HIGH_A_PORT:
        # the value is not repeated: somebody may have put a password into it
        msg = (
            "must look like host:port/vhost, e.g. 127.0.0.1:5672/%2ftest_cc; user and password belong in iip_cred.yaml"
        )
        raise ValueError(msg)


def check_sentinel(value: str) -> str:
    """Refuse what is not ``host:port``."""
    match = _SENTINEL_ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match["port"]) < TOO_HIGH_A_PORT:
        msg = "a Sentinel must look like host:port, e.g. 192.0.2.1:26379"
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


class Part(BaseModel):
    """What all sections have in common: keys in upper case, none unknown, each with its meaning."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=str.upper),
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,  # `ccarchiver config show` prints them
    )


class Beacon(Part):
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


class Csc(Part):
    """Settings below ``CSC``."""

    beacon: Beacon = Beacon()
    """Times of the association key."""


class Archive(Part):
    """Where files go: login and address the Forwarder copies to, and the staging trees."""

    archive_login: Name = "ARC"
    """Login by which a Forwarder copies files to ARCHIVE_IP; first part of TARGET_LOCATION."""
    archive_ip: Name = "127.0.0.1"
    """Address a Forwarder copies files to, as the Forwarder sees it."""
    checksum_type: Name = "MD5"
    """Checksum the peers use for files; the archiver itself computes none."""
    forwarder_staging: Path = Path("/data/staging/ccforwarder")
    """Tree on ARCHIVE_IP that Forwarders copy to; the Controller names the directories below it."""
    oods_staging: Path = Path("/data/staging/oods")
    """Tree of the OODS; the Controller hard-links there, so it is on one file system with FORWARDER_STAGING."""
    dbb_staging: Path = Path("/data/staging/dbb")
    """Tree of the data backbone; the Controller hard-links there as well."""


class Wavefront(Part):
    """The raft and the boards an image is read from (the site files call this section ``ATS``)."""

    wfs_raft: Annotated[Name, BeforeValidator(_to_text)] = "22"
    """The raft, as RAFT_LIST has it."""
    wfs_ccd: Annotated[tuple[Name, ...], BeforeValidator(to_list), Field(min_length=1)] = ("22/0", "22/1", "22/2")
    """The boards, ``raft/board``, as RAFT_CCD_LIST has them; three CCDs, so three files, each."""

    @property
    def raft(self) -> str:
        """The raft, as RAFT_LIST has it."""
        return self.wfs_raft

    @property
    def ccds(self) -> tuple[str, ...]:
        """The boards, ``raft/board``, as RAFT_CCD_LIST has them."""
        return self.wfs_ccd


class Tls(Part):
    """How a connection is encrypted. The server is always verified: by its certificate and by its name."""

    use: bool = False
    """Whether the connection is encrypted; the port above must be the one for TLS (5671 at RabbitMQ, for example)."""
    ca_file: Path | None = None
    """Certificates (PEM) of who signed the server's one; without it, those that the system trusts."""
    cert_file: Path | None = None
    """Our own certificate (PEM), where the server asks for one."""
    key_file: Path | None = None
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
