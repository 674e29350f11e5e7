"""Compare the interface of an IDL file with what the archiver needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.sal_interface.idl_file import COMMAND, EVENT
from ccarchiver_core.sal_interface.needs import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ccarchiver_core.sal_interface.idl_file import IdlFile
    from ccarchiver_core.sal_interface.needs import TopicNeed

FIRST_RELEASE, LAST_RELEASE = "10.0", "15.0"
"""Releases of the observatory's XML with which the archiver runs. The last one has CCArchiver."""


@dataclass(frozen=True)
class Comparison:
    """The differences, in words: ``event summaryState``, ``field obsid of event imageInOODS``."""

    idl: IdlFile
    missing: tuple[str, ...]
    """Needed topics and fields that the IDL lacks."""
    left_out: tuple[str, ...]
    """Topics and fields that the IDL lacks and the archiver runs without."""
    left_out_topics: frozenset[str]
    """SAL's names of those topics."""


def compare(idl: IdlFile, needs: Iterable[TopicNeed]) -> Comparison:
    """Return what an IDL file lacks.

    An optional topic without one of the fields that the archiver sets is left out as a whole.
    """
    missing: list[str] = []
    left_out: list[str] = []
    left_out_topics: set[str] = set()
    for need in needs:
        lacking = list(_lacking(idl, need))
        if lacking and need.is_required:
            missing += lacking
            continue
        if lacking:
            left_out.append(_in_words(need.topic))
            left_out_topics.add(need.topic)
            continue
        left_out += [
            f"field {name} of {_in_words(need.topic)}"
            for name in need.optional_fields
            if name not in idl.topics[need.topic].fields
        ]
    return Comparison(idl, tuple(missing), tuple(left_out), frozenset(left_out_topics))


def require(idl: IdlFile, needs: Iterable[TopicNeed]) -> Comparison:
    """Return what an IDL file lacks and the archiver runs without.

    Raises
    ------
    ConfigError
        If it lacks something that is needed. The text names it, the file and its versions.
    """
    comparison = compare(idl, needs)
    if comparison.missing:
        msg = (
            f"the IDL of {idl.component} lacks {', '.join(comparison.missing)}: {idl.label}; "
            f"{remedy(idl)}"
        )
        raise ConfigError(msg)
    return comparison


def remedy(idl: IdlFile) -> str:
    """Return how to get a usable IDL file."""
    return (
        f"use the IDL of an XML release from {FIRST_RELEASE} to {LAST_RELEASE} "
        f"that has {idl.component}, the one of all programs on the bus"
    )


def _lacking(idl: IdlFile, need: TopicNeed) -> Iterator[str]:
    topic = idl.topics.get(need.topic)
    if topic is None:
        yield _in_words(need.topic)
        return
    for name in (*PRIVATE, *need.fields):
        if name not in topic.fields:
            yield f"field {name} of {_in_words(need.topic)}"


def _in_words(topic: str) -> str:
    for prefix, kind in ((COMMAND, "command"), (EVENT, "event")):
        if topic.startswith(prefix):
            return f"{kind} {topic.removeprefix(prefix)}"
    return f"topic {topic}"
