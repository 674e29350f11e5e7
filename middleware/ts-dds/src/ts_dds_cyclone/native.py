"""All calls of Cyclone, by ctypes and by cyclonedds' own C extension.

The extension takes samples, writes samples and creates topics, because it knows cyclonedds' sample
types. All other functions are called by ctypes, which lets other threads run meanwhile. They have
their own function objects, because those of the cyclonedds package have other argument types.
"""

from __future__ import annotations

import ctypes as ct
from typing import TYPE_CHECKING, Any

from cyclonedds import _clayer
from cyclonedds.internal import DDS
from cyclonedds.qos import Qos as CycloneQos
from cyclonedds.qos import _CQos

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "set_guard_condition",
    "take",
    "take_status",
    "to_c_qos",
    "triggered",
    "wait",
    "write",
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

take: Callable[[int, int, int], Any] = _clayer.ddspy_take
"""Take up to n samples; return a list of (bytes, sample info) or an error code."""
write: Callable[[int, bytes], int] = _clayer.ddspy_write
"""Write one encoded sample."""


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


def to_c_qos(policies: list[Any]) -> Any:  # noqa: ANN401 (a C pointer)
    """Return a C quality of service object of cyclonedds policies; the caller must keep it."""
    return _CQos.qos_to_cqos(CycloneQos(*policies))
