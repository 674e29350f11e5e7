"""Checks of DDS, the bus of SAL.

They check its environment variables and the network interface.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING

import psutil

from ccarchiver_cli.doctor.finding import failure, ok
from ccarchiver_core.config import dds_environment
from ccarchiver_core.config.dds_environment import DOMAIN, INTERFACE, OWNERSHIP, PARTITION, PEER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site

CYCLONE = "CYCLONEDDS_URI"

LOOPBACK = "lo"
"""Default of LSST_DDS_INTERFACE."""

GROUP = "239.255.0.1"
"""Usual multicast group of DDS (RTPS 2.x)."""

WAIT = 2.0
"""Seconds within which a packet that never leaves this host must come back."""

GREETING = b"ccarchiver doctor"


def environment(_site: Site) -> Iterator[Finding]:
    """Check the environment variables of SAL."""
    name = "dds.environment"
    bad = list(evaluate_environment(name, os.environ))
    yield from bad
    if not bad:
        yield ok(name, f"{_in_force(os.environ)}; for the workers see environment")


def _in_force(environ: Mapping[str, str]) -> str:
    """Return the values that SAL uses, and which of them are defaults."""
    values = (
        (DOMAIN, "domain", environ.get(DOMAIN, "").strip() or "0"),
        (PEER, "peer", dds_environment.peer(environ)),
        (OWNERSHIP, "ownership", dds_environment.ownership(environ)),
    )
    texts = [f"partition prefix {environ[PARTITION]}"]
    for variable, label, value in values:
        default = "" if environ.get(variable, "").strip() else " by default"
        texts.append(f"{label} {value}{default}")
    return ", ".join(texts)


def evaluate_environment(name: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Evaluate the variables; yield nothing if all are right."""
    where = "set it in the environment of supervisord (deploy/ccarchiver.env) and of this shell"
    for problem in dds_environment.problems(environ):
        yield failure(name, problem, where)


def interface(_site: Site) -> Iterator[Finding]:
    """Check whether the network interface is up and loops back a multicast packet."""
    name = "dds.interface"
    configuration = os.environ.get(CYCLONE, "").strip()
    if configuration:
        yield _cyclone(name, configuration)
        return
    wanted = os.environ.get(INTERFACE, "").strip() or LOOPBACK
    device = _device(wanted)
    state = psutil.net_if_stats().get(device) if device else None
    if device is None or state is None:
        yield failure(
            name, f"{INTERFACE} is {wanted}: this host has no such interface", "ip -brief address"
        )
        return
    if not state.isup:
        yield failure(name, f"the interface {device} is down", f"ip link set {device} up (as root)")
        return
    address = next(
        (one.address for one in psutil.net_if_addrs()[device] if one.family == socket.AF_INET), None
    )
    if address is None:
        yield failure(name, f"the interface {device} has no IPv4 address", "ip -brief address")
        return
    loopback = ipaddress.ip_address(address).is_loopback
    if not loopback and "multicast" not in state.flags.split(","):
        remedy = f"ip link set {device} multicast on (as root)"
        yield failure(name, f"the interface {device} has no multicast", remedy)
        return
    trouble = multicast_trouble(address)
    if trouble:
        found = f"multicast on {device} ({address}): {trouble}"
        yield failure(name, found, "a firewall? nft list ruleset (as root)")
        return
    reach = ": only programs on this host are reachable" if loopback else ""
    yield ok(name, f"{device} ({address}) is up, multicast comes back{reach}")


def multicast_trouble(address: str) -> str:
    """Send a multicast packet through an interface and return why it did not come back.

    The packet does not leave the host. The result is empty if it came back.
    """
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.settimeout(WAIT)
            receiver.bind((GROUP, 0))  # an unused port, so no DDS program receives the packet
            member = socket.inet_aton(GROUP) + socket.inet_aton(address)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sender.sendto(GREETING, receiver.getsockname())
            received = receiver.recv(len(GREETING))
        except TimeoutError:
            return "a packet to this host does not come back"
        except OSError as error:
            return error.strerror or str(error)
    return "" if received == GREETING else "another packet came back"


def _device(wanted: str) -> str | None:
    """Return the name of the interface that has this name or address."""
    for device, addresses in psutil.net_if_addrs().items():
        if wanted == device or any(one.address == wanted for one in addresses):
            return device
    return None


def _cyclone(name: str, configuration: str) -> Finding:
    path = configuration.removeprefix("file://")
    if not configuration.startswith("<") and not os.access(path, os.R_OK):
        found = f"{CYCLONE} names {path}, which cannot be read"
        return failure(name, found, f"correct or unset {CYCLONE}")
    return ok(name, f"set by {CYCLONE}, so it is not checked; {INTERFACE} has no effect")
