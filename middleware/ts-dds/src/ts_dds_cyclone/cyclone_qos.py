"""Translate a Qos into cyclonedds' policies."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from cyclonedds.qos import Policy

from ts_dds_cyclone.errors import DDSException
from ts_dds_cyclone.kinds import DDSDestinationOrderKind, DDSHistoryKind, DDSReliabilityKind

if TYPE_CHECKING:
    from ts_dds_cyclone.qos import Qos

__all__ = ["EntityKind", "cyclone_policies"]

UNLIMITED = -1


class EntityKind(enum.Enum):
    """Kind of entity that a Qos applies to."""

    GROUP = "publisher or subscriber"
    TOPIC = "topic"
    READER = "reader"
    WRITER = "writer"


def _history(kind: DDSHistoryKind, depth: int) -> Any:  # noqa: ANN401 (cyclonedds' policies have no common type)
    if kind is DDSHistoryKind.KEEP_ALL:
        return Policy.History.KeepAll
    if depth < 1:
        message = f"History depth {depth!r} must be a whole number of at least 1"
        raise DDSException(message)
    return Policy.History.KeepLast(depth)


def cyclone_policies(qos: Qos, entity: EntityKind, *, exclusive: bool) -> list[Any]:
    """Return the cyclonedds policies of a Qos for one kind of entity."""
    if entity is EntityKind.GROUP:
        return [Policy.Partition(qos.partition.ps)] if qos.partition.ps else []
    reliable = qos.reliability.kind is DDSReliabilityKind.RELIABLE
    by_source = qos.destination_order.kind is DDSDestinationOrderKind.BY_SOURCE_TIMESTAMP
    policies = [
        Policy.Reliability.Reliable(qos.reliability.max_blocking_time.value)
        if reliable
        else Policy.Reliability.BestEffort,
        # There is no durability service, so TRANSIENT means what a live writer keeps. With plain
        # TRANSIENT late joiners would receive nothing.
        Policy.Durability.TransientLocal if qos.is_durable else Policy.Durability.Volatile,
        _history(qos.history.kind, qos.history.depth),
        Policy.DestinationOrder.BySourceTimestamp
        if by_source
        else Policy.DestinationOrder.ByReceptionTimestamp,
        Policy.Ownership.Exclusive if exclusive else Policy.Ownership.Shared,
    ]
    if entity is EntityKind.TOPIC and qos.is_durable:
        # Writers inherit this from their topic. Without it Cyclone keeps ONE sample for late
        # joiners, whatever the history depth.
        service = qos.durability_service
        kept = _history(service.history_kind, service.history_depth)
        policies.append(Policy.DurabilityService(0, kept, UNLIMITED, UNLIMITED, UNLIMITED))
    return policies
