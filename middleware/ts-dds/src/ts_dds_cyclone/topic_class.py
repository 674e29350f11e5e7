"""The data classes of topics and their type support, as in OpenSplice's ddsutil."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ts_dds_cyclone.cdr import Codec, compile_codec
from ts_dds_cyclone.cyclone_type import make_cyclone_type
from ts_dds_cyclone.errors import DDSException

if TYPE_CHECKING:
    from collections.abc import KeysView

    from ts_dds_cyclone.entities import DomainParticipant, Topic
    from ts_dds_cyclone.fields import TopicType
    from ts_dds_cyclone.idl_parser import ParsedIdl
    from ts_dds_cyclone.qos import Qos

__all__ = ["GeneratedClassInfo", "TopicDataClass", "TypeSupport", "make_dds_topic_class"]

MAX_VARIANTS = 16
"""Maximum number of different definitions of one type name in a process. From the 33rd live class
of one name on, Cyclone's table of types doubles repeatedly until memory is exhausted."""


class TopicDataClass:
    """Base of the generated data classes: one attribute a field, checked when it is written."""

    _member_attributes: KeysView[str]
    _topic_type: TopicType

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 (fields of any type)
        for field in self._topic_type.fields:
            setattr(self, field.name, field.default)
        for name, value in kwargs.items():
            if name not in self._member_attributes:
                message = f"Invalid argument name : {name}"
                raise TypeError(message)
            setattr(self, name, value)

    def get_vars(self) -> dict[str, Any]:
        """Return the fields and their values, in the sequence of the IDL."""
        return {name: getattr(self, name) for name in self._member_attributes}

    def _get_print_vars(self) -> str:
        return ", ".join(f"{name}: {value}" for name, value in self.get_vars().items())

    @override
    def __str__(self) -> str:
        """Show every field."""
        return self._get_print_vars()

    def print_vars(self) -> None:
        """Print every field."""
        print(self._get_print_vars())  # noqa: T201 (OpenSplice's method prints)


class TypeSupport:
    """A type with its data class and codec; Cyclone's type object is created on first use."""

    def __init__(self, topic_type: TopicType) -> None:
        self.type = topic_type
        self.codec: Codec = compile_codec(topic_type.fields)
        self.data_class: type[TopicDataClass] = type(
            topic_type.name.replace("::", "_"),
            (TopicDataClass,),
            {
                "_topic_type": topic_type,
                "_member_attributes": dict.fromkeys(f.name for f in topic_type.fields).keys(),
            },
        )
        self._lock = threading.Lock()
        self._cyclone_type: Any = None

    def cyclone_type(self) -> Any:  # noqa: ANN401 (a class made by cyclonedds)
        """Return the one Cyclone type object."""
        with self._lock:
            if self._cyclone_type is None:
                self._cyclone_type = make_cyclone_type(self.type)
            return self._cyclone_type

    def encode(self, data: TopicDataClass) -> bytes:
        """Return the bytes of a sample.

        Raises
        ------
        struct.error
            If a number does not fit in its field.
        TypeError, IndexError
            If an array field is a scalar or too short.
        BoundsError, UnicodeEncodeError
            If a string is too long or has a character that DDS cannot represent.
        """
        try:
            return self.codec.encode(data)
        except struct.error as e:
            raise struct.error(self._misfit(data) or str(e)) from e

    def _misfit(self, data: TopicDataClass) -> str | None:
        """Return a message with the name of the field that `struct` rejects: its error has none."""
        for field in self.type.fields:
            try:
                compile_codec([field]).encode(data)
            except struct.error as e:
                return (
                    f"{field.name}={getattr(data, field.name)!r} "
                    f"does not fit {field.type_name}: {e}"
                )
        return None

    def decode(self, sample: bytes) -> TopicDataClass:
        """Return the data object of a sample's bytes."""
        data = object.__new__(self.data_class)
        data.__dict__ = self.codec.decode(sample)
        return data


class GeneratedClassInfo:
    """Result of `make_dds_topic_class`."""

    def __init__(self, support: TypeSupport) -> None:
        self.topic_data_class = support.data_class
        self.type_support_class = support

    def register_topic(
        self,
        participant: DomainParticipant,
        name: str,
        qos: Qos | None = None,
        listener: None = None,
    ) -> Topic:
        """Return a topic of this type."""
        from ts_dds_cyclone.entities import Topic  # noqa: PLC0415 (entities need this module's types)

        return Topic(participant, name, self.type_support_class, qos, listener)


_lock = threading.Lock()
_classes: dict[str, dict[TopicType, GeneratedClassInfo]] = {}


def make_dds_topic_class(parsed_idl: ParsedIdl, revname: str) -> GeneratedClassInfo:
    """Return the class of one type; every call in a process returns the same object.

    Parameters
    ----------
    parsed_idl
        Result of `parse_idl_file`.
    revname
        Name of the type, ``component::topic_hash``.

    Raises
    ------
    RuntimeError
        If the file has no such type.
    DDSException
        If the process has too many different types of this name.
    """
    topic_type = parsed_idl.types.get(revname)
    if topic_type is None:
        message = f"IDL file {parsed_idl.path} does not define revname={revname}"
        raise RuntimeError(message)
    with _lock:
        variants = _classes.setdefault(revname, {})
        if topic_type not in variants:
            if len(variants) >= MAX_VARIANTS:
                message = (
                    f"{revname} has {len(variants)} different definitions in this process already; "
                    "a type whose fields change needs another revision code"
                )
                raise DDSException(message)
            variants[topic_type] = GeneratedClassInfo(TypeSupport(topic_type))
        return variants[topic_type]
