"""Settings, read from the environment at the moment they are needed, and their defaults."""

from __future__ import annotations

import ipaddress
import os
from xml.sax.saxutils import quoteattr

from ts_dds_cyclone.errors import DDSException

__all__ = ["cyclone_configuration", "domain_id", "exclusive_ownership"]

MAX_DOMAIN_ID = 230
"""RTPS derives port numbers from the domain; above this one they do not fit in 16 bits."""
LOOPBACK = "lo"
"""Default interface: an archiver's peers are often on its own machine, and nothing leaves it unasked."""


def domain_id() -> int:
    """Return LSST_DDS_DOMAIN_ID, 0 if it is not set."""
    text = os.environ.get("LSST_DDS_DOMAIN_ID", "").strip()
    if not text:
        return 0
    if not text.isdecimal() or int(text) > MAX_DOMAIN_ID:
        message = f"LSST_DDS_DOMAIN_ID={text!r} must be a whole number from 0 to {MAX_DOMAIN_ID}"
        raise DDSException(message)
    return int(text)


def exclusive_ownership() -> bool:
    """Tell whether the ownership of the profiles is to be kept (LSST_DDS_OWNERSHIP=exclusive).

    By default every topic is SHARED: with EXCLUSIVE ownership a writer that was killed and
    restarted stays unheard until the lease of the old one ends, seconds later. On a bus with
    OpenSplice peers both sides must ask for the same, so a site can switch.
    """
    text = os.environ.get("LSST_DDS_OWNERSHIP", "shared").strip().lower()
    if text not in {"shared", "exclusive"}:
        message = f"LSST_DDS_OWNERSHIP={text!r} must be 'shared' or 'exclusive'"
        raise DDSException(message)
    return text == "exclusive"


def cyclone_configuration() -> str | None:
    """Return the configuration for Cyclone, or None to let it read CYCLONEDDS_URI.

    LSST_DDS_INTERFACE names the network interface, or gives its IP address. Loopback has to be
    told that it can multicast: Linux does not say so, and without it peers are not discovered.
    The participant index is left at its default, with which any number of processes find each other.
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
