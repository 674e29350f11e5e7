"""Translate a Qos into cyclonedds' policies."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from cyclonedds.qos import Policy

from ts_dds_cyclone.errors import DDSException
from ts_dds_cyclone.kinds import (
    DDSDestinationOrderKind,
    DDSHistoryKind,
    DDSOwnershipKind,
    DDSReliabilityKind,
)
from ts_dds_cyclone.settings import Ownership

if TYPE_CHECKING:
    from ts_dds_cyclone.qos import Qos

__all__ = ["EntityKind", "cyclone_policies", "is_exclusive"]

UNLIMITED = -1


class EntityKind(enum.Enum):
    """Kind of entity that a Qos applies to."""

    GROUP = "publisher or subscriber"
    TOPIC = "topic"
    READER = "reader"
    WRITER = "writer"
    COMPANION = "writer of the history"
    """Second writer of an event on a bus with OpenSplice peers."""


def _history(kind: DDSHistoryKind, depth: int) -> Any:  # noqa: ANN401 (cyclonedds' policies have no common type)
    if kind is DDSHistoryKind.KEEP_ALL:
        return Policy.History.KeepAll
    if depth < 1:
        message = f"History depth {depth!r} must be a whole number of at least 1"
        raise DDSException(message)
    return Policy.History.KeepLast(depth)


def is_exclusive(qos: Qos, owned: Ownership) -> bool:
    """Return whether a Qos has EXCLUSIVE ownership, under a value of LSST_DDS_OWNERSHIP."""
    match owned:
        case Ownership.SHARED:
            return False
        case Ownership.ACKCMD:
            return qos.ownership.kind is DDSOwnershipKind.EXCLUSIVE
        case Ownership.EXCLUSIVE:  # only events are durable
            return qos.ownership.kind is DDSOwnershipKind.EXCLUSIVE or qos.is_durable


def _durability(qos: Qos, entity: EntityKind, *, mixed: bool) -> Any:  # noqa: ANN401
    if not qos.is_durable:
        return Policy.Durability.Volatile
    # There is no durability service, so TRANSIENT means what a live writer keeps. With plain
    # TRANSIENT late joiners would receive nothing.
    if mixed and entity is EntityKind.WRITER:
        # OpenSplice's readers ask for TRANSIENT and match no writer that offers less. A companion
        # keeps the history for readers of our own kind, see `ts_dds_cyclone.entities`.
        return Policy.Durability.Transient
    return Policy.Durability.TransientLocal


def cyclone_policies(qos: Qos, entity: EntityKind, *, exclusive: bool, mixed: bool) -> list[Any]:
    """Return the cyclonedds policies of a Qos for one kind of entity."""
    if entity is EntityKind.GROUP:
        return [Policy.Partition(qos.partition.ps)] if qos.partition.ps else []
    reliable = qos.reliability.kind is DDSReliabilityKind.RELIABLE
    by_source = qos.destination_order.kind is DDSDestinationOrderKind.BY_SOURCE_TIMESTAMP
    depth = qos.history.depth
    if mixed and entity is EntityKind.READER and qos.is_durable:
        depth *= 2  # each sample of our own writers arrives twice
    policies = [
        Policy.Reliability.Reliable(qos.reliability.max_blocking_time.value)
        if reliable
        else Policy.Reliability.BestEffort,
        _durability(qos, entity, mixed=mixed),
        _history(qos.history.kind, depth),
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
