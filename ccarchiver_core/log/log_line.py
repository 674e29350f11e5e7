"""Readable form of a log line, on a worker's terminal and in the output of ``ccarchiver logs``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

IN_FRONT = frozenset({"timestamp", "worker", "pid", "level", "event"})
"""Keys whose values are at the beginning of every line."""

LEFT_OUT = frozenset({"logger", "exception", "stack"})
"""Keys that do not help an operator or need more than one line; the JSON form has them."""

MILLISECONDS = len("2026-11-22T08:18:37.932")
"""Characters of a time with milliseconds; more digits would only make the lines longer."""

WORKER_WIDTH = len("bridge[1234567]")
"""Columns for worker and pid: the longest worker name with a pid of seven digits."""

LEVEL_WIDTH = len("critical")


def readable(line: Mapping[str, object], known: Collection[str] = ()) -> str:
    """Return a line with time (UTC), worker, level and event in columns, then ``key=value`` pairs.

    Parameters
    ----------
    line : `dict`
        Keys and values of the line.
    known : collection of `str`
        Values whose pairs are left out, because the reader has searched for them.

    Notes
    -----
    Values may contain any text from a peer. Characters that could move the cursor of a terminal or
    begin a new line are escaped.
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
