"""Selection of log lines by name, time and level."""

from __future__ import annotations

import datetime as dt
import enum
import json
import re
from dataclasses import dataclass, field
from typing import Any


class Level(enum.StrEnum):
    """Levels of log lines, least serious first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


_LEVELS = {str(level): number for number, level in enumerate(Level)}

LEVEL_HELP = (
    f"Minimum level of the lines: {', '.join(Level)}. Lines of this level and of all later ones in "
    "this list are shown."
)


@dataclass(frozen=True, order=True)
class LogLine:
    """One log line.

    Lines are sorted by time. Lines of the same instant keep the sequence in which they were read.
    """

    at: dt.datetime
    fields: dict[str, Any] = field(compare=False)
    raw: bytes = field(compare=False)


@dataclass(frozen=True)
class LogQuery:
    """Selection of log lines.

    Parameters
    ----------
    name : `str`
        Image name or ACK_ID. A line matches if one of its values contains the name as a whole word.
    since : `datetime.datetime` or None
        Earliest time of a line.
    level : `Level`
        Lowest level of a line.
    """

    name: str
    since: dt.datetime | None = None
    level: Level = Level.DEBUG

    @property
    def description(self) -> str:
        """Text about the lines that match."""
        text = f"about {self.name}"
        if self.level is not Level.DEBUG:
            text += f" with level {self.level} or higher"
        if self.since is not None:
            text += f" since {self.since.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
        return text

    @property
    def search_bytes(self) -> bytes:
        """Bytes that the JSON of a matching line contains."""
        return json.dumps(self.name)[1:-1].encode()

    def has(self, line: LogLine) -> bool:
        """Return whether a line matches."""
        if self.since is not None and line.at < self.since:
            return False
        if _LEVELS.get(str(line.fields.get("level")), 0) < _LEVELS[self.level]:
            return False
        word = re.compile(rf"(?<!\w){re.escape(self.name)}(?!\w)")
        return any(word.search(str(value)) for value in line.fields.values())
