"""Parser of the fields of a hash in Redis: a field that cannot be read is reported and left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from ccarchiver_core.domain.record_types import MAX_COUNT, MAX_UNIX_TIME
from ccarchiver_core.store import unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Parsed = TypeVar("Parsed")
Model = TypeVar("Model", bound=BaseModel)

MAX_SHOWN = 40
"""Characters of a value that a reason quotes."""


class FieldParser:
    """Parser of the fields of one hash.

    One record of another version, or one that was changed by hand, must not stop a worker.

    Parameters
    ----------
    key : `str`
        Name of the hash, for the reports.
    fields : mapping
        Its fields.
    """

    def __init__(self, key: str, fields: Mapping[str, str]) -> None:
        self._key = key
        self._fields = fields
        self.unreadable: list[str] = []
        """Fields that could not be read so far."""

    def read(self, name: str, parse: Callable[[str], Parsed]) -> Parsed | None:
        """Return the value of a field; None if it does not exist or cannot be read.

        The parser of the value raises TypeError, ValueError, OverflowError or RecursionError if it
        cannot read it.
        """
        if name not in self._fields:
            return None
        try:
            return parse(self._fields[name])
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self.unreadable.append(name)
            unreadable.report(self._key, name, reason_of(error))
            return None

    def model(self, name: str, kind: type[Model]) -> Model | None:
        """Return a field that holds a model as JSON."""
        return self.read(name, kind.model_validate_json)

    def models(self, kind: type[Model]) -> dict[str, Model]:
        """Return all fields, each of which holds a model as JSON."""
        found = {name: self.model(name, kind) for name in self._fields}
        return {name: one for name, one in found.items() if one is not None}

    def time(self, name: str) -> float:
        """Return a Unix time or a duration in seconds; 0 without one."""
        return self.read(name, parse_time) or 0.0

    def integer(self, name: str) -> int:
        """Return a number of things; 0 without one."""
        return self.read(name, parse_count) or 0


def parse_time(text: str) -> float:
    """Return a Unix time or a duration in seconds.

    Raises
    ------
    ValueError
        If the text is no such number.
    """
    value = float(text)
    if not math.isfinite(value) or not 0 <= value <= MAX_UNIX_TIME:
        raise ValueError(f"not a time: {_quoted(text)}")
    return value


def parse_count(text: str) -> int:
    """Return a number of things.

    Raises
    ------
    ValueError
        If the text is no such number.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MAX_COUNT)):
        raise ValueError(f"not a count: {_quoted(text)}")
    return int(text)


def reason_of(error: Exception) -> str:
    """Return in one line why a value cannot be read."""
    if not isinstance(error, ValidationError):
        return str(error) or type(error).__name__
    detail = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in detail["loc"])
    return f"{place}: {detail['msg']}" if place else detail["msg"]


def _quoted(text: str) -> str:
    return repr(text[:MAX_SHOWN])
