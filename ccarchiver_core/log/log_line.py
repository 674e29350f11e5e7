"""One log line for a person: the same form on a worker's terminal and from ``ccarchiver logs``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

IN_FRONT = frozenset({"timestamp", "worker", "pid", "level", "event"})
"""Keys whose values every line begins with."""

LEFT_OUT = frozenset({"logger", "exception", "stack"})
"""Keys that say nothing to an operator, or take more than a line; the JSON has them."""

MILLISECONDS = len("2026-11-22T08:18:37.932")
"""Characters of a time down to milliseconds: finer ones only make lines longer."""


WORKER_WIDTH = len("bridge[1234567]")
"""Columns for worker and pid: the longest worker with a pid of a machine that is up for long."""

LEVEL_WIDTH = len("critical")


def readable(line: Mapping[str, object], known: Collection[str] = ()) -> str:
    """Put a line's time (UTC), worker with pid, level and event in columns, then what else it says as ``key=value``.

    Parameters
    ----------
    line : `dict`
        Keys and values of the line.
    known : collection of `str`
        Values whose key is left out, as the reader has asked for them.

    Notes
    -----
    What a peer sent may hold anything: characters that could move a terminal's cursor or begin a line are escaped.
    """
    process = f"{line.get('worker', '?')}[{line.get('pid', '?')}]"
    words = [
        f"{str(line.get('timestamp', '?'))[:MILLISECONDS].rstrip('Z')}Z",
        f"{process:<{WORKER_WIDTH}}",
        f"{line.get('level', '?')!s:<{LEVEL_WIDTH}}",
        _on_one_line(str(line.get("event", "?"))),
    ]
    words += [
        f"{key}={_value(value)}"
        for key, value in line.items()
        if key not in IN_FRONT and key not in LEFT_OUT and value not in known
    ]
    return " ".join(words)


def _value(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    if text.isprintable() and text and " " not in text and '"' not in text:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]
