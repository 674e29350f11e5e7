"""Read quality of service profiles from XML (OMG's DDS for XML, as in ts-ddsconfig's QoS.xml)."""

from __future__ import annotations

import enum
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TypeVar

from ts_dds_cyclone.errors import DDSException
from ts_dds_cyclone.kinds import (
    NANOSECONDS,
    DDSDestinationOrderKind,
    DDSDurabilityKind,
    DDSDuration,
    DDSHistoryKind,
    DDSOwnershipKind,
    DDSReliabilityKind,
)
from ts_dds_cyclone.qos import Qos

__all__ = ["QosProvider"]

_NAMESPACE = "{http://www.omg.org/dds/}"

_KindT = TypeVar("_KindT", bound=enum.Enum)


class _Section:
    """One entity's section of a profile."""

    def __init__(self, element: ET.Element, where: str) -> None:
        self._element = element
        self._where = where

    def text(self, path: str) -> str | None:
        found = self._element.findtext("/".join(_NAMESPACE + part for part in path.split("/")))
        return None if found is None else found.strip()

    def number(self, path: str, default: int) -> int:
        text = self.text(path)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError as e:
            message = f"{self._where}: {path} is {text!r}, not a whole number"
            raise DDSException(message) from e

    def kind(self, path: str, default: _KindT, suffix: str) -> _KindT:
        text = self.text(path)
        if text is None:
            return default
        try:
            return type(default)[text.removesuffix(suffix)]
        except KeyError as e:
            known = ", ".join(member.name + suffix for member in type(default))
            message = f"{self._where}: {path} is {text!r}; it must be one of {known}"
            raise DDSException(message) from e


class QosProvider:
    """The policies of one profile in a file.

    Parameters
    ----------
    uri
        ``file:`` address of the XML file.
    profile
        Name of the profile.

    Raises
    ------
    DDSException
        If the file cannot be read, is not XML, or has no such profile.
    """

    def __init__(self, uri: str, profile: str) -> None:
        self._path = Path(urllib.request.url2pathname(urllib.parse.urlparse(uri).path))
        try:
            root = ET.parse(self._path).getroot()  # noqa: S314 (a file of the installation, not input)
        except (OSError, ET.ParseError) as e:
            message = f"Cannot read the quality of service profiles in {self._path}: {e}"
            raise DDSException(message) from e
        found = [e for e in root.iter(_NAMESPACE + "qos_profile") if e.get("name") == profile]
        if not found:
            message = f"{self._path} has no quality of service profile {profile!r}"
            raise DDSException(message)
        self._element, self._profile = found[0], profile

    def _read(self, tag: str) -> Qos:
        qos = Qos()
        element = self._element.find(_NAMESPACE + tag)
        if element is None:
            return qos
        section = _Section(element, f"{self._path}, profile {self._profile}, {tag}")
        qos.durability.kind = section.kind(
            "durability/kind", DDSDurabilityKind.VOLATILE, "_DURABILITY_QOS"
        )
        qos.history.kind = section.kind("history/kind", DDSHistoryKind.KEEP_LAST, "_HISTORY_QOS")
        qos.history.depth = section.number("history/depth", qos.history.depth)
        service = qos.durability_service
        service.history_kind = section.kind(
            "durability_service/history_kind", DDSHistoryKind.KEEP_LAST, "_HISTORY_QOS"
        )
        service.history_depth = section.number(
            "durability_service/history_depth", service.history_depth
        )
        qos.reliability.kind = section.kind(
            "reliability/kind", DDSReliabilityKind.BEST_EFFORT, "_RELIABILITY_QOS"
        )
        blocking = qos.reliability.max_blocking_time.value
        qos.reliability.max_blocking_time = DDSDuration(
            section.number("reliability/max_blocking_time/sec", blocking // NANOSECONDS),
            section.number("reliability/max_blocking_time/nanosec", blocking % NANOSECONDS),
        )
        qos.ownership.kind = section.kind(
            "ownership/kind", DDSOwnershipKind.SHARED, "_OWNERSHIP_QOS"
        )
        qos.destination_order.kind = section.kind(
            "destination_order/kind",
            DDSDestinationOrderKind.BY_RECEPTION_TIMESTAMP,
            "_DESTINATIONORDER_QOS",
        )
        return qos

    def get_participant_qos(self) -> Qos:
        """Return the policies for a domain participant."""
        return self._read("domainparticipant_qos")

    def get_publisher_qos(self) -> Qos:
        """Return the policies for a publisher."""
        return self._read("publisher_qos")

    def get_subscriber_qos(self) -> Qos:
        """Return the policies for a subscriber."""
        return self._read("subscriber_qos")

    def get_topic_qos(self) -> Qos:
        """Return the policies for a topic."""
        return self._read("topic_qos")

    def get_reader_qos(self) -> Qos:
        """Return the policies for a data reader."""
        return self._read("datareader_qos")

    def get_writer_qos(self) -> Qos:
        """Return the policies for a data writer."""
        return self._read("datawriter_qos")
