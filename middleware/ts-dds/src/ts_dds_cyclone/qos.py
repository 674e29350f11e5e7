"""Quality of service: OpenSplice's policy and Qos classes.

The depth of a reader or writer is changed on its Qos before the reader or writer is created, in one
of two ways::

    qos.set_policies([HistoryQosPolicy(DDSHistoryKind.KEEP_LAST, 10_000)])
    qos.history.depth = 10_000
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ts_dds_cyclone.cyclone_qos import EntityKind, cyclone_policies, is_exclusive
from ts_dds_cyclone.errors import DDSException
from ts_dds_cyclone.kinds import (
    DDSDestinationOrderKind,
    DDSDurabilityKind,
    DDSDuration,
    DDSHistoryKind,
    DDSOwnershipKind,
    DDSReliabilityKind,
)
from ts_dds_cyclone.native import to_c_qos
from ts_dds_cyclone.settings import is_mixed_bus, ownership

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "DestinationOrderQosPolicy",
    "DurabilityQosPolicy",
    "DurabilityServiceQosPolicy",
    "HistoryQosPolicy",
    "OwnershipQosPolicy",
    "PartitionQosPolicy",
    "Qos",
    "ReliabilityQosPolicy",
]

DEFAULT_BLOCKING_NS = 100_000_000
"""Default limit of a blocked write in the DDS specification: 0.1 s."""


@dataclass
class DurabilityQosPolicy:
    """Which samples late joiners receive."""

    kind: DDSDurabilityKind = DDSDurabilityKind.VOLATILE


@dataclass
class HistoryQosPolicy:
    """How many samples of an instance a reader or writer keeps."""

    kind: DDSHistoryKind = DDSHistoryKind.KEEP_LAST
    depth: int = 1


@dataclass
class DurabilityServiceQosPolicy:
    """How many samples of an instance are kept for late joiners."""

    history_kind: DDSHistoryKind = DDSHistoryKind.KEEP_LAST
    history_depth: int = 1


@dataclass
class ReliabilityQosPolicy:
    """Whether lost samples are sent again, and how long a write may block."""

    kind: DDSReliabilityKind = DDSReliabilityKind.BEST_EFFORT
    max_blocking_time: DDSDuration = field(
        default_factory=lambda: DDSDuration(0, DEFAULT_BLOCKING_NS)
    )


@dataclass
class OwnershipQosPolicy:
    """Whether a reader receives the samples of one or of all writers of an instance."""

    kind: DDSOwnershipKind = DDSOwnershipKind.SHARED


@dataclass
class DestinationOrderQosPolicy:
    """The timestamp by which samples are sorted."""

    kind: DDSDestinationOrderKind = DDSDestinationOrderKind.BY_RECEPTION_TIMESTAMP


class PartitionQosPolicy:
    """Names of the partitions of a publisher or subscriber."""

    def __init__(self, ps: Iterable[str] = ()) -> None:
        self.ps = [ps] if isinstance(ps, str) else list(ps)


_ATTRIBUTES: dict[type, str] = {
    DurabilityQosPolicy: "durability",
    HistoryQosPolicy: "history",
    DurabilityServiceQosPolicy: "durability_service",
    ReliabilityQosPolicy: "reliability",
    OwnershipQosPolicy: "ownership",
    DestinationOrderQosPolicy: "destination_order",
    PartitionQosPolicy: "partition",
}


class Qos:
    """A set of policies for a participant, publisher, subscriber, topic, reader or writer."""

    def __init__(self, policies: Iterable[Any] = ()) -> None:
        self.durability = DurabilityQosPolicy()
        self.history = HistoryQosPolicy()
        self.durability_service = DurabilityServiceQosPolicy()
        self.reliability = ReliabilityQosPolicy()
        self.ownership = OwnershipQosPolicy()
        self.destination_order = DestinationOrderQosPolicy()
        self.partition = PartitionQosPolicy()
        self._c_objects: dict[tuple[Any, ...], Any] = {}
        self.set_policies(policies)

    def set_policies(self, policies: Iterable[Any]) -> None:
        """Replace some policies.

        Raises
        ------
        DDSException
            If a policy is not one of this module.
        """
        for policy in policies:
            attribute = _ATTRIBUTES.get(type(policy))
            if attribute is None:
                known = ", ".join(sorted(kind.__name__ for kind in _ATTRIBUTES))
                message = f"Unknown quality of service policy {policy!r}; known are {known}"
                raise DDSException(message)
            setattr(self, attribute, policy)

    @property
    def is_durable(self) -> bool:
        """Whether late joiners receive samples."""
        return self.durability.kind is not DDSDurabilityKind.VOLATILE

    def c_object(self, entity: EntityKind) -> Any:  # noqa: ANN401 (a C pointer)
        """Return the C object for one kind of entity.

        It is cached until the policies change, because hundreds of readers share one Qos.
        """
        exclusive, mixed = is_exclusive(self, ownership()), is_mixed_bus()
        key = (
            entity,
            exclusive,
            mixed,
            self.durability.kind,
            self.history.kind,
            self.history.depth,
            self.durability_service.history_kind,
            self.durability_service.history_depth,
            self.reliability.kind,
            self.reliability.max_blocking_time.value,
            self.destination_order.kind,
            tuple(self.partition.ps),
        )
        if key not in self._c_objects:
            self._c_objects[key] = to_c_qos(
                cyclone_policies(self, entity, exclusive=exclusive, mixed=mixed)
            )
        return self._c_objects[key]
