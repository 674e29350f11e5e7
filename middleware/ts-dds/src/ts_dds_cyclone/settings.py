"""Settings and their defaults; they are read from the environment when they are needed."""

from __future__ import annotations

import enum
import ipaddress
import os
from xml.sax.saxutils import quoteattr

from ts_dds_cyclone.errors import DDSException

__all__ = ["Ownership", "cyclone_configuration", "domain_id", "is_mixed_bus", "ownership"]

MAX_DOMAIN_ID = 230
"""RTPS computes port numbers from the domain; for a larger domain they exceed 16 bits."""
CYCLONE, OPENSPLICE = "cyclone", "opensplice"
"""Values of LSST_DDS_PEER: which DDS the other programs on the bus use."""
LOOPBACK = "lo"
"""Default interface: peers are often on the archiver's host, and no data leaves it by default."""


def domain_id() -> int:
    """Return LSST_DDS_DOMAIN_ID; 0 if it is not set."""
    text = os.environ.get("LSST_DDS_DOMAIN_ID", "").strip()
    if not text:
        return 0
    if not text.isdecimal() or int(text) > MAX_DOMAIN_ID:
        message = f"LSST_DDS_DOMAIN_ID={text!r} must be a whole number from 0 to {MAX_DOMAIN_ID}"
        raise DDSException(message)
    return int(text)


class Ownership(enum.Enum):
    """Which topics have EXCLUSIVE ownership (LSST_DDS_OWNERSHIP)."""

    SHARED = "shared"
    """None. With EXCLUSIVE ownership, readers ignore a writer that was killed and restarted until
    the lease of the old writer ends, seconds later."""
    ACKCMD = "ackcmd"
    """Acknowledgements only, as in the profiles of ts_ddsconfig 0.9.0 and later."""
    EXCLUSIVE = "exclusive"
    """Acknowledgements and events, as in the profiles until ts_ddsconfig 0.8.0."""


def is_mixed_bus() -> bool:
    """Return whether OpenSplice peers are on the bus (LSST_DDS_PEER=opensplice).

    Raises
    ------
    DDSException
        If the variable has another value than the two.
    """
    text = os.environ.get("LSST_DDS_PEER", "").strip().lower() or CYCLONE
    if text not in {CYCLONE, OPENSPLICE}:
        message = f"LSST_DDS_PEER={text!r} must be {CYCLONE!r} or {OPENSPLICE!r}"
        raise DDSException(message)
    return text == OPENSPLICE


def ownership() -> Ownership:
    """Return which topics have EXCLUSIVE ownership.

    All programs on a bus need the same: readers and writers with different ownership exchange
    nothing. So the default is that of the peers: none among stand-ins, and on a bus with OpenSplice
    that of the observatory's present profiles.

    Raises
    ------
    DDSException
        If LSST_DDS_OWNERSHIP has none of the known values.
    """
    text = os.environ.get("LSST_DDS_OWNERSHIP", "").strip().lower()
    if not text:
        return Ownership.ACKCMD if is_mixed_bus() else Ownership.SHARED
    try:
        return Ownership(text)
    except ValueError:
        known = ", ".join(repr(member.value) for member in Ownership)
        message = f"LSST_DDS_OWNERSHIP={text!r} must be one of {known}"
        raise DDSException(message) from None


def cyclone_configuration() -> str | None:
    """Return the configuration for Cyclone, or None if Cyclone is to read CYCLONEDDS_URI.

    LSST_DDS_INTERFACE is the name or the IP address of the network interface. For loopback the
    configuration enables multicast, because Linux does not announce it and peers are not discovered
    without it. The participant index has its default, with which any number of processes discover
    each other.
    """
    if os.environ.get("CYCLONEDDS_URI", "").strip():
        return None
    interface = os.environ.get("LSST_DDS_INTERFACE", "").strip() or LOOPBACK
    attribute = "name"
    is_loopback = interface == LOOPBACK
    try:
        is_loopback = ipaddress.ip_address(interface).is_loopback
        attribute = "address"
    except ValueError:
        pass  # a name, not an address
    multicast = ' multicast="true"' if is_loopback else ""
    return (
        "<CycloneDDS><Domain Id='any'><General><Interfaces>"
        f"<NetworkInterface {attribute}={quoteattr(interface)}{multicast}/>"
        "</Interfaces></General></Domain></CycloneDDS>"
    )
