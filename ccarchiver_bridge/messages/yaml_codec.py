"""YAML form of a message: one mapping, read and written by libyaml, or quicker if it is simple.

The Forwarder writes flow style with every scalar in double quotes, so its numbers arrive as text.
Python peers write block style with plain numbers. `read` returns both as text, and the models turn
numbers back into numbers. It works on the parser's events, so it rejects an alias or deep nesting
before it builds anything. A tag has no effect: every scalar is text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from ccarchiver_bridge.messages import plain_yaml
from ccarchiver_core.base.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 8
"""Levels of nesting that a message may have; real messages have one or two."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

Scalar = str | None
Value = Scalar | list["Value"] | dict[str, "Value"]


def read(body: bytes, max_message_bytes: int) -> dict[str, Value]:
    """Return the fields of a message's body.

    Parameters
    ----------
    body : `bytes`
        The body as it arrived.
    max_message_bytes : `int`
        A longer body is rejected before it is decoded.

    Returns
    -------
    fields : `dict`
        Scalars as text, ``null`` as None.

    Raises
    ------
    RejectedError
        If the body is not one plain YAML mapping in UTF-8; the text contains the reason.
    """
    if len(body) > max_message_bytes:
        raise RejectedError(
            f"body of {len(body)} bytes is longer than the {max_message_bytes} allowed "
            "(MAX_MESSAGE_BYTES)"
        )
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RejectedError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    plain = plain_yaml.read(text)
    if plain is not None:
        return dict(plain)
    return read_any(text)


def read_any(text: str) -> dict[str, Value]:
    """Return the fields of any message, with libyaml.

    Raises
    ------
    RejectedError
        If the text is not one plain YAML mapping; the text of the error contains the reason.
    """
    try:
        return _document(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        raise RejectedError(f"not YAML: {' '.join(str(error).split())}") from None


def write(fields: dict[str, object]) -> bytes:
    """Return a message's body in block style with sorted keys, as peers have always received it."""
    plain = plain_yaml.write(fields)
    return write_any(fields) if plain is None else plain.encode("ascii")


def write_any(fields: dict[str, object]) -> bytes:
    """Return what `write` returns, with libyaml."""
    text: str = yaml.dump(fields, Dumper=yaml.CSafeDumper, default_flow_style=False, sort_keys=True)
    return text.encode("utf-8")


def _document(events: Iterator[yaml.Event]) -> dict[str, Value]:
    value: Value = None
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise RejectedError("more than one YAML document")
            value = _value(next(events), events, 0)
    if not isinstance(value, dict):
        raise RejectedError("not a YAML mapping")
    return value


def _value(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise RejectedError(f"nested deeper than {MAX_DEPTH} levels")
    if getattr(event, "anchor", None) is not None:
        raise RejectedError("YAML anchors and aliases are not allowed in a message")
    match event:
        case yaml.ScalarEvent():
            is_plain = not event.style  # "" from the C parser, None from PyYAML's own
            return None if is_plain and event.value in _NULLS else str(event.value)
        case yaml.SequenceStartEvent():
            return list(_items(events, depth))
        case yaml.MappingStartEvent():
            return _mapping(events, depth)
        case _:
            raise RejectedError(f"unexpected {type(event).__name__} in YAML")


def _items(events: Iterator[yaml.Event], depth: int) -> Iterator[Value]:
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
        yield _value(event, events, depth + 1)


def _mapping(events: Iterator[yaml.Event], depth: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _value(event, events, depth + 1)
        if not isinstance(key, str):
            raise RejectedError("a key of the mapping is not text")
        if key in found:
            raise RejectedError(f"key {key[:64]!r} occurs twice")
        found[key] = _value(next(events), events, depth + 1)
    return found
