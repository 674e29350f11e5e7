"""Watch of the IPv4 address of the network interface that SAL uses.

Cyclone reads the address once, when it starts. Measured with Cyclone 0.10: when the interface loses
its address or its link and gets the same one back, all programs receive each other again within
five seconds. With another address, for example after a new DHCP lease, none ever does, not even on
one host: the CSC would stay ENABLED and receive no event. Only a restart of the process helps.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING

import psutil
import structlog

from ccarchiver_core.base.beat import next_beat
from ccarchiver_core.base.errors import InterfaceChangedError
from ccarchiver_sal.adapter import is_stand_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccarchiver_core.runtime.heartbeat import HeartbeatPublisher

INTERVAL = 2.0
"""Seconds between two checks; one takes a third of a millisecond."""

CHECKS_BEFORE_RESTART = 3
"""Checks in a row that must find the other address. A DHCP client may set it for a moment only."""

INTERFACE_VARIABLE = "LSST_DDS_INTERFACE"
CYCLONE_VARIABLE = "CYCLONEDDS_URI"
DEFAULT_INTERFACE = "lo"
"""Interface without LSST_DDS_INTERFACE, as in the stand-in for ts-dds."""

_log = structlog.get_logger(__name__)


def ipv4_addresses(interface: str) -> list[str]:
    """Return the IPv4 addresses of a network interface, in the order of the system.

    If an address is given in place of a name, return it alone while any interface has it.
    """
    by_interface = {
        name: [one.address for one in found if one.family == socket.AF_INET]
        for name, found in psutil.net_if_addrs().items()
    }
    try:
        ipaddress.ip_address(interface)
    except ValueError:
        return by_interface.get(interface, [])
    return [interface] if any(interface in found for found in by_interface.values()) else []


class InterfaceWatch:
    """Watch of the address with which SAL was opened.

    Parameters
    ----------
    interface : `str`
        Name or IPv4 address of the interface.
    heartbeat : `HeartbeatPublisher`
        It publishes that the CSC receives nothing, which is a critical alarm.
    read : callable
        Returns the present addresses of an interface.

    Notes
    -----
    Create it when SAL is opened, because it takes the address then.
    """

    def __init__(
        self,
        interface: str,
        heartbeat: HeartbeatPublisher,
        read: Callable[[str], list[str]] = ipv4_addresses,
    ) -> None:
        self._interface = interface
        self._heartbeat = heartbeat
        self._read = read
        self._address = next(iter(read(interface)), "")
        self._other_address_seen = 0

    @classmethod
    def of_the_bus(cls, heartbeat: HeartbeatPublisher) -> InterfaceWatch | None:
        """Return a watch of the interface that the environment selects.

        Return None if that is not known: OpenSplice has a configuration of its own, as Cyclone has
        with CYCLONEDDS_URI.
        """
        if not is_stand_in() or os.environ.get(CYCLONE_VARIABLE, "").strip():
            return None
        return cls(os.environ.get(INTERFACE_VARIABLE, "").strip() or DEFAULT_INTERFACE, heartbeat)

    async def run(self) -> None:
        """Check every INTERVAL until cancelled.

        Raises
        ------
        InterfaceChangedError
            If the interface has another address. The process must end and be started again.
        """
        while True:
            await next_beat(INTERVAL)
            self.check()

    def check(self) -> None:
        """Check once; see `run`."""
        if not self._address:
            return  # SAL was opened without an address: its own error names the reason
        addresses = self._read(self._interface)
        if self._address in addresses:
            self._end_outage()
            return
        self._begin_outage()
        self._other_address_seen = self._other_address_seen + 1 if addresses else 0
        if self._other_address_seen >= CHECKS_BEFORE_RESTART:
            msg = (
                f"the network interface {self._interface} has the address {addresses[0]} in place "
                f"of {self._address}: SAL must be opened again"
            )
            raise InterfaceChangedError(msg)

    def _begin_outage(self) -> None:
        if not self._heartbeat.degraded_reason:
            self._heartbeat.degraded_reason = (
                f"SAL is cut off: the network interface {self._interface} has lost its address "
                f"{self._address}"
            )
            _log.warning(  # the alarm comes with the heartbeat
                "sal.cut_off",
                interface=self._interface,
                address=self._address,
                effect="no event or command arrives",
            )

    def _end_outage(self) -> None:
        self._other_address_seen = 0
        if self._heartbeat.degraded_reason:
            self._heartbeat.degraded_reason = ""
            _log.info("sal.connected_again", interface=self._interface, address=self._address)
