"""Fields of all types, and values that do not fit (requirement 9)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import dds
import ddsutil
import numpy as np
import pytest
from cyclonedds.idl._support import Endianness
from hypothesis import given
from hypothesis import strategies as st
from ts_dds_cyclone.cdr import compile_codec
from ts_dds_cyclone.fields import PRIMITIVES, STRING, Field

from tests.middleware.end import End

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.middleware.process import Peer

SCALARS: dict[str, Any] = {
    "boolean0": True,
    "byte0": 255,
    "short0": -(1 << 15),
    "int0": (1 << 31) - 1,
    "long0": -(1 << 31),
    "longLong0": -(1 << 63),
    "unsignedShort0": (1 << 16) - 1,
    "unsignedInt0": (1 << 32) - 1,
    "unsignedLong0": 1,
    "float0": 0.5,
    "double0": 1e300,
    "string0": "Größe ÿ",
    "TestID": 7,
}


def codec_of(idl: Path, topic: str) -> tuple[Any, Callable[[Any], bytes]]:
    parsed = ddsutil.parse_idl_file(idl)
    (name,) = [name for name in parsed.types if f"::{topic}_" in name]
    made = ddsutil.make_dds_topic_class(parsed, name)
    return made.topic_data_class, made.type_support_class.encode


@pytest.mark.processes
def test_scalars_are_unchanged_between_processes(idl: Path, peer: Callable[[], Peer]) -> None:
    writer, end = peer(), End(idl)
    writer.ask("writer", "logevent_scalars")
    writer.ask("write", "logevent_scalars", SCALARS)
    end.reader("logevent_scalars")
    assert end.settle("logevent_scalars")
    (sample,) = end.take("logevent_scalars")
    assert {name: sample[name] for name in SCALARS} == SCALARS
    assert sample["priority"] == 0
    end.close()


@pytest.mark.processes
def test_arrays_are_unchanged_between_processes(idl: Path, peer: Callable[[], Peer]) -> None:
    arrays = {
        name: [value, *[type(value)(0)] * 4] for name, value in SCALARS.items() if name[-1] == "0"
    }
    del arrays["string0"]
    writer, end = peer(), End(idl)
    writer.ask("writer", "logevent_arrays")
    writer.ask("write", "logevent_arrays", arrays)
    end.reader("logevent_arrays")
    assert end.settle("logevent_arrays")
    (sample,) = end.take("logevent_arrays")
    assert {name: sample[name] for name in arrays} == arrays
    end.close()


@pytest.mark.parametrize(
    ("topic", "field", "value", "error"),
    [
        ("logevent_scalars", "string0", "x" * 21, dds.DDSException),
        ("logevent_scalars", "string0", "x" * 21, ValueError),
        ("logevent_scalars", "string0", "€", UnicodeEncodeError),
        ("logevent_scalars", "string0", 3, TypeError),
        ("logevent_scalars", "short0", 1 << 15, struct.error),
        ("logevent_scalars", "byte0", 256, struct.error),
        ("logevent_scalars", "byte0", -1, struct.error),
        ("logevent_scalars", "unsignedInt0", -1, struct.error),
        ("logevent_scalars", "longLong0", 1 << 63, struct.error),
        ("logevent_scalars", "int0", "3", struct.error),
        ("logevent_scalars", "float0", 1e39, OverflowError),
        ("logevent_arrays", "int0", 3, TypeError),
        ("logevent_arrays", "int0", [1, 2, 3, 4], IndexError),
        ("logevent_arrays", "int0", [1, 2, 3, 4, 1 << 31], struct.error),
    ],
)
def test_value_that_does_not_fit_raises_an_error(
    idl: Path, topic: str, field: str, value: object, error: type[Exception]
) -> None:
    """Check the errors that salobj's put converts to ValueError."""
    data_class, encode = codec_of(idl, topic)
    with pytest.raises(error) as caught:
        encode(data_class(**{field: value}))
    if error in {struct.error, dds.DDSException}:
        assert field in str(caught.value)


def test_convertible_values_are_converted(idl: Path) -> None:
    data_class, encode = codec_of(idl, "logevent_arrays")
    assert encode(data_class(int0=list(range(9)))) == encode(data_class(int0=list(range(5))))
    assert encode(data_class(double0=np.arange(5.0))) == encode(
        data_class(double0=[0.0, 1.0, 2.0, 3.0, 4.0])
    )
    data_class, encode = codec_of(idl, "logevent_scalars")
    assert encode(data_class(string0=b"abc")) == encode(data_class(string0="abc"))
    assert encode(data_class(string0="abc\0def")) == encode(data_class(string0="abc"))
    assert encode(data_class(int0=np.int64(3))) == encode(data_class(int0=3))


def test_data_class_has_the_fields_of_the_idl(idl: Path) -> None:
    data_class, _ = codec_of(idl, "logevent_arrays")
    data = data_class(int0=[1, 2, 3, 4, 5])
    assert next(iter(data.get_vars())) == "TestID"
    assert data.int0 == [1, 2, 3, 4, 5]
    assert data.boolean0 == [False] * 5
    assert "int0: [1, 2, 3, 4, 5]" in str(data)
    with pytest.raises(TypeError, match="nonesuch"):
        data_class(nonesuch=1)


RANGES = {
    "B": (0, 8),
    "h": (1, 16),
    "H": (0, 16),
    "i": (1, 32),
    "I": (0, 32),
    "q": (1, 64),
    "Q": (0, 64),
}
LATIN = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20)


def values_of(field: Field) -> st.SearchStrategy[Any]:
    if field.type_name == STRING:
        return LATIN
    code = field.primitive.code
    if code in RANGES:
        signed, bits = RANGES[code]
        low = -(1 << bits - 1) if signed else 0
        one: st.SearchStrategy[Any] = st.integers(low, low + (1 << bits) - 1)
    elif code == "?":
        one = st.booleans()
    elif code == "c":
        one = st.characters(max_codepoint=255)
    else:
        one = st.floats(width=32, allow_nan=False)
    return st.lists(one, min_size=field.length, max_size=field.length) if field.length else one


FIELDS = st.lists(
    st.one_of(
        st.just((STRING, 0)),
        st.tuples(st.sampled_from(sorted(PRIMITIVES)), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=12,
).map(lambda specs: [Field(f"f{i}", name, length=length) for i, (name, length) in enumerate(specs)])


@given(st.data())
def test_codec_round_trip_is_exact_and_aligned_as_cdr_requires(data: st.DataObject) -> None:
    fields = data.draw(FIELDS)
    values = {field.name: data.draw(values_of(field)) for field in fields}
    codec = compile_codec(fields)
    encoded = codec.encode(type("Data", (), values))
    assert codec.decode(encoded) == values
    assert encoded == slow_cdr(fields, values)


def slow_cdr(fields: list[Field], values: dict[str, Any]) -> bytes:
    """Encode field by field, as the specification describes it."""
    out = bytearray()

    def put(code: str, size: int, value: object) -> None:
        out.extend(bytes(-len(out) % size))
        out.extend(struct.pack("<" + code, value))

    for field in fields:
        value = values[field.name]
        if field.type_name == STRING:
            text = value.encode("latin-1") + b"\0"
            put("I", 4, len(text))
            out.extend(text)
            continue
        kind = field.primitive
        for item in value if field.length else [value]:
            put(kind.code, kind.size, item.encode("latin-1") if kind.code == "c" else item)
    return b"\x00\x01\x00\x00" + bytes(out) + bytes(-len(out) % 4)


def test_truncated_sample_is_rejected() -> None:
    codec = compile_codec([Field("number", "long"), Field("text", STRING)])
    sample = codec.encode(type("Data", (), {"number": 1, "text": "some text"}))
    for length in range(4, len(sample) - 4):
        with pytest.raises((struct.error, ValueError)):
            codec.decode(sample[:length])


def test_encoded_bytes_equal_those_of_cyclonedds(idl: Path) -> None:
    parsed = ddsutil.parse_idl_file(idl)
    for name in parsed.types:
        made = ddsutil.make_dds_topic_class(parsed, name)
        cyclone_type = made.type_support_class.cyclone_type()
        data, theirs = made.topic_data_class(), object.__new__(cyclone_type)
        for field in parsed.types[name].fields:
            value: Any = "abc" if field.type_name == STRING else 1
            setattr(data, field.name, [value] * field.length if field.length else value)
        for field_name, value in data.get_vars().items():
            object.__setattr__(theirs, field_name, value)
        expected = cyclone_type.__idl__.serialize(
            theirs, use_version_2=False, endianness=Endianness.Little
        )
        padding = bytes(-len(expected) % 4)  # which cyclonedds leaves to the C library
        assert made.type_support_class.encode(data) == expected + padding, name
