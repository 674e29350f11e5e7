"""Settings and their defaults; they are read from the environment when they are needed."""

from __future__ import annotations

import ipaddress
import os
from xml.sax.saxutils import quoteattr

from ts_dds_cyclone.errors import DDSException

__all__ = ["cyclone_configuration", "domain_id", "exclusive_ownership"]

MAX_DOMAIN_ID = 230
"""RTPS computes port numbers from the domain; for a larger domain they exceed 16 bits."""
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


def exclusive_ownership() -> bool:
    """Return whether the ownership of the profiles is used (LSST_DDS_OWNERSHIP=exclusive).

    By default every topic is SHARED. With EXCLUSIVE ownership, readers ignore a writer that was
    killed and restarted until the lease of the old writer ends, seconds later. With OpenSplice
    peers both sides must request the same ownership, so a site can change it.
    """
    text = os.environ.get("LSST_DDS_OWNERSHIP", "shared").strip().lower()
    if text not in {"shared", "exclusive"}:
        message = f"LSST_DDS_OWNERSHIP={text!r} must be 'shared' or 'exclusive'"
        raise DDSException(message)
    return text == "exclusive"


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
