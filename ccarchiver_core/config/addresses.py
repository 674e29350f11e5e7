"""Addresses of servers: their forms in a site file, and their parts."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import unquote

_BROKER_ADDRESS = re.compile(
    r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})/(?P<vhost>\S*)"
)
_SENTINEL_ADDRESS = re.compile(r"(?P<host>[^:/@\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_SERVER = re.compile(r"[^:/@\s\[\]]+|[0-9A-Fa-f:.]+(?:%[^:/@\s\[\]]+)?")
MAX_HOST_NAME = 253
"""Maximum length of a host name in DNS."""
PORT_LIMIT = 65536
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
"""Names that every system has for itself."""


class HostPort(NamedTuple):
    """Address of a server."""

    host: str
    port: int


class BrokerAddress(NamedTuple):
    """Host, port and virtual host of RabbitMQ."""

    host: str
    port: int
    vhost: str

    @property
    def address(self) -> str:
        """Host and port as one text."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def text(self) -> str:
        """The address in the form for error messages."""
        return f"{self.address} (vhost {self.vhost})"


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


def host_and_port(address: str) -> HostPort:
    """Return the parts of ``host:port``; an IPv6 address is in brackets."""
    host, _, port = address.rpartition(":")
    return HostPort(host.strip("[]"), int(port))


def broker_address(text: str) -> BrokerAddress:
    """Return the parts of ``host:port/vhost``."""
    address, _, vhost = text.partition("/")
    host, port = host_and_port(address)
    return BrokerAddress(host, port, unquote(vhost) or "/")


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


# The messages below do not contain the value, because the value may contain a password.


def check_broker_addresses(value: str) -> str:
    """Require ``host:port/vhost``, or several with commas that have the same virtual host."""
    for address in addresses(value):
        match = _BROKER_ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match["port"]) < PORT_LIMIT:
            msg = (
                "does not have the form host:port/vhost; write it without user and password, "
                "which belong in iip_cred.yaml, and a port from 1 to 65535"
            )
            raise ValueError(msg)
    if len({address.partition("/")[2] for address in addresses(value)}) > 1:
        msg = (
            "names several brokers with different virtual hosts; they must be one cluster: "
            "write the same virtual host in all addresses"
        )
        raise ValueError(msg)
    return value


def check_sentinel(value: str) -> str:
    """Require ``host:port``."""
    match = _SENTINEL_ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match["port"]) < PORT_LIMIT:
        msg = (
            "does not have the form host:port; write it without user and password, "
            "and a port from 1 to 65535"
        )
        raise ValueError(msg)
    return value


def check_server(value: str) -> str:
    """Require a host name or an address."""
    if _SERVER.fullmatch(value) is None or len(value) > MAX_HOST_NAME:
        msg = (
            "is not a host name or an address; write IPv6 without brackets, the port as "
            "REDIS_PORT, and user and password in iip_cred.yaml"
        )
        raise ValueError(msg)
    return value
