"""Query conditions: compile an expression into tests of a sample.

The tests run in Python on samples that were taken. A filter of Cyclone would be called on Cyclone's
own threads while they hold Cyclone's locks. Because taking a sample holds the interpreter's lock,
that deadlocks within seconds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ts_dds_cyclone.cdr import fixed_offset
from ts_dds_cyclone.errors import BAD_PARAMETER, DDSException

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ts_dds_cyclone.fields import TopicType

__all__ = ["Query", "compile_query"]

_AND = re.compile(r"\s+AND\s+", re.IGNORECASE)
_TERM = re.compile(
    r"\s*(?P<name>\w+)\s*=\s*(?:'(?P<text>[^']*)'|(?P<number>[-+]?\d+)|%(?P<parameter>\d+))\s*"
)


class Query(NamedTuple):
    """Two parts of a test: on the bytes, which avoids decoding other samples, then on the data."""

    accepts_bytes: Callable[[bytes], bool] | None
    accepts_data: Callable[[Any], bool] | None


def _value(match: re.Match[str], parameters: Sequence[str], expression: str) -> str | int:
    if match["text"] is not None:
        return match["text"]
    if match["number"] is not None:
        return int(match["number"])
    number = int(match["parameter"])
    if number >= len(parameters):
        message = f"Query {expression!r} has no parameter %{number}; {len(parameters)} were given"
        raise DDSException(message, BAD_PARAMETER)
    text = str(parameters[number]).strip()
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else text.strip("'")


def compile_query(expression: str, parameters: Sequence[str], topic_type: TopicType) -> Query:
    """Compile ``field = value AND field = 'text'``, the form that salobj uses.

    Raises
    ------
    DDSException
        If the expression has another form or names an unknown field.
    """
    fixed: list[tuple[Callable[..., tuple[Any, ...]], int, int]] = []
    others: list[tuple[str, str | int]] = []
    names = {field.name for field in topic_type.fields}
    for term in _AND.split(expression):
        match = _TERM.fullmatch(term)
        if match is None or match["name"] not in names:
            message = (
                f"Cannot use query {expression!r} on {topic_type.name}: "
                f"{term.strip()!r} must be 'field = value'"
            )
            raise DDSException(message, BAD_PARAMETER)
        value = _value(match, parameters, expression)
        place = fixed_offset(topic_type.fields, match["name"]) if isinstance(value, int) else None
        if place is not None and isinstance(value, int):
            fixed.append((place[1].unpack_from, place[0], value))
        else:
            others.append((match["name"], value))

    def accepts_bytes(sample: bytes) -> bool:
        return all(unpack(sample, offset)[0] == value for unpack, offset, value in fixed)

    def accepts_data(data: Any) -> bool:  # noqa: ANN401 (any topic's data class)
        return all(getattr(data, name) == value for name, value in others)

    return Query(accepts_bytes if fixed else None, accepts_data if others else None)
