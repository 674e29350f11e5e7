"""All calls of Cyclone, by ctypes and by cyclonedds' own C extension.

The extension takes samples, writes samples and creates topics, because it knows cyclonedds' sample
types. All other functions are called by ctypes, which lets other threads run meanwhile. They have
their own function objects, because those of the cyclonedds package have other argument types.
"""

from __future__ import annotations

import ctypes as ct
from typing import TYPE_CHECKING, Any, cast

from cyclonedds import _clayer
from cyclonedds.builtin_types import cqos_to_qos, endpoint_constructor
from cyclonedds.internal import DDS
from cyclonedds.qos import Qos as CycloneQos
from cyclonedds.qos import _CQos

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclonedds.builtin_types import DcpsEndpoint

__all__ = [
    "LIBRARY",
    "SUBSCRIPTION_MATCHED",
    "attach",
    "create_domain",
    "create_guard_condition",
    "create_participant",
    "create_publisher",
    "create_read_condition",
    "create_reader",
    "create_subscriber",
    "create_topic",
    "create_wait_set",
    "create_writer",
    "delete",
    "detach",
    "endpoints",
    "incompatible",
    "qos_of",
    "set_guard_condition",
    "take",
    "take_status",
    "to_c_qos",
    "triggered",
    "wait",
    "write",
    "write_at",
]

LIBRARY = 0x7FFF0100
"""DDS_CYCLONEDDS_HANDLE: parent of entities without a participant. salobj creates its wait sets
before it has read anything."""
SUBSCRIPTION_MATCHED = 1 << 12
"""DDS_SUBSCRIPTION_MATCHED_STATUS in Cyclone's numbering (the OMG's differs)."""

_library = ct.CDLL(DDS._dll_handle._name)  # noqa: SLF001 (the wheel's library has no public path)


def _function(name: str, restype: Any, *argtypes: Any) -> Callable[..., int]:  # noqa: ANN401 (ctypes types)
    function = getattr(_library, name)
    function.restype, function.argtypes = restype, argtypes
    return function  # type: ignore[no-any-return] # ctypes does not know


_entity, _status, _pointer = ct.c_int32, ct.c_uint32, ct.c_void_p

create_domain = _function("dds_create_domain", _entity, ct.c_uint32, ct.c_char_p)
create_participant = _function("dds_create_participant", _entity, ct.c_uint32, _pointer, _pointer)
create_publisher = _function("dds_create_publisher", _entity, _entity, _pointer, _pointer)
create_subscriber = _function("dds_create_subscriber", _entity, _entity, _pointer, _pointer)
create_writer = _function("dds_create_writer", _entity, _entity, _entity, _pointer, _pointer)
create_reader = _function("dds_create_reader", _entity, _entity, _entity, _pointer, _pointer)
create_read_condition = _function("dds_create_readcondition", _entity, _entity, ct.c_uint32)
create_guard_condition = _function("dds_create_guardcondition", _entity, _entity)
set_guard_condition = _function("dds_set_guardcondition", ct.c_int32, _entity, ct.c_bool)
create_wait_set = _function("dds_create_waitset", _entity, _entity)
attach = _function("dds_waitset_attach", ct.c_int32, _entity, _entity, ct.c_ssize_t)
detach = _function("dds_waitset_detach", ct.c_int32, _entity, _entity)
triggered = _function("dds_triggered", ct.c_int32, _entity)
delete = _function("dds_delete", ct.c_int32, _entity)

_wait = _function(
    "dds_waitset_wait", ct.c_int32, _entity, ct.POINTER(ct.c_ssize_t), ct.c_size_t, ct.c_int64
)
_take_status = _function("dds_take_status", ct.c_int32, _entity, ct.POINTER(_status), _status)


_IncompatibleStatus = ct.c_uint32 * 3
"""Number of peers that did not match, its change, and the policy of the last one."""

_requested_incompatible = _function(
    "dds_get_requested_incompatible_qos_status",
    ct.c_int32,
    _entity,
    ct.POINTER(ct.c_uint32),
)
_offered_incompatible = _function(
    "dds_get_offered_incompatible_qos_status",
    ct.c_int32,
    _entity,
    ct.POINTER(ct.c_uint32),
)

_get_qos = _function("dds_get_qos", ct.c_int32, _entity, _pointer)

_PUBLICATIONS, _SUBSCRIPTIONS = 0x7FFF0003, 0x7FFF0004
"""Cyclone's handles of the built-in topics that list all writers and all readers."""
_MANY = 10_000
"""Endpoints that are read at most; a component has some hundred topics."""

take: Callable[[int, int, int], Any] = _clayer.ddspy_take
"""Take up to n samples; return a list of (bytes, sample info) or an error code."""
write: Callable[[int, bytes], int] = _clayer.ddspy_write
"""Write one encoded sample."""
write_at: Callable[[int, bytes, int], int] = _clayer.ddspy_write_ts
"""Write one encoded sample with a source timestamp: UTC in nanoseconds since 1970."""


def wait(wait_set: int, n: int, timeout_ns: int) -> tuple[int, list[int]]:
    """Wait for conditions; return the result code and the tokens of up to ``n`` triggered ones."""
    tokens = (ct.c_ssize_t * n)()
    result = _wait(wait_set, tokens, n, timeout_ns)
    return result, tokens[: max(0, min(result, n))]


def take_status(entity: int, mask: int) -> tuple[int, int]:
    """Return the result code and those statuses of ``mask`` that changed since the last call."""
    status = _status()
    result = _take_status(entity, ct.byref(status), mask)
    return result, status.value


def create_topic(participant: int, name: str, idl: Any, qos: Any) -> int:  # noqa: ANN401
    """Create a topic of a cyclonedds IDL class; ``qos`` is from `to_c_qos` or None."""
    return int(_clayer.ddspy_topic_create(participant, name, idl, qos, None))


def incompatible(entity: int, *, is_reader: bool) -> tuple[int, int]:
    """Return how many peers did not match a reader or writer, and the policy of the last one."""
    status = _IncompatibleStatus()
    read = _requested_incompatible if is_reader else _offered_incompatible
    if read(entity, status) < 0:
        return 0, 0
    return status[0], status[2]


def endpoints(participant: int, *, writers: bool) -> list[DcpsEndpoint]:
    """Return the known writers or readers of all participants."""
    reader = create_reader(participant, _PUBLICATIONS if writers else _SUBSCRIPTIONS, None, None)
    if reader < 0:
        return []
    try:
        found = _clayer.ddspy_read_endpoint(reader, _MANY, endpoint_constructor, cqos_to_qos)
    finally:
        delete(reader)
    return [] if isinstance(found, int) else [one for one in found if one.sample_info.valid_data]


def qos_of(entity: int) -> CycloneQos:
    """Return the policies that are in force for an entity; none if it is closed."""
    c_qos = _CQos.cqos_create()  # type: ignore[no-untyped-call] # cyclonedds has no types
    try:
        if _get_qos(entity, c_qos) < 0:
            return CycloneQos()
        return cast("CycloneQos", _CQos.cqos_to_qos(c_qos))  # type: ignore[no-untyped-call] # likewise
    finally:
        _CQos.cqos_destroy(c_qos)  # type: ignore[no-untyped-call] # likewise


def to_c_qos(policies: list[Any]) -> Any:  # noqa: ANN401 (a C pointer)
    """Return a C quality of service object of cyclonedds policies; the caller must keep it."""
    return _CQos.qos_to_cqos(CycloneQos(*policies))
