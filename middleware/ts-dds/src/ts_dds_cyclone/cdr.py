"""Compile a topic's type into straight-line code that encodes and decodes it.

The wire format is little-endian XCDR1 of a final struct: an encapsulation header of four bytes and
then the fields. Each field is aligned to its size, counted from the end of the header. A run of
primitives has a fixed layout for each alignment at which it can begin, so it is one `struct`. Only
strings end a run. This is several times faster than cyclonedds' coder, which works field by field.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from ts_dds_cyclone.errors import BoundsError
from ts_dds_cyclone.fields import STRING, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["HEADER", "Codec", "compile_codec", "encode_string", "first_elements", "fixed_offset"]

HEADER = b"\x00\x01\x00\x00"
"""Encapsulation header of plain little-endian CDR without options."""
ENCODING = "iso-8859-1"
"""Encoding of strings in OpenSplice's Python API."""
ALIGNMENTS = 8
"""The largest primitive has 8 bytes: a run can begin at 8 different alignments."""


class Codec(NamedTuple):
    """Functions for one topic type.

    Attributes
    ----------
    encode
        Converts a data object to bytes, including the header.
    decode
        Converts bytes to a dict of the fields.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], dict[str, Any]]


class _Run(NamedTuple):
    """Consecutive primitives and the string after them, if any."""

    primitives: list[Field]
    string: Field | None


def encode_string(value: object, bound: int, name: str) -> bytes:
    """Return the bytes of a string field.

    Raises
    ------
    BoundsError
        If the value is longer than the field.
    UnicodeEncodeError
        If a character is not in ISO-8859-1.
    TypeError
        If the value is neither a string nor bytes. Bytes, which salobj's log handler passes, are
        used unchanged.
    """
    if isinstance(value, str):
        encoded = value.encode(ENCODING)
    elif isinstance(value, bytes | bytearray):
        encoded = bytes(value)
    else:
        message = f"{name}={value!r} must be a string"
        raise TypeError(message)
    if b"\0" in encoded:
        encoded = encoded[: encoded.index(b"\0")]  # DDS strings are C strings: they end there
    if bound and len(encoded) > bound:
        message = f"{name} has {len(encoded)} characters; it can have {bound} at most"
        raise BoundsError(message)
    return encoded


def first_elements(value: Any, length: int) -> list[Any]:  # noqa: ANN401 (lists, tuples, numpy arrays)
    """Return the first elements of an array field's value.

    Raises
    ------
    TypeError
        If the value is a scalar.
    IndexError
        If the value is too short.
    """
    if type(value) is list and len(value) == length:
        return value
    return [value[i] for i in range(length)]


def _runs(fields: Sequence[Field]) -> list[_Run]:
    runs: list[_Run] = []
    primitives: list[Field] = []
    for field in fields:
        if field.type_name == STRING:
            runs.append(_Run(primitives, field))
            primitives = []
        else:
            primitives.append(field)
    if primitives:
        runs.append(_Run(primitives, None))
    return runs


def _layout(run: _Run, start: int) -> str:
    """Return the `struct` format of a run that begins at an alignment.

    The format ends with the length of the run's string.
    """
    position, parts = start, []
    sizes = [(f.primitive.size, f.length, f.primitive.code) for f in run.primitives]
    if run.string is not None:
        sizes.append((4, 0, "I"))  # the length, an unsigned long
    for size, length, code in sizes:
        padding = -position % size
        parts.append("x" * padding + (f"{length}{code}" if length else code))
        position += padding + size * (length or 1)
    return "<" + "".join(parts)


def fixed_offset(fields: Sequence[Field], name: str) -> tuple[int, struct.Struct] | None:
    """Return the offset of a scalar primitive and its `struct`; None if the offset varies."""
    position = 0
    for field in fields:
        if field.type_name == STRING:
            return None
        size = field.primitive.size
        position += -position % size
        if field.name == name:
            return (
                None
                if field.length
                else (len(HEADER) + position, struct.Struct("<" + field.primitive.code))
            )
        position += size * (field.length or 1)
    return None


def _encode_argument(field: Field) -> str:
    value = f"data.{field.name}"
    if field.type_name == "char":
        if field.length:
            return f"*[c[:1].encode({ENCODING!r}) for c in first_elements({value}, {field.length})]"
        return f"{value}[:1].encode({ENCODING!r})"
    return f"*first_elements({value}, {field.length})" if field.length else value


def _decode_expression(field: Field, run: int, index: int) -> str:
    if not field.length:
        item = f"v{run}[{index}]"
        return f"{item}.decode({ENCODING!r})" if field.type_name == "char" else item
    items = f"v{run}[{index}:{index + field.length}]"
    if field.type_name == "char":
        return f"[c.decode({ENCODING!r}) for c in {items}]"
    return f"list({items})"


class _Source:
    """Source text of the two functions, built run by run."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "HEADER": HEADER,
            "encode_string": encode_string,
            "first_elements": first_elements,
        }
        self.encode = ["def encode(data):", " at = 0"]
        self.decode = ["def decode(data):", f" at = {len(HEADER)}"]
        self.pieces: list[str] = ["HEADER"]
        self.items: list[str] = []

    def add(self, number: int, run: _Run) -> None:
        structs = [struct.Struct(_layout(run, start)) for start in range(ALIGNMENTS)]
        self.names[f"pack{number}"] = [s.pack for s in structs]
        self.names[f"unpack{number}"] = [s.unpack_from for s in structs]
        self.names[f"size{number}"] = [s.size for s in structs]
        arguments = [_encode_argument(f) for f in run.primitives]
        # The header has 4 bytes, so data positions and alignments differ by 4.
        self.decode += [
            f" a = at + 4 & 7; v{number} = unpack{number}[a](data, at); at += size{number}[a]",
        ]
        index = 0
        for field in run.primitives:
            self.items.append(f"{field.name!r}: {_decode_expression(field, number, index)}")
            index += field.length or 1
        step = f" a = at & 7; p{number} = pack{number}[a]"
        if run.string is None:
            self.encode.append(f"{step}({', '.join(arguments)}); at += size{number}[a]")
            self.pieces.append(f"p{number}")
            return
        name, bound = run.string.name, run.string.bound
        arguments.append(f"n{number}")
        self.encode += [
            (
                f" s{number} = encode_string(data.{name}, {bound}, {name!r}); "
                f"n{number} = len(s{number}) + 1"
            ),
            f"{step}({', '.join(arguments)}); at += size{number}[a] + n{number}",
        ]
        self.pieces += [f"p{number}", f"s{number}", "b'\\0'"]
        self.decode.append(
            f" end = at + v{number}[{index}]; s{number} = data[at:end - 1].decode({ENCODING!r}); "
            "at = end"
        )
        self.items.append(f"{name!r}: s{number}")

    def text(self) -> str:
        self.encode.append(f" return b''.join(({', '.join(self.pieces)}, bytes(-at & 3)))")
        self.decode += [
            " if at > len(data):",
            "  raise ValueError(f'sample ends after {len(data)} bytes, its fields need {at}')",
            f" return {{{', '.join(self.items)}}}",
        ]
        return "\n".join(self.encode + self.decode)


def compile_codec(fields: Sequence[Field]) -> Codec:
    """Return the codec of a type with these fields."""
    source = _Source()
    for number, run in enumerate(_runs(fields)):
        source.add(number, run)
    # Field names are from the IDL parser, which accepts only identifiers.
    exec(source.text(), source.names)  # noqa: S102 (code made from the type, as dataclasses does)
    return Codec(source.names["encode"], source.names["decode"])
