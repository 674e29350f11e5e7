"""The environment variables of DDS, the bus of SAL, and the values that they can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PARTITION = "LSST_DDS_PARTITION_PREFIX"
DOMAIN = "LSST_DDS_DOMAIN_ID"
INTERFACE = "LSST_DDS_INTERFACE"
PEER = "LSST_DDS_PEER"
OWNERSHIP = "LSST_DDS_OWNERSHIP"

MAX_DOMAIN = 230
"""Highest domain; above it DDS has no port numbers."""

CYCLONE, OPENSPLICE = "cyclone", "opensplice"
PEERS = (CYCLONE, OPENSPLICE)
"""Values of LSST_DDS_PEER; the first is the default."""

SHARED, ACKCMD, EXCLUSIVE = "shared", "ackcmd", "exclusive"
OWNERSHIPS = (SHARED, ACKCMD, EXCLUSIVE)
"""Values of LSST_DDS_OWNERSHIP."""


def peer(environ: Mapping[str, str]) -> str:
    """Return which DDS the other programs on the bus use; an empty variable has the default."""
    return environ.get(PEER, "").strip().lower() or CYCLONE


def ownership(environ: Mapping[str, str]) -> str:
    """Return which topics have EXCLUSIVE ownership; the default depends on the peer."""
    default = ACKCMD if peer(environ) == OPENSPLICE else SHARED
    return environ.get(OWNERSHIP, "").strip().lower() or default


def problems(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the variables; nothing if SAL can start with them.

    The stand-in for OpenSplice checks its variables only when the first topic is made, and raises
    an error there.
    """
    if not environ.get(PARTITION):
        yield f"{PARTITION} is not set: SAL does not start without it"
    domain = environ.get(DOMAIN, "").strip()
    if domain and not (domain.isdecimal() and int(domain) <= MAX_DOMAIN):
        yield f"{DOMAIN} is {domain!r}, not a number from 0 to {MAX_DOMAIN}"
    if ownership(environ) not in OWNERSHIPS:
        yield f"{OWNERSHIP} is {ownership(environ)!r}, none of {', '.join(OWNERSHIPS)}"
    if peer(environ) not in PEERS:
        yield f"{PEER} is {peer(environ)!r}, neither {' nor '.join(PEERS)}"
