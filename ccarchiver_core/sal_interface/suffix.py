"""The suffix that SAL gives a topic with the fields and constants of an IDL file.

Two programs receive each other only if the suffixes in their IDL are equal. A file that was edited,
or that another generator made, has other suffixes than the observatory's tools give.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.sal_interface.idl_file import IdlFile, IdlTopic

SUFFIX_LENGTH = 8
"""Hexadecimal digits of the MD5."""

PRIVATE_LINES = (
    "  string<8>\tprivate_revCode; //private",
    "  double\tprivate_sndStamp;    //private",
    "  double\tprivate_rcvStamp;    //private",
    "  long\tprivate_seqNum;    //private",
    "  string<128>\tprivate_identity;    //private",
    "  long\tprivate_origin;    //private",
)
"""The private fields as they stand in SAL's text."""

PRIVATE = "private_"
"""Prefix of the names of private fields."""

ACKNOWLEDGEMENT = "ackcmd"
ACKNOWLEDGEMENT_RESULT = "string<256>"
"""Type of the result in the text of `ackcmd`, also where SAL 7 has an unlimited string."""


def _lines(idl: IdlFile, topic: IdlTopic) -> Iterator[str]:
    name = f"{idl.component}_{topic.name}"
    index = {f"{idl.component}ID", "salIndex"}
    yield f"struct {name} {{"
    yield from PRIVATE_LINES
    for field, idl_type in topic.fields.items():
        if field.startswith(PRIVATE) or field in index:
            continue
        base, bracket, length = idl_type.partition("[")
        if topic.name == ACKNOWLEDGEMENT and field == "result":
            base = ACKNOWLEDGEMENT_RESULT
        yield f"  {base}\t{field}{bracket}{length};"
    yield "};"
    yield f"#pragma keylist {name}"
    for constant in topic.constants:
        yield f" {constant}"


def suffix_of(idl: IdlFile, topic: IdlTopic) -> str:
    """Return the suffix that SAL computes for a topic."""
    text = "".join(f"{line}\n" for line in _lines(idl, topic))
    # MD5 is SAL's choice; nothing depends on its strength.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:SUFFIX_LENGTH]
