"""Report endpoints that exchange nothing because their quality of service does not match.

DDS is silent about them: it only counts them in a status of the reader or writer. The statuses are
read from time to time, because a callback inside Cyclone can block the interpreter.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from cyclonedds.qos import Policy

from ts_dds_cyclone import native

if TYPE_CHECKING:
    from ts_dds_cyclone.entities import DomainParticipant, Entity

__all__ = ["CHECK_INTERVAL", "check", "watch"]

CHECK_INTERVAL = 5.0
"""Seconds between two checks. One takes a few microseconds for each reader and writer."""

_POLICIES: dict[int, tuple[str, type]] = {
    2: ("durability", Policy.Durability),
    6: ("ownership", Policy.Ownership),
    11: ("reliability", Policy.Reliability),
    12: ("destination order", Policy.DestinationOrder),
}
"""Name and class of the policies that must match, by the number that DDS gives them."""

_VENDORS = {b"\x01\x02": "OpenSplice", b"\x01\x10": "Cyclone DDS"}
"""Implementations of DDS, by the first two bytes of a participant's id (RTPS vendor id)."""

_REMEDY = (
    "all programs on the bus need matching LSST_DDS_PEER and LSST_DDS_OWNERSHIP, and OpenSplice "
    "the profiles of the same ts_ddsconfig"
)

_log = logging.getLogger("dds")


class _Mismatch(NamedTuple):
    """Identity of what is logged once."""

    topic: str
    policy: str
    peer: str


class _Watched(NamedTuple):
    topic: str
    participant: weakref.ref[DomainParticipant]
    partitions: tuple[str, ...]
    is_reader: bool


_lock = threading.Lock()
_watched: weakref.WeakKeyDictionary[Entity, _Watched] = weakref.WeakKeyDictionary()
_counts: weakref.WeakKeyDictionary[Entity, int] = weakref.WeakKeyDictionary()
_logged: set[_Mismatch] = set()
_next_check = 0.0


def watch(
    entity: Entity,
    topic: str,
    participant: DomainParticipant,
    partitions: tuple[str, ...],
    *,
    is_reader: bool,
) -> None:
    """Include a reader or writer in the checks while it exists."""
    with _lock:
        _watched[entity] = _Watched(topic, weakref.ref(participant), partitions, is_reader)


def check(*, now: bool = False) -> None:
    """Log each new mismatch, if the last check was CHECK_INTERVAL ago or with ``now``.

    It never waits: another thread that checks already is enough.
    """
    global _next_check  # noqa: PLW0603 (one schedule for all wait sets of the process)
    if not now and time.monotonic() < _next_check:
        return
    if not _lock.acquire(blocking=False):
        return
    try:
        _next_check = time.monotonic() + CHECK_INTERVAL
        for entity, watched in list(_watched.items()):
            if entity.is_open:
                _check(entity, watched)
    finally:
        _lock.release()


def _check(entity: Entity, watched: _Watched) -> None:
    count, policy = native.incompatible(entity.handle, is_reader=watched.is_reader)
    if count <= _counts.get(entity, 0):
        return
    _counts[entity] = count
    name, kind = _POLICIES.get(policy, (f"policy {policy}", None))
    ours = "reader" if watched.is_reader else "writer"
    theirs = "writer" if watched.is_reader else "reader"
    peers = [] if kind is None else _peers(watched, kind, native.qos_of(entity.handle))
    for peer, value, own in peers or [("another program", "another value", "its own")]:
        mismatch = _Mismatch(watched.topic, name, peer)
        if mismatch in _logged:
            continue
        _logged.add(mismatch)
        _log.warning(
            "%s: a %s of %s has the %s %s, the %s of this program %s: they exchange nothing; %s",
            watched.topic,
            theirs,
            peer,
            name,
            value,
            ours,
            own,
            _REMEDY,
        )


def _peers(watched: _Watched, kind: type, own_qos: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401
    """Return the peers whose endpoints of the topic have another value: peer, its value, ours."""
    own = own_qos[kind]
    found: list[tuple[str, str, str]] = []
    participant = watched.participant()
    if participant is None or not participant.is_open:
        return found
    for endpoint in native.endpoints(participant.handle, writers=watched.is_reader):
        if endpoint.topic_name != watched.topic or kind not in endpoint.qos:
            continue
        if set(watched.partitions).isdisjoint(_partitions(endpoint.qos)):
            continue
        value = endpoint.qos[kind]
        if _name(value) != _name(own) and not _is_enough(
            kind, value, own, is_reader=watched.is_reader
        ):
            found.append((_peer(endpoint.participant_key.bytes), _name(value), _name(own)))
    return found


def _partitions(qos: Any) -> tuple[str, ...]:  # noqa: ANN401
    return tuple(qos[Policy.Partition].partitions) if Policy.Partition in qos else ("",)


def _is_enough(kind: type, value: Any, own: Any, *, is_reader: bool) -> bool:  # noqa: ANN401
    """Return whether an offered durability is at least the requested one."""
    if kind is not Policy.Durability:
        return False
    order = ("Volatile", "TransientLocal", "Transient", "Persistent")
    offered, requested = (value, own) if is_reader else (own, value)
    return order.index(_name(offered)) >= order.index(_name(requested))


def _name(policy: Any) -> str:  # noqa: ANN401
    return type(policy).__name__.rsplit(".", 1)[-1]


def _peer(key: bytes) -> str:
    """Return the name of a participant: its implementation, if known, and its id."""
    return f"{_VENDORS.get(key[:2], 'the participant')} {key[:12].hex()}"
