"""Read the IDL that SAL generates: one module of flat structs, with one field a line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ts_dds_cyclone.fields import PRIMITIVES, STRING, Field, TopicType

if TYPE_CHECKING:
    import os

__all__ = ["ParsedIdl", "parse_idl_file"]

_MODULE = re.compile(r"\s*module\s+(\w+)")
_STRUCT = re.compile(r"\s*struct\s+(\w+)\s*\{")
_STRUCT_END = re.compile(r"\s*\}\s*;")
_KEYS = re.compile(r"\s*#pragma\s+keylist\s+(\w+)(?P<names>[\w \t]*)")
_IGNORED = re.compile(r"\s*(//.*)?$")
_FIELD = re.compile(
    r"\s*(?P<type>unsigned\s+long\s+long|unsigned\s+(?:short|int|long)|long\s+long|\w+)"
    r"\s*(?:<\s*(?P<bound>\d+)\s*>)?\s+(?P<name>\w+)\s*(?:\[\s*(?P<length>\d+)\s*\])?\s*;"
)


@dataclass
class ParsedIdl:
    """The topic types of one IDL file, by name (``module::struct``)."""

    path: Path
    types: dict[str, TopicType] = field(default_factory=dict)


class _Parser:
    """Parser of one file, line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._module: str | None = None
        self._struct: str | None = None
        self._fields: list[Field] = []
        self._line = 0
        self.parsed = ParsedIdl(path)

    def run(self) -> ParsedIdl:
        with self._path.open(encoding="utf-8", errors="replace") as file:
            for self._line, text in enumerate(file, start=1):
                if self._struct is None:
                    self._outside(text)
                else:
                    self._inside(text)
        if self._struct is not None:
            raise self._error(f"struct {self._struct} is not closed")
        if self._module is None:
            raise self._error("no module found")
        return self.parsed

    def _error(self, problem: str) -> RuntimeError:
        return RuntimeError(
            f"Problem found with given IDL file {self._path}, line {self._line}: {problem}"
        )

    def _full_name(self, struct: str) -> str:
        return f"{self._module}::{struct}"

    def _outside(self, text: str) -> None:
        if match := _MODULE.match(text):
            self._module = match[1]
        elif match := _STRUCT.match(text):
            if self._module is None:
                raise self._error(f"struct {match[1]} is outside of a module")
            self._struct, self._fields = match[1], []
        elif match := _KEYS.match(text):
            self._set_keys(match[1], match["names"].split())

    def _inside(self, text: str) -> None:
        if match := _FIELD.match(text):
            self._fields.append(self._field(match))
        elif _STRUCT_END.match(text):
            name = self._full_name(self._struct or "")
            self.parsed.types[name] = TopicType(name, tuple(self._fields))
            self._struct = None
        elif not _IGNORED.match(text):
            raise self._error(f"cannot understand {text.strip()!r}")

    def _field(self, match: re.Match[str]) -> Field:
        type_name = " ".join(match["type"].split())
        if type_name != STRING and type_name not in PRIMITIVES:
            raise self._error(f"unknown type {type_name!r} of field {match['name']}")
        if type_name == STRING and match["length"]:
            raise self._error(
                f"field {match['name']} is an array of strings, which SAL does not have"
            )
        return Field(match["name"], type_name, int(match["bound"] or 0), int(match["length"] or 0))

    def _set_keys(self, struct: str, names: list[str]) -> None:
        name = self._full_name(struct)
        topic_type = self.parsed.types.get(name)
        if topic_type is None:
            raise self._error(f"keylist of struct {struct}, which is not defined above")
        # SAL names the index even where a component has none.
        known = {f.name for f in topic_type.fields}
        keys = tuple(n for n in names if n in known)
        self.parsed.types[name] = TopicType(name, topic_type.fields, keys)


def parse_idl_file(idl_path: str | os.PathLike[str]) -> ParsedIdl:
    """Read an IDL file.

    Raises
    ------
    RuntimeError
        If the file is not IDL as SAL generates it; the message names the line.
    """
    return _Parser(Path(idl_path)).run()
